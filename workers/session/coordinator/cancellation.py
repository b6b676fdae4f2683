"""The coordinator's side of a cancel: whom to ask, and what their answers come to.

Pure. The parties' word alone is worth something to the client, so nothing here weighs it: that is
`contracts.client.settlement`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from contracts import sessions
from contracts.coordinators import MAX_RESULT_BYTES
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.peers import Pinned, by_any
from contracts.primitives import Contract, Hex32, Id, Status
from contracts.requests import CancelRequest, KeygenRequest, SignRequest
from contracts.results import MAX_EPOCHS_SHOWN, CancelResult
from contracts.sessions import CancelAnswered, CancelRefusal

from ...store.records import Outgoing, Received
from ..sending import instruction
from .conduct import Conduct
from .reported_failures import payload

PATIENCE_MS = 5_000
"""For the parties' answers. Of those that come later, nobody hears."""


class Cancellation(Contract):
    """The coordinator's state of a session that cancels a request.

    Attributes:
        by_operator: And not by its own client.
        asked: Parties.
    """

    request: CancelRequest
    request_digest: Hex32
    by_operator: bool
    asked: list[Id]


def whom_to_ask(
    target: Conduct | None, parties: Iterable[str], *, moved: bool = False
) -> list[str]:
    """Everybody that could answer the request: of a key whose shares were made anew, holders of any
    epoch, and who they were, all parties say. The members of a key generation are the
    coordinator's word where the request names none, and so is the key where as many others could
    hold one of its name (see `contracts.client.settlement`): then all are."""
    parties = list(parties)
    if moved:
        return parties
    match target:
        case Conduct(request=SignRequest(), facts=KeyFacts(holders=holders)) if 2 * len(
            holders
        ) > len(parties):
            could = {holder.party_id for holder in holders}
        case Conduct(request=KeygenRequest(parties=list(named))):
            could = set(named)
        case _:
            return parties
    return [party_id for party_id in parties if party_id in could]


def questions(
    session_id: bytes, asked: Iterable[str], *, request: bytes, signature: bytes, now: int
) -> tuple[Outgoing, ...]:
    """`request_cancelled` for each of the parties."""
    content = sessions.RequestCancelled(
        session_id=session_id, issued_at=now, request=request, request_signature=signature
    )
    return tuple(instruction(content, party_id, session_id) for party_id in asked)


def check_report(
    cancellation: Cancellation,
    envelope: Envelope,
    report: sessions.Report,
    pinned: Pinned,
) -> CancelAnswered:
    """The report, as one that this session has.

    Raises:
        ContractError: its sender may not say this here, or its statement does not verify.
    """
    request, sender = cancellation.request, envelope.sender
    if not isinstance(report, CancelAnswered):
        raise ContractError(f"{report.report} in a session to cancel")
    if sender not in cancellation.asked:
        raise ContractError(f"{sender} was not asked")
    if report.statement is not None:
        if report.statement.party_id != sender:
            raise ContractError(f"{sender} brings a statement of {report.statement.party_id}")
        by_any(pinned, partial(report.statement.verify, request.target_owner, request.target))
    return report


def all_answered(cancellation: Cancellation, received: Iterable[Received]) -> bool:
    return {row.sender for row in received} >= set(cancellation.asked)


def answer(
    cancellation: Cancellation,
    received: Iterable[Received],
    *,
    target_status: Status | None,
    named: bytes | None,
    epochs: Sequence[KeyFacts] = (),
    now: int,
) -> CancelResult:
    """What the parties have said so far, and how the target ended.

    Arguments:
        named: The target's session, as its owner knows it.
        epochs: Of the key that the cancel names.
    """
    request = cancellation.request
    answers = {row.sender: CancelAnswered.model_validate_json(payload(row)) for row in received}
    statements = [each.statement for each in answers.values() if each.statement is not None]
    signed = CancelRefusal.ALREADY_SIGNED
    return CancelResult(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=named,
        request_digest=cancellation.request_digest,
        status=Status.COMPLETED,
        finished_at=now,
        target=request.target,
        target_status=target_status,
        statements=sorted(statements, key=lambda each: each.party_id),
        already_signed=sorted(who for who, each in answers.items() if each.refused is signed),
        silent=[party_id for party_id in cancellation.asked if party_id not in answers],
        epochs=list(epochs) if _fit(epochs) else [],
    )


def _fit(epochs: Sequence[KeyFacts]) -> bool:
    """Whether they leave room for the rest of a result. Of fewer nobody would know whose statements
    count."""
    if len(epochs) > MAX_EPOCHS_SHOWN:
        return False
    return sum(len(each.model_dump_json()) for each in epochs) <= MAX_RESULT_BYTES // 4 * 3
