# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's questions about its pools, in words that both databases understand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..records import PoolName, PoolRecord, QuarrelRecord, WaiterRecord, WaitingSession
from ..rows import pools as rows
from ..rows.pools import POOL_NAME_COLUMNS, QUARREL_COLUMNS, WAITER_COLUMNS
from .sessions import SharedStore

WAITERS = f"""
    SELECT {WAITER_COLUMNS} FROM waiters
    WHERE key_session = $1 AND epoch = $2 AND signers = $3
    ORDER BY place, session_id
    LIMIT $4
"""

# Those who wait, and how much there is. Whoever was served and has not left the line yet is not
# among them.
LINE = """
    SELECT session_id, waiters.count, sessions.version, sessions.protocol, sessions.key_session,
        sessions.status, sessions.deadline, sessions.state, requests.request_body,
        requests.signature, (
            SELECT count(*) FROM presignatures
            WHERE key_session = $1 AND epoch = $2 AND signers = $3
        ) AS stock
    FROM waiters JOIN sessions USING (session_id) JOIN requests USING (session_id)
    WHERE waiters.key_session = $1 AND waiters.epoch = $2 AND waiters.signers = $3
        AND sessions.status = 'waiting'
    ORDER BY waiters.place, waiters.session_id
    LIMIT $4
"""

LEAVING = """
    SELECT session_id FROM waiters JOIN sessions USING (session_id)
    WHERE waiters.key_session = $1 AND waiters.epoch = $2 AND waiters.signers = $3
        AND sessions.status <> 'waiting'
    ORDER BY waiters.place, waiters.session_id
    LIMIT $4
"""

STOCK = "SELECT key_session, count(*) AS stock FROM presignatures GROUP BY key_session"

# Two workers may use a pool in any order; the latest use counts.
USE_POOL = f"""
    INSERT INTO pools ({POOL_NAME_COLUMNS}, owner, key_id, used_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (key_session, epoch, signers) DO UPDATE SET used_at = excluded.used_at
    WHERE pools.used_at < excluded.used_at
"""


def _of_pool(what: str, table: str) -> str:
    return f"""
        (
            SELECT CAST(coalesce({what}, 0) AS BIGINT) FROM {table} AS counted
            WHERE counted.key_session = named.key_session AND counted.epoch = named.epoch
                AND counted.signers = named.signers
        )"""


def _in_line(what: str, than_waiting: str) -> str:
    table = "waiters AS counted JOIN sessions USING (session_id)"
    return f"""
        (
            SELECT CAST(coalesce({what}, 0) AS BIGINT) FROM {table}
            WHERE counted.key_session = named.key_session AND counted.epoch = named.epoch
                AND counted.signers = named.signers AND sessions.status {than_waiting} 'waiting'
        )"""


# Somebody may wait for a pool before its first use is noted; then its key says whose it is.
POOLS = f"""
    WITH named AS (
        SELECT {POOL_NAME_COLUMNS} FROM pools WHERE used_at > $1
        UNION SELECT {POOL_NAME_COLUMNS} FROM waiters
        UNION SELECT {POOL_NAME_COLUMNS} FROM presign_batches
    )
    SELECT named.key_session, named.epoch, named.signers,
        coalesce(pools.owner, keys.owner) AS owner,
        coalesce(pools.key_id, keys.key_id) AS key_id,
        coalesce(pools.used_at, 0) AS used_at,
        {_of_pool("count(*)", "presignatures")} AS stock,
        {_of_pool("sum(count)", "presign_batches")} AS making,
        {_in_line("sum(counted.count)", "=")} AS waiting,
        {_in_line("count(*)", "<>")} AS leaving
    FROM named
    LEFT JOIN pools ON pools.key_session = named.key_session AND pools.epoch = named.epoch
        AND pools.signers = named.signers
    LEFT JOIN keys ON keys.key_session = named.key_session
    WHERE coalesce(pools.owner, keys.owner) IS NOT NULL
    ORDER BY 6 DESC, 1, 2, 3
"""

FORGET_PRESIGNATURES = """
    DELETE FROM presignatures WHERE key_session = $1 AND epoch = $2 AND signers = $3
"""

QUARRELS = f"""
    SELECT {QUARREL_COLUMNS} FROM quarrels
    WHERE at >= $1
    ORDER BY at DESC, accuser, accused
"""


def in_turn(line: Iterable[WaitingSession], stock: int) -> Iterator[WaitingSession]:
    """The first of a line, as long as there is enough for each: nobody is passed over."""
    for waiting in line:
        stock -= waiting.count
        if stock < 0:
            return
        yield waiting


class SharedPools(SharedStore):
    """What a coordinator's store knows of its pools."""

    async def waiters(self, pool: PoolName, limit: int) -> list[WaiterRecord]:
        found = await self._database.fetch(WAITERS, *rows.pool_name_values(pool), limit)
        return [rows.waiter(row) for row in found]

    async def leaving(self, pool: PoolName, limit: int) -> list[bytes]:
        found = await self._database.fetch(LEAVING, *rows.pool_name_values(pool), limit)
        return [row["session_id"] for row in found]

    async def stock(self) -> dict[bytes, int]:
        return {row["key_session"]: row["stock"] for row in await self._database.fetch(STOCK)}

    async def use_pool(self, name: PoolName, owner: str, key_id: str, now: int) -> None:
        await self._database.execute(USE_POOL, *rows.pool_name_values(name), owner, key_id, now)

    async def pools(self, used_after: int) -> list[PoolRecord]:
        return [rows.pool(row) for row in await self._database.fetch(POOLS, used_after)]

    async def forget_presignatures(self, pool: PoolName) -> int:
        return await self._database.execute(FORGET_PRESIGNATURES, *rows.pool_name_values(pool))

    async def quarrels(self, since: int) -> list[QuarrelRecord]:
        return [rows.quarrel(row) for row in await self._database.fetch(QUARRELS, since)]
