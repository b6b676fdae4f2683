"""The kinds of sessions that a coordinator conducts, behind one interface.

Sessions of the first kind are asked for by a request, see `request_sessions`; those of the second
are batches of presignatures, see `batches`; those of the third cancel a request, see
`cancellations`. A protocol's name says of which kind its sessions are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts import sessions
from contracts.envelope import Envelope

from ..session import inbox
from ..store.records import Received, Session


@dataclass(frozen=True, slots=True)
class Said:
    """What a party says about a session, its signature verified."""

    envelope: Envelope
    report: sessions.Report
    body: bytes

    @property
    def cause(self) -> str:
        return inbox.cause_of(self.envelope)

    @property
    def row(self) -> Received:
        """It, as the session keeps it."""
        return Received(
            slot=self.envelope.kind,
            sender=self.envelope.sender,
            digest=self.envelope.digest(),
            body=self.body,
        )


class SessionKind(Protocol):
    """What may come to any session. Who calls has just loaded the session and holds its lock.

    Somebody's wish to end it is not among that: only a request's session has an owner who could
    wish it, see `CoordinatorCommits.end`.
    """

    async def advance(self, session: Session, said: Said) -> bool:
        """Take a report in, or send again what it led to.

        False if another worker moved the session on: load and try again.
        """
        ...

    async def expire(self, session: Session) -> bool:
        """The deadline of a session that is not over has passed, and the parties' grace.

        False if it has its time still before it.
        """
        ...

    async def send_owed(self, session: Session) -> None:
        """Finish an end that nobody asks for again: it was committed, and perhaps not sent."""
        ...


class UnknownProtocolError(LookupError):
    """A session of a protocol that this coordinator does not conduct."""


class SessionKinds:
    """
    Arguments:
        kinds: Of each protocol's sessions.
    """

    def __init__(self, kinds: Mapping[str, SessionKind]) -> None:
        self._kinds = kinds

    def of(self, session: Session) -> SessionKind:
        kind = self._kinds.get(session.protocol)
        if kind is None:
            raise UnknownProtocolError(
                f"session {session.session_id.hex()} is of protocol {session.protocol!r}; this "
                f"coordinator conducts {', '.join(sorted(self._kinds))}: is it older than another "
                "one on the same database?"
            )
        return kind
