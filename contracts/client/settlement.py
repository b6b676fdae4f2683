"""What a cancel proves: whether a signature of the cancelled request can still come up.

The coordinator's word is worth nothing here. What counts are the statements of the parties that
hold the key, each under an identity that the client has pinned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..errors import ContractError
from ..identity import PublicIdentity
from ..keys import KeyFacts
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
            can be made; negative where one can without any lie. None where nobody knows whose
            statements would count.
        final: At least as many as the setting `liars`: nothing comes of this request id any more.
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
class Group:
    """Those of whom enough must answer for something to come of a request.

    Attributes:
        members: By party id, with the identity that speaks for it.
        needed: So many of them make a signature, or a key.
    """

    members: Mapping[str, PublicIdentity]
    needed: int
    threshold: int

    @classmethod
    def of_key(cls, facts: KeyFacts, pinned: Mapping[str, PublicIdentity] | None = None) -> Group:
        """
        Arguments:
            facts: Certified, by parties that are pinned.
            pinned: All that there are. A party certifies one key of a name, so if as many others
                could hold one as well, the coordinator may have made two and shows the one that
                suits it: then all count.
        """
        members = {holder.party_id: PublicIdentity(holder.identity) for holder in facts.holders}
        if 2 * len(members) <= len(pinned or {}):
            members |= pinned or {}
        return cls(members, facts.threshold, facts.threshold)

    @classmethod
    def of_new_key(
        cls, request: KeygenRequest | ReshareRequest, pinned: Mapping[str, PublicIdentity]
    ) -> Group:
        """Every party of a new key, or of a key's new epoch, has to certify it. Where the request
        names none, which ones is the coordinator's word, so all that there are count."""
        named = request.parties
        members = {
            party_id: identity
            for party_id, identity in pinned.items()
            if named is None or party_id in named
        }
        return cls(members, request.party_count, request.threshold)


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
    valid = () if group is None else _valid(result.statements, group, owner, target, issued_at)
    tolerated = None
    if group is not None:
        # Possible if and only if those who stated nothing, and the liars, are as many as needed.
        others = len(group.members) - len(valid)
        tolerated = group.needed - others - 1
    limit = liars if liars is not None else 0 if group is None else group.threshold - 1
    over = result.target_status is Status.COMPLETED
    return Settlement(
        target=target,
        target_status=result.target_status,
        statements=valid,
        already_signed=tuple(_known(result.already_signed, group)),
        silent=tuple(_known(result.silent, group)),
        liars_tolerated=tolerated,
        final=tolerated is not None and tolerated >= limit and not over,
    )


def _valid(
    statements: Iterable[Statement], group: Group, owner: Owner, target: str, issued_at: int
) -> tuple[Statement, ...]:
    """One of each party, at most."""
    valid: dict[str, Statement] = {}
    for statement in statements:
        identity = group.members.get(statement.party_id)
        if identity is None or not statement.covers(issued_at):
            continue
        try:
            statement.verify(owner, target, identity)
        except ContractError:
            continue
        valid[statement.party_id] = statement
    return tuple(valid[party_id] for party_id in sorted(valid))


def _known(parties: Collection[str], group: Group | None) -> list[str]:
    return [each for each in parties if group is None or each in group.members]
