"""Sessions and messages as rows and back, alike for both backends."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..database import Row
from ..records import Outgoing, Received, Session, SessionChange

OUTGOING_COLUMNS = "exchange, routing_key, kind, content_type, message_id, headers, body"


class SessionRows:
    """Sessions as they are: a coordinator has no secrets."""

    def state(self, change: SessionChange) -> bytes:
        """The bytes that are kept of a session's state."""
        return change.state

    def received(self, change: SessionChange) -> tuple[Received, ...]:
        """The inbox rows that a change adds."""
        return change.received

    def session(self, row: Row, inbox: Iterable[Received]) -> Session:
        """The session with its inbox, as whoever committed it had it."""
        return Session(
            session_id=row["session_id"],
            version=row["version"],
            protocol=row["protocol"],
            key_session=row["key_session"],
            status=row["status"],
            deadline=row["deadline"],
            state=row["state"],
            received=tuple(inbox),
        )


def received_from_row(row: Row) -> Received:
    return Received(slot=row["slot"], sender=row["sender"], digest=row["digest"], body=row["body"])


def outgoing_values(outgoing: Outgoing) -> tuple[object, ...]:
    """In the order of `OUTGOING_COLUMNS`."""
    return (
        outgoing.exchange,
        outgoing.routing_key,
        outgoing.kind,
        outgoing.content_type,
        outgoing.message_id,
        json.dumps(dict(outgoing.headers)),
        outgoing.body,
    )


def outgoing_from_row(row: Row) -> Outgoing:
    return Outgoing(
        exchange=row["exchange"],
        routing_key=row["routing_key"],
        kind=row["kind"],
        content_type=row["content_type"],
        message_id=row["message_id"],
        headers=json.loads(row["headers"]),
        body=row["body"],
    )
