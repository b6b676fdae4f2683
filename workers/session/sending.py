"""Messages as they leave: every kind with its exchange, key, type and stable message id."""

from __future__ import annotations

from collections.abc import Iterable

from contracts import addresses, envelope, results, sessions
from contracts.envelope import COORDINATOR, EVERYONE, NO_SESSION, Envelope
from contracts.identity import Identity

from ..store.records import Outgoing
from .protocols import lane_of, lanes_of

JSON = "application/json"


def round_message(
    content: Envelope, identity: Identity, recipients: Iterable[str]
) -> tuple[Outgoing, ...]:
    """One envelope, signed once: to its recipient, or the same bytes to each of `recipients`."""
    body = content.seal(identity)
    (lane,) = lanes_of(content.kind)
    to = tuple(recipients) if content.recipient == EVERYONE else (content.recipient,)
    return tuple(
        Outgoing(
            exchange=lane.rounds,
            routing_key=party_id,
            kind=f"{content.kind}/{content.round}",
            content_type=envelope.CONTENT_TYPE,
            message_id=content.digest().hex(),
            body=body,
            headers={"session_id": content.session_id.hex()},
        )
        for party_id in to
    )


def report(
    content: sessions.Report,
    *,
    identity: Identity,
    party_id: str,
    session_id: bytes = NO_SESSION,
    epoch: int = 0,
) -> Outgoing:
    """A party's signed word to the coordinator."""
    sealed = Envelope(
        session_id=session_id,
        epoch=epoch,
        kind=content.report,
        round=0,
        sender=party_id,
        recipient=COORDINATOR,
        payload=content.model_dump_json().encode(),
    )
    return Outgoing(
        exchange=addresses.REPORTS,
        routing_key=addresses.report_key(content.report, party_id),
        kind=content.report,
        content_type=envelope.CONTENT_TYPE,
        message_id=sealed.digest().hex(),
        body=sealed.seal(identity),
        headers={"session_id": session_id.hex()},
    )


def instruction(content: sessions.Instruction, party_id: str, session_id: bytes) -> Outgoing:
    """The coordinator's word to one party. It is put into its envelope when it is published."""
    return Outgoing(
        exchange=lane_of(content).instructions,
        routing_key=party_id,
        kind=content.instruction,
        content_type=JSON,
        message_id=f"{content.instruction}-{session_id.hex()}",
        body=content.model_dump_json().encode(),
        headers={"session_id": session_id.hex()},
    )


def cancellation(content: sessions.SessionCancelled) -> Outgoing:
    """To every worker process that hears it now; the parties' inboxes carry it as well."""
    session_id = content.session_id
    return Outgoing(
        exchange=addresses.CANCEL,
        routing_key="",
        kind=content.instruction,
        content_type=JSON,
        message_id=f"{content.instruction}-{session_id.hex()}",
        body=content.model_dump_json().encode(),
        headers={"session_id": session_id.hex()},
    )


def result(content: results.Result, reply_to: str) -> Outgoing:
    headers = {"request_id": content.request_id, "status": content.status.value}
    if content.client_id is not None:
        headers["client_id"] = content.client_id
    if content.session_id is not None:
        headers["session_id"] = content.session_id.hex()
    return Outgoing(
        exchange=addresses.RESULTS,
        routing_key=reply_to,
        kind=content.result,
        content_type=JSON,
        message_id=content.request_id,
        body=content.model_dump_json().encode(),
        headers=headers,
    )
