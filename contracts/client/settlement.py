"""What a cancel proves: whether a signature of the cancelled request can still come up.

The coordinator's word is worth nothing here. What counts are the statements of the parties that
hold the key, each under an identity that the client has pinned.

A key whose shares were made anew has had several committees, and each of them signs as long as
enough of it have not heard of the next. So each has to be counted, and that there is no other is
what the statements themselves say: an epoch is dealt by a threshold of the one before, and of as
many as state it one has dealt, and tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import EpochName, KeyFacts
from ..peers import Pinned, by_any
from ..primitives import Id, Owner, Status
from ..requests import KeygenRequest, ReshareRequest
from ..results import CancelResult
from ..statements import Statement


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    Attributes:
        target_status: How the coordinator left the request; None if it had not seen it.
        statements: Those that count: of a holder of the key, valid, and of the right time.
        already_signed: Parties that say they have answered the request; its signature may exist,
            whatever became of it.
        silent: Parties that did not answer.
        liars_tolerated: As many parties may have lied in their statements, and still no signature
            can be made, in the epoch where it takes the fewest; negative where one can without any
            lie. None where nobody knows whose statements would count.
        final: At least as many as the setting `liars`: nothing comes of this request id any more.
            False, too, where parties know of an epoch of the key that we were not shown.
            The same message under another id is another request.
    """

    target: Id
    target_status: Status | None
    statements: tuple[Statement, ...]
    already_signed: tuple[Id, ...]
    silent: tuple[Id, ...]
    liars_tolerated: int | None
    final: bool

    @property
    def signature_may_exist(self) -> bool:
        return not self.final


@dataclass(frozen=True, slots=True)
class Committee:
    """Those of whom enough must answer for something to come of a request.

    Attributes:
        members: By party id, with what speaks for it.
        needed: So many of them make a signature, or a key.
    """

    members: Mapping[str, Pinned]
    needed: int
    threshold: int

    def tolerates(self, stated: Collection[str]) -> int:
        """So many liars among those who stated it: something is possible if and only if they and
        the members who stated nothing are as many as needed."""
        others = len(self.members.keys() - stated)
        return self.needed - others - 1


@dataclass(frozen=True, slots=True)
class Group:
    """Whose statements count.

    Attributes:
        committees: Each of them can answer: those of a key's epochs, the newest in front.
        key_session: The key of which statements have to tell. None: of any, it is not made yet.
        epochs: All of the key's but the first, as far as we know. By their sessions, too: of two
            reshares from one epoch both may have been made, with the same number.
    """

    committees: tuple[Committee, ...]
    key_session: bytes | None = None
    epochs: frozenset[EpochName] = frozenset()

    @classmethod
    def of_key(
        cls,
        facts: KeyFacts,
        pinned: Mapping[str, Pinned] | None = None,
        told: Iterable[KeyFacts] = (),
    ) -> Group | None:
        """None where an epoch that it comes from is not told of: who holds that, nobody knows.

        Arguments:
            facts: Certified, by parties that are pinned.
            pinned: All that there are. A party certifies one key of a name, so if as many others
                could hold one as well, the coordinator may have made two and shows the one that
                suits it: then all count.
            told: What the coordinator says of earlier epochs, of which it could leave out some, but
                each is named by its digest.
        """
        by_digest = {each.digest(): each for each in told}
        line = [facts]
        while (came := line[-1].reshared) is not None:
            if came.predecessor not in by_digest:
                return None
            line.append(by_digest[came.predecessor])
        return cls(
            tuple(_holders(each, pinned or {}) for each in line),
            facts.session_id,
            frozenset(each.name for each in line if each.name is not None),
        )

    @classmethod
    def of_new_key(
        cls, request: KeygenRequest | ReshareRequest, pinned: Mapping[str, Pinned]
    ) -> Group:
        """Every party of a new key, or of a key's new epoch, has to certify it. Where the request
        names none, which ones is the coordinator's word, so all that there are count."""
        named = request.parties
        members = {
            party_id: identity
            for party_id, identity in pinned.items()
            if named is None or party_id in named
        }
        # What those say whom the request names and we do not know, nobody can count.
        unknown = 0 if named is None else len({*named} - pinned.keys())
        return cls((Committee(members, request.party_count - unknown, request.threshold),))

    @property
    def members(self) -> set[str]:
        """Of any of the committees."""
        return {party_id for each in self.committees for party_id in each.members}

    def knows(self, statement: Statement) -> bool:
        """Whether its party had a hand in no epoch of the key but those we know, and says so."""
        if self.key_session is None:
            return True
        if statement.key_session != self.key_session or statement.epochs is None:
            return False
        return self.epochs.issuperset(statement.epochs)


def _holders(facts: KeyFacts, pinned: Mapping[str, Pinned]) -> Committee:
    """By the keys by which they speak now; by that of the facts, who is not known."""
    members: dict[str, Pinned] = {
        holder.party_id: pinned.get(holder.party_id, PublicIdentity(holder.identity))
        for holder in facts.holders
    }
    if 2 * len(members) <= len(pinned):
        members |= pinned
    return Committee(members, facts.threshold, facts.threshold)


def settle(
    result: CancelResult,
    group: Group | None,
    owner: Owner,
    *,
    issued_at: int,
    liars: int | None = None,
) -> Settlement:
    """
    Arguments:
        group: None where it is not known.
        owner: Whose request it was.
        issued_at: Of the request.
        liars: None: as many as could lie without making a signature by themselves.
    """
    target = result.target
    assert target is not None  # `check_answer` has made sure
    counted: dict[str, Statement] = {}
    tolerated: list[int] = []
    final = group is not None and result.target_status is not Status.COMPLETED
    if group is not None:
        said = [each for each in result.statements if each.covers(issued_at) and group.knows(each)]
        for committee in group.committees:
            valid = _valid(said, committee, owner, target)
            counted |= valid
            tolerated.append(committee.tolerates(valid))
            limit = committee.threshold - 1 if liars is None else liars
            final = final and tolerated[-1] >= limit
    return Settlement(
        target=target,
        target_status=result.target_status,
        statements=tuple(counted[party_id] for party_id in sorted(counted)),
        already_signed=tuple(_known(result.already_signed, group)),
        silent=tuple(_known(result.silent, group)),
        liars_tolerated=min(tolerated, default=None),
        final=final,
    )


def _valid(
    statements: Iterable[Statement], committee: Committee, owner: Owner, target: str
) -> dict[str, Statement]:
    """One of each party, at most."""
    valid: dict[str, Statement] = {}
    for statement in statements:
        pinned = committee.members.get(statement.party_id)
        if pinned is None:
            continue
        try:
            by_any(pinned, partial(statement.verify, owner, target))
        except ContractError:
            continue
        valid[statement.party_id] = statement
    return valid


def _known(parties: Collection[str], group: Group | None) -> list[str]:
    return [each for each in parties if group is None or each in group.members]
