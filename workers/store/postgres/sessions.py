# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A session's rows in PostgreSQL, the same for both roles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contracts.results import Status

from ..database import Row
from ..records import Outgoing, Received, Session, SessionChange
from ..rows.sessions import SessionRows, outgoing_values
from ..shared.sessions import PURGED_AT_ONCE, SharedStore
from .database import PostgresDatabase

# A session's inbox as one row of arrays.
INBOX = """
    SELECT array_agg(slot) AS slots, array_agg(sender) AS senders, array_agg(digest) AS digests,
        array_agg(body) AS bodies
    FROM (
        SELECT slot, sender, digest, body FROM inbox
        WHERE inbox.session_id = $1
        ORDER BY slot COLLATE "C", sender COLLATE "C"
    ) AS ordered
"""

# A session with its inbox.
SESSION = f"""
    SELECT session_id, version, protocol, key_session, status, deadline, state, received.*
    FROM sessions CROSS JOIN ({INBOX}) AS received
    WHERE session_id = $1
"""


NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now"


def purge_statement(*tables: str) -> str:
    """Forget some of the sessions that ended long ago, with their rows in these tables."""
    deletions = ",".join(
        f"""
        from_{table} AS (
            DELETE FROM {table} USING ended WHERE {table}.session_id = ended.session_id
        )"""
        for table in tables
    )
    return f"""
        WITH ended AS MATERIALIZED (
            SELECT session_id FROM sessions
            WHERE ended_at < $1
            ORDER BY ended_at
            LIMIT {PURGED_AT_ONCE}
            FOR UPDATE SKIP LOCKED
        ), {deletions}
        DELETE FROM sessions USING ended WHERE sessions.session_id = ended.session_id
    """


class PostgresStore(SharedStore):
    """The half of a store that both roles share."""

    purging: str
    _database: PostgresDatabase

    async def _session(self, session_id: bytes) -> Session | None:
        found = await self._database.fetch(SESSION, session_id)
        return self._rows.session(found[0], inbox(found[0])) if found else None

    async def now(self) -> int:
        (row,) = await self._database.fetch(NOW)
        now: int = row["now"]
        return now

    async def _purge(self, ended_before: int) -> int:
        return await self._database.execute(self.purging, ended_before)


def inbox(row: Row) -> Iterator[Received]:
    """What a session has received, from `INBOX`'s arrays."""
    columns = (row["slots"], row["senders"], row["digests"], row["bodies"])
    if columns[0] is None:
        return
    for slot, sender, digest, body in zip(*columns, strict=True):
        yield Received(slot=slot, sender=sender, digest=digest, body=body)


def advance_values(
    rows: SessionRows, change: SessionChange, outgoing: tuple[Outgoing, ...]
) -> tuple[object, ...]:
    """What `advance_session_v1` takes."""
    received = rows.received(change)
    return (
        change.session_id,
        change.expected_version,
        change.protocol,
        change.key_session,
        change.status,
        change.deadline,
        rows.state(change),
        Status(change.status).final,
        change.cause,
        *arrays([(row.slot, row.sender, row.digest, row.body) for row in received], 4),
        *arrays([outgoing_values(message) for message in outgoing], 7),
    )


def arrays(rows: Sequence[tuple[object, ...]], width: int) -> tuple[tuple[object, ...] | None, ...]:
    """Rows of `width` columns as columns, for `unnest`; nulls if there are none."""
    return tuple(zip(*rows, strict=True)) or (None,) * width
