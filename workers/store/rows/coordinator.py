"""The coordinator's records as rows and back. Nothing here is secret."""

from __future__ import annotations

from ..database import Row
from ..records import (
    REFUSED,
    CommitmentRecord,
    Event,
    KeyEpoch,
    KeyRecord,
    PartySeen,
    RequestRecord,
    RetirementRecord,
    StoredEvent,
)
from .sessions import outgoing_from_row

REQUEST_COLUMNS = "owner, request_id, operation, digest, request_body, signature, session_id"
KEY_COLUMNS = "owner, key_id, key_session, epoch, curve, certified"
KEY_EPOCH_COLUMNS = "key_session, epoch, session_id, bundle, signs_from, due_at"
COMMITMENT_COLUMNS = "nonce_id, key_session, epoch, scheme, party_id, commitment"
EVENT_COLUMNS = "event, party_id, details"


def request_values(request: RequestRecord) -> tuple[object, ...]:
    """In the order of `REQUEST_COLUMNS`; the result is a row of the outbox."""
    return (
        request.owner,
        request.request_id,
        request.operation,
        request.digest,
        request.body,
        request.signature,
        request.session_id,
    )


def request(row: Row) -> RequestRecord:
    """Of a request joined with the outbox row of its result, whose columns are null without one."""
    return RequestRecord(
        owner=row["owner"],
        request_id=row["request_id"],
        operation=row["operation"],
        digest=row["digest"],
        body=row["request_body"],
        signature=row["signature"],
        session_id=row["session_id"],
        result=None if row["exchange"] is None else outgoing_from_row(row),
        refused=row["result_cause"] == REFUSED,
    )


def key_values(key: KeyRecord) -> tuple[object, ...]:
    """In the order of `KEY_COLUMNS`."""
    return key.owner, key.key_id, key.key_session, key.epoch, key.curve, key.certified


def key(row: Row) -> KeyRecord:
    return KeyRecord(
        owner=row["owner"],
        key_id=row["key_id"],
        key_session=row["key_session"],
        epoch=row["epoch"],
        curve=row["curve"],
        certified=row["certified"],
    )


def key_epoch(row: Row) -> KeyEpoch:
    return KeyEpoch(
        key_session=row["key_session"],
        epoch=row["epoch"],
        session_id=row["session_id"],
        bundle=row["bundle"],
        signs_from=row["signs_from"],
        due_at=row["due_at"],
    )


def retirement(row: Row) -> RetirementRecord:
    return RetirementRecord(
        key_session=row["key_session"],
        epoch=row["epoch"],
        party_id=row["party_id"],
        shown=row["shown"],
        due_at=row["due_at"],
        retirement=row["retirement"],
    )


def commitment_values(commitment: CommitmentRecord) -> tuple[object, ...]:
    """In the order of `COMMITMENT_COLUMNS`."""
    return (
        commitment.nonce_id,
        commitment.key_session,
        commitment.epoch,
        commitment.scheme,
        commitment.party_id,
        commitment.commitment,
    )


def commitment(row: Row) -> CommitmentRecord:
    return CommitmentRecord(
        nonce_id=row["nonce_id"],
        key_session=row["key_session"],
        epoch=row["epoch"],
        scheme=row["scheme"],
        party_id=row["party_id"],
        commitment=row["commitment"],
    )


def event_values(event: Event) -> tuple[object, ...]:
    """In the order of `EVENT_COLUMNS`."""
    return event.event, event.party_id, event.details


def event(row: Row) -> StoredEvent:
    return StoredEvent(
        sequence=row["sequence"],
        at=row["at"],
        event=row["event"],
        party_id=row["party_id"],
        details=row["details"],
    )


def party(row: Row) -> PartySeen:
    return PartySeen(party_id=row["party_id"], last_seen=row["last_seen"])
