"""A party's side of a cancellation: who may cancel what, and what can be stated of it."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.admission import open_request
from contracts.errors import ContractError
from contracts.keys import EpochName
from contracts.requests import MAX_LIFETIME_MS, CancelRequest
from contracts.sessions import RequestCancelled, cancel_session_id
from contracts.signing import SignedRequest
from contracts.statements import Statement

from ...store.records import CancellationRecord, IncarnationRecord, PromiseRecord
from ..errors import RefusedError
from .acceptance import Party


def accept_cancel(told: RequestCancelled, party: Party, *, now: int) -> CancelRequest:
    """
    Raises:
        RefusedError: the cancel does not check out here.
        ContractError: the session is not the cancel's: no coordinator says so.
    """
    try:
        signed = open_request(told.request, told.request_signature, party.clients)
    except ContractError as error:
        raise RefusedError(f"the cancel does not check out here: {error}") from None
    request = signed.request
    if not isinstance(request, CancelRequest):
        raise RefusedError(f"operation {request.operation!r} cancels nothing")
    if told.session_id != cancel_session_id(signed.digest):
        raise ContractError("the session id is not the one that the cancel gives")
    if now > request.expires_at + party.clock_tolerance_ms:
        raise RefusedError("the cancel expired; is a clock wrong?")
    if request.issued_at > now + party.clock_tolerance_ms:
        raise RefusedError("the cancel was issued in the future; is a clock wrong?")
    if request.of not in {None, request.owned_by} and not _is_operator(signed, party):
        raise RefusedError("only operators cancel what others asked for")
    return request


def remembered_from(memory: IncarnationRecord, party: Party, *, now: int, kept_ms: int) -> int:
    """If we have answered a request that was issued since then, we know.

    Arguments:
        kept_ms: How long answers are remembered.
    """
    tolerance_ms = party.clock_tolerance_ms
    lost_until = now - kept_ms if memory.is_first else max(memory.begun_at, now - kept_ms)
    return max(0, lost_until + tolerance_ms + 1)


def forgotten(request: CancelRequest, memory: IncarnationRecord, since: int) -> bool:
    """Whether we may have answered the request and know no more.

    Arguments:
        since: As `remembered_from` says.
    """
    if request.target_issued_at is None:
        # A statement says from when on it holds; whoever knows the request can tell.
        return not memory.is_first
    return request.target_issued_at < since


def state(
    request: CancelRequest, party: Party, since: int, promise: PromiseRecord | None = None
) -> Statement:
    """Arguments: promise: Of the key that the cancel names; None to state nothing of it."""
    return Statement.signed(
        party.speaker,
        party.party_id,
        request.target_owner,
        request.target,
        issued_from=since,
        issued_until=request.issued_at,
        key_session=None if promise is None else promise.key_session,
        epochs=None if promise is None else [*_names(promise)],
    )


def _names(promise: PromiseRecord) -> Iterator[EpochName]:
    for each in promise.epochs:
        assert each.session_id is not None  # or it would not have been promised
        yield EpochName(epoch=each.epoch, session_id=each.session_id)


def covers(statement: Statement, request: CancelRequest, key_session: bytes | None = None) -> bool:
    """Whether one made earlier says all that this cancel asks for, and in the form that it knows.

    Arguments:
        key_session: Of the key of which we would state something.
    """
    asked = (request.target_issued_at, request.issued_at)
    return statement.key_session == key_session and all(
        statement.covers(at) for at in asked if at is not None
    )


def cancellation(
    request: CancelRequest,
    party: Party,
    memory: IncarnationRecord,
    statement: Statement | None,
    *,
    limit: int,
    promise: PromiseRecord | None = None,
) -> CancellationRecord:
    """
    Arguments:
        limit: Of the owner's live cancellations.
        promise: That goes with the statement.
    """
    lifetime_ms = MAX_LIFETIME_MS + 2 * party.clock_tolerance_ms
    return CancellationRecord(
        owner=request.target_owner.name,
        request_id=request.target,
        issued_until=request.issued_at,
        forbidden_until=request.issued_at + lifetime_ms,
        statement=None if statement is None else statement.model_dump_json(),
        limit=limit,
        incarnation=memory.incarnation,
        promise=None if statement is None else promise,
    )


def _is_operator(signed: SignedRequest, party: Party) -> bool:
    request = signed.request
    return any(
        policy.operator
        and policy.identity.der == request.signer
        and policy.allows(request.client_id, request.operation)
        for policy in party.clients
    )
