# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""What a coordinator's transactions do to its pools, in SQLite. Each of them is alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from contracts.results import Status

from ..database import RefusedError
from ..records import (
    BatchRecord,
    CoordinatorChange,
    Outcome,
    PooledPresignature,
    PoolName,
    WaitingSession,
)
from ..rows import pools as rows
from ..rows.pools import (
    POOL_NAME_COLUMNS,
    PRESIGNATURE_COLUMNS,
    QUARREL_COLUMNS,
    WAITER_COLUMNS,
)
from ..shared.pools import LINE, in_turn
from .database import change, now, select

ADD_PRESIGNATURE = f"""
    INSERT INTO presignatures ({PRESIGNATURE_COLUMNS}, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

# Nothing if as many as may be are in the making.
ADD_BATCH = f"""
    INSERT INTO presign_batches (session_id, {POOL_NAME_COLUMNS}, count)
    SELECT $1, $2, $3, $4, $5
    WHERE (SELECT count(*) FROM presign_batches) < $7 AND (
        SELECT count(*) FROM presign_batches
        WHERE key_session = $2 AND epoch = $3 AND signers = $4
    ) < $6
"""

END_BATCH = "DELETE FROM presign_batches WHERE session_id = $1"

ADD_WAITER = f"""
    INSERT INTO waiters ({WAITER_COLUMNS}, place)
    SELECT $1, $2, $3, $4, $5, coalesce(max(place), 0) + 1 FROM waiters
    WHERE key_session = $2 AND epoch = $3 AND signers = $4
"""

END_WAIT = "DELETE FROM waiters WHERE session_id = $1"

QUARREL = f"""
    INSERT INTO quarrels ({QUARREL_COLUMNS}) VALUES ($1, $2, $3)
    ON CONFLICT (accuser, accused) DO UPDATE SET at = excluded.at WHERE quarrels.at < excluded.at
"""

# What is left when everybody who waits has been served. Whoever has been, and is in the line still,
# counts as well: it is not for long.
SPARE = """
    SELECT (
        SELECT count(*) FROM presignatures WHERE key_session = $1 AND epoch = $2 AND signers = $3
    ) - coalesce(sum(count), 0) AS spare
    FROM waiters WHERE key_session = $1 AND epoch = $2 AND signers = $3
"""

# The newest: a party that has too many forgets the oldest ones.
NEWEST = f"""
    SELECT {PRESIGNATURE_COLUMNS} FROM presignatures
    WHERE key_session = $1 AND epoch = $2 AND signers = $3
    ORDER BY made_at DESC, batch DESC, position DESC
    LIMIT $4
"""

TAKE = "DELETE FROM presignatures WHERE batch = $1 AND position = $2"


def keep(connection: sqlite3.Connection, wanted: CoordinatorChange) -> None:
    """What a change says of pools. Raises RefusedError."""
    session_id, at = wanted.session_id, now()
    for made in wanted.presignatures:
        change(connection, ADD_PRESIGNATURE, *rows.presignature_values(made), at)
    for quarrel in wanted.quarrels:
        change(connection, QUARREL, *rows.quarrel_values(quarrel))
    if wanted.served:
        change(connection, END_WAIT, session_id)
    if Status(wanted.status).final:
        # A session that ends begins no batch and waits for nothing.
        change(connection, END_BATCH, session_id)
        change(connection, END_WAIT, session_id)
        return
    if wanted.batch is not None:
        _begin_batch(connection, session_id, wanted.batch)
    if wanted.waiter is not None:
        change(connection, ADD_WAITER, *rows.waiter_values(wanted.waiter))


def claim_in_turn(
    connection: sqlite3.Connection, pools: list[PoolName], count: int
) -> tuple[PooledPresignature, ...]:
    """From the first that has so many besides what others wait for."""
    for pool in pools:
        (found,) = select(connection, SPARE, *rows.pool_name_values(pool))
        if found["spare"] >= count:
            return claim(connection, pool, count)
    return ()


def line(connection: sqlite3.Connection, pool: PoolName, limit: int) -> list[WaitingSession]:
    """Those who can be served now."""
    found = select(connection, LINE, *rows.pool_name_values(pool), limit)
    stock = found[0]["stock"] if found else 0
    return list(in_turn(map(rows.waiting_session, found), stock))


def stop_waiting(connection: sqlite3.Connection, session_ids: Sequence[bytes]) -> None:
    """Take sessions that were served out of the line."""
    for session_id in session_ids:
        change(connection, END_WAIT, session_id)


def claim(
    connection: sqlite3.Connection, pool: PoolName, count: int
) -> tuple[PooledPresignature, ...]:
    """All or none."""
    found = select(connection, NEWEST, *rows.pool_name_values(pool), count)
    if len(found) < count:
        return ()
    for row in found:
        change(connection, TAKE, row["batch"], row["position"])
    return tuple(map(rows.presignature, found))


def _begin_batch(connection: sqlite3.Connection, session_id: bytes, batch: BatchRecord) -> None:
    if not change(connection, ADD_BATCH, session_id, *rows.batch_values(batch)):
        raise RefusedError(Outcome.BATCH_REFUSED)
