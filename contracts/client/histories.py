"""The epochs of a key, and who of those who held a share has said that it is deleted.

The newest epoch is proven by its holders' certificates, and each one's facts name those of the one
that it was made from. What parties have said of their shares is signed by them. The coordinator can
keep that back, and cannot make it up: of whom nothing comes that holds, nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..checks import followed
from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import KeyFacts
from ..peers import Pinned, by_any, identities
from ..primitives import DeleteAfter
from ..requests import QueryKeyHistoryRequest
from ..results import QueryKeyHistoryResult
from ..retirements import Retirement
from ..views import EpochView
from .caller import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A later epoch of a key, and the one that it was made from.

    Attributes:
        before: The epoch that it was made from.
        facts: Of this epoch.
        made_at, signs_from: Unix milliseconds, as the coordinator tells them.
        delete_after: When the request asked for that, as the coordinator tells it.
        retired: By party id, what former holders have said of their shares of the epoch before.
            Verified: it is theirs, of this key, and of that epoch.
    """

    before: KeyFacts
    facts: KeyFacts
    made_at: int | None
    signs_from: int | None
    retired: Mapping[str, Retirement]
    delete_after: DeleteAfter | None = None

    @property
    def may_wait(self) -> list[str]:
        """Those among `still_to_delete` who may wait for a backup of their new share, a day at
        most: they hold one of both epochs, and the request let them. They sign nothing with the
        old one."""
        if self.delete_after is not DeleteAfter.BACKED_UP:
            return []
        staying = {holder.party_id for holder in self.facts.holders}
        return [party_id for party_id in self.still_to_delete if party_id in staying]

    @property
    def still_to_delete(self) -> list[str]:
        """Former holders who have not told that they have, in their order."""
        former = (holder.party_id for holder in self.before.holders)
        return [party_id for party_id in former if party_id not in self.retired]

    @property
    def deleters(self) -> int:
        """How many former holders have to delete their shares, honestly and with all backups,
        until the others can sign no more with theirs."""
        return self.before.party_count - self.before.threshold + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHistory:
    """
    Attributes:
        facts: Of the newest epoch.
        successions: The newest first; none of a key whose shares are its first.
    """

    facts: KeyFacts
    successions: Sequence[Succession]


class Histories(Caller):
    """What became of keys."""

    async def history(
        self, key_id: str | None = None, *, key_session: bytes | None = None
    ) -> KeyHistory:
        """A key's epochs, and which of the former holders have deleted their shares.

        Arguments:
            key_session: The session that made the key, in place of its id; so an operator may ask
                for anybody's.

        Raises ContractError if its pages do not fit together, besides what all calls raise.
        """
        views: list[EpochView] = []
        more = True
        while more:
            page = await self._query(
                QueryKeyHistoryRequest,
                QueryKeyHistoryResult,
                key_id=key_id,
                key_session=key_session,
                before=views[-1].facts.epoch if views else None,
            )
            if views:
                joined(views[-1].facts, page)
            views += page.epochs
            more = page.more
        return KeyHistory(
            facts=views[0].facts,
            successions=successions(views, self._settings.parties),
        )


def joined(last: KeyFacts, page: QueryKeyHistoryResult) -> None:
    """Raises ContractError unless the page goes on where the one before has ended."""
    if not page.epochs:
        raise ContractError(f"the history ends behind epoch {last.epoch}, which is not the first")
    followed(last, page.epochs[0].facts)


def successions(views: Sequence[EpochView], pinned: Mapping[str, Pinned]) -> list[Succession]:
    """Of a key's epochs, the newest first, of which each is known to come from the one behind it.

    Arguments:
        pinned: The parties that we know.
    """
    return [_succession(later, earlier.facts, pinned) for later, earlier in pairwise(views)]


def _succession(view: EpochView, before: KeyFacts, pinned: Mapping[str, Pinned]) -> Succession:
    return Succession(
        before=before,
        facts=view.facts,
        made_at=view.made_at,
        signs_from=view.signs_from,
        delete_after=view.delete_after,
        retired={
            each.party_id: each
            for each in view.retirements
            if _holds(each, view.facts, before, pinned)
        },
    )


def _holds(
    retirement: Retirement,
    facts: KeyFacts,
    before: KeyFacts,
    pinned: Mapping[str, Pinned],
) -> bool:
    """By the identity that the epoch's facts give a former holder. That of one whom we know has to
    be the one that we know; one who has left may not be known here any more."""
    for holder in before.holders:
        if holder.party_id != retirement.party_id:
            continue
        identity = PublicIdentity(holder.identity)
        keys = pinned.get(holder.party_id, identity)
        if identity not in identities(keys):
            return False
        try:
            by_any(
                keys,
                lambda key: retirement.verify(
                    key,
                    party_id=retirement.party_id,
                    key_session=facts.session_id,
                    epoch=facts.epoch,
                ),
            )
        except ContractError:
            return False
        return True
    return False
