"""The coordinator's side of a rehearsal: whom to ask what, and what their answers come to.

Pure. Each party is asked in every role that a try may give it: as a dealer, if it can be one, and
as one that only receives. What it answers is signed, so nothing here weighs it: that is
`contracts.client.rehearsals`'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from random import Random

from contracts import sessions
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.peers import Pinned, by_any
from contracts.primitives import Contract, Hex32, Id, Status
from contracts.requests import RehearseRequest, ReshareRequest
from contracts.results import RehearseResult
from contracts.sessions import RehearsalAnswered
from contracts.terms import ReshareTerms

from ...store.records import Outgoing, Received
from ..peers import Peer
from ..sending import instruction
from . import resharing
from .choice import ChoiceError, dealers
from .reported_failures import payload

PATIENCE_MS = 5_000
"""For the parties' answers. Whoever is later would have let a reshare wait as well."""


class Rehearsing(Contract):
    """The coordinator's state of a session that asks whether parties would take part.

    Attributes:
        asked: Parties.
    """

    request: RehearseRequest
    request_digest: Hex32
    asked: list[Id]


def terms_of(
    request: RehearseRequest,
    digest: bytes,
    predecessor: CertifiedKey,
    parties: Mapping[str, Peer],
    alive: Collection[str],
    begun: Iterable[int],
    random: Random,
    salt: bytes,
) -> Mapping[str, list[ReshareTerms]]:
    """Party id -> terms of tries that would give it each of its roles.

    Raises ChoiceError for what the reshare itself would be refused for.
    """
    facts, wish = predecessor.facts, request.asks_for
    epoch = resharing.next_epoch(wish, begun)
    candidates = _candidates(wish, facts, parties, alive, random)

    def terms(dealing: list[str]) -> ReshareTerms:
        chosen = wish.model_copy(update={"dealers": dealing})
        return ReshareTerms(
            request_digest=digest,
            key_session=facts.session_id,
            predecessor=facts.digest(),
            epoch=epoch,
            threshold=wish.threshold,
            members=resharing.members(chosen, facts, parties, alive, random),
            salt=salt,
        )

    found: dict[str, list[ReshareTerms]] = {}
    for name in dict.fromkeys([*candidates, *wish.parties]):
        others = [each for each in candidates if each != name]
        if name in candidates:
            found.setdefault(name, []).append(terms([name, *others[: facts.threshold - 1]]))
        if name in wish.parties and len(others) >= facts.threshold:
            found.setdefault(name, []).append(terms(others[: facts.threshold]))
    return found


def _candidates(
    wish: ReshareRequest,
    facts: KeyFacts,
    parties: Mapping[str, Peer],
    alive: Collection[str],
    random: Random,
) -> list[str]:
    """Who could deal, the living first; enough of them. Raises ChoiceError."""
    if wish.dealers is not None:
        return dealers(wish, facts, alive, random)
    holders = [holder.party_id for holder in facts.holders if holder.party_id in parties]
    if len(holders) < facts.threshold:
        raise ChoiceError(
            FailureCode.UNKNOWN_PARTY,
            f"{len(holders)} of the key's holders are among the parties here, and "
            f"{facts.threshold} would have to deal",
        )
    return sorted(holders, key=lambda name: name not in alive)


def questions(
    session_id: bytes,
    asked: Mapping[str, list[ReshareTerms]],
    predecessor: CertifiedKey,
    *,
    request: bytes,
    signature: bytes,
    now: int,
) -> tuple[Outgoing, ...]:
    """`rehearsal_asked` for each of the parties."""
    return tuple(
        instruction(
            sessions.RehearsalAsked(
                session_id=session_id,
                issued_at=now,
                terms=terms,
                predecessor=predecessor,
                request=request,
                request_signature=signature,
            ),
            party_id,
            session_id,
        )
        for party_id, terms in asked.items()
    )


def check_report(
    state: Rehearsing, envelope: Envelope, report: sessions.Report, pinned: Pinned
) -> RehearsalAnswered:
    """The report, as one that this session has.

    Raises:
        ContractError: its sender may not say this here, or its answer does not verify.
    """
    sender = envelope.sender
    if not isinstance(report, RehearsalAnswered):
        raise ContractError(f"{report.report} in a session to rehearse")
    if sender not in state.asked:
        raise ContractError(f"{sender} was not asked")
    if report.readiness.party_id != sender:
        raise ContractError(f"{sender} brings an answer of {report.readiness.party_id}")
    by_any(pinned, partial(report.readiness.verify, request_digest=state.request_digest))
    return report


def all_answered(state: Rehearsing, received: Iterable[Received]) -> bool:
    return {row.sender for row in received} >= set(state.asked)


def answer(state: Rehearsing, received: Iterable[Received], *, now: int) -> RehearseResult:
    """What the parties have said so far."""
    request = state.request
    answers = {
        row.sender: RehearsalAnswered.model_validate_json(payload(row)).readiness
        for row in received
    }
    return RehearseResult(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=None,
        request_digest=state.request_digest,
        status=Status.COMPLETED,
        finished_at=now,
        key_id=request.key_id,
        answers=[answers[party_id] for party_id in sorted(answers)],
        silent=[party_id for party_id in state.asked if party_id not in answers],
    )
