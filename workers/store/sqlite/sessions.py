# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A session's rows in SQLite, the same for both roles."""

from __future__ import annotations

import sqlite3

from contracts.results import Status

from ..database import RefusedError
from ..records import Outcome, Outgoing, Session, SessionChange
from ..rows.sessions import (
    OUTGOING_COLUMNS,
    SessionRows,
    outgoing_values,
    received_from_row,
)
from ..shared.sessions import PURGED_AT_ONCE, SharedStore
from .database import SqliteDatabase, change, now, select

SESSION = """
    SELECT session_id, version, protocol, key_session, status, deadline, state FROM sessions
    WHERE session_id = $1
"""

INBOX = """
    SELECT slot, sender, digest, body FROM inbox
    WHERE session_id = $1
    ORDER BY slot, sender
"""

# The session's first version, unless it is there.
CREATE = """
    INSERT INTO sessions
        (session_id, version, protocol, key_session, status, deadline, state, created_at, ended_at)
    VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT DO NOTHING
"""

# Its next version, if the expected one is still the last and the session is not over.
ADVANCE = """
    UPDATE sessions
    SET version = version + 1, protocol = $2, key_session = $3, status = $4, deadline = $5,
        state = $6, ended_at = $7
    WHERE session_id = $1 AND version = $8 AND ended_at IS NULL
"""

RECEIVE = """
    INSERT INTO inbox (session_id, slot, sender, digest, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
"""

SEND = f"""
    INSERT INTO outbox (session_id, cause, position, {OUTGOING_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING
"""

ENDED = """
    SELECT session_id FROM sessions
    WHERE ended_at < $1
    ORDER BY ended_at
    LIMIT $2
"""


class SqliteStore(SharedStore):
    """The half of a store that both roles share. `tables` have rows by session."""

    tables: tuple[str, ...]
    _database: SqliteDatabase

    async def _session(self, session_id: bytes) -> Session | None:
        return await self._database.read(
            lambda connection: load(connection, self._rows, session_id)
        )

    async def now(self) -> int:
        return now()

    async def _purge(self, ended_before: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            ended = select(connection, ENDED, ended_before, PURGED_AT_ONCE)
            for row in ended:
                for table in self.tables:
                    change(
                        connection,
                        f"DELETE FROM {table} WHERE session_id = $1",
                        row["session_id"],
                    )
            return len(ended)

        return await self._database.write(work)


def load(connection: sqlite3.Connection, rows: SessionRows, session_id: bytes) -> Session | None:
    """The session with its inbox."""
    found = select(connection, SESSION, session_id)
    if not found:
        return None
    inbox = select(connection, INBOX, session_id)
    return rows.session(found[0], map(received_from_row, inbox))


def advance(
    connection: sqlite3.Connection,
    rows: SessionRows,
    wanted: SessionChange,
    outgoing: tuple[Outgoing, ...],
) -> None:
    """Move the session on with what came in and what goes out. Raises RefusedError."""
    session_id, at = wanted.session_id, now()
    ended_at = at if Status(wanted.status).final else None
    columns = (
        session_id,
        wanted.protocol,
        wanted.key_session,
        wanted.status,
        wanted.deadline,
        rows.state(wanted),
    )
    if wanted.expected_version == 0:
        changed = change(connection, CREATE, *columns, at, ended_at)
    else:
        changed = change(connection, ADVANCE, *columns, ended_at, wanted.expected_version)
    if not changed:
        raise RefusedError(Outcome.LOST_RACE)
    for row in rows.received(wanted):
        if not change(connection, RECEIVE, session_id, row.slot, row.sender, row.digest, row.body):
            raise RefusedError(Outcome.LOST_RACE)
    for position, message in enumerate(outgoing):
        values = (session_id, wanted.cause, position, *outgoing_values(message))
        if not change(connection, SEND, *values):
            raise RefusedError(Outcome.LOST_RACE)
