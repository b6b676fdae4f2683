# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's questions about its pools, in words that both databases understand."""

from __future__ import annotations

from ..records import PoolName, PoolRecord, QuarrelRecord, WaiterRecord
from ..rows import pools as rows
from ..rows.pools import POOL_NAME_COLUMNS, QUARREL_COLUMNS, WAITER_COLUMNS
from .sessions import SharedStore

WAITERS = f"""
    SELECT {WAITER_COLUMNS} FROM waiters
    WHERE key_session = $1 AND epoch = $2 AND signers = $3
    ORDER BY place, session_id
    LIMIT $4
"""

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
        {_of_pool("sum(count)", "waiters")} AS waiting
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

STOP_WAITING = "DELETE FROM waiters WHERE session_id = $1"


class SharedPools(SharedStore):
    """What a coordinator's store knows of its pools."""

    async def waiters(self, pool: PoolName, limit: int) -> list[WaiterRecord]:
        found = await self._database.fetch(WAITERS, *rows.pool_name_values(pool), limit)
        return [rows.waiter(row) for row in found]

    async def stop_waiting(self, session_id: bytes) -> None:
        await self._database.execute(STOP_WAITING, session_id)

    async def use_pool(self, name: PoolName, owner: str, key_id: str, now: int) -> None:
        await self._database.execute(USE_POOL, *rows.pool_name_values(name), owner, key_id, now)

    async def pools(self, used_after: int) -> list[PoolRecord]:
        return [rows.pool(row) for row in await self._database.fetch(POOLS, used_after)]

    async def forget_presignatures(self, pool: PoolName) -> int:
        return await self._database.execute(FORGET_PRESIGNATURES, *rows.pool_name_values(pool))

    async def quarrels(self, since: int) -> list[QuarrelRecord]:
        return [rows.quarrel(row) for row in await self._database.fetch(QUARRELS, since)]
