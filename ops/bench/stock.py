"""What the coordinator's database knows of its presignatures. Of a throw-away stack only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import asyncpg

_LEVEL = """
    SELECT
        (SELECT count(*) FROM presignatures WHERE key_session = $1) AS stock,
        (
            SELECT coalesce(sum(count), 0)::bigint FROM presign_batches WHERE key_session = $1
        ) AS making
"""
_ENDED = """
    SELECT session_id, status, ended_at, ended_at - created_at AS took_ms,
        (convert_from(state, 'UTF8')::json #>> '{terms,count}')::bigint AS count
    FROM sessions
    WHERE protocol = 'presign' AND key_session = $1 AND ended_at >= $2
    ORDER BY ended_at, session_id
"""
_EMPTY = "DELETE FROM presignatures WHERE key_session = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How many presignatures there are of one key, of all its signer sets."""

    stock: int
    making: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedBatch:
    """
    Attributes:
        failure: How it ended, None if it was completed.
        ended_at: Unix milliseconds.
        took_s: From the first transaction at the coordinator to the last one.
    """

    session_id: bytes
    ended_at: int
    count: int
    failure: str | None
    took_s: float


class Stock:
    """The coordinator's pools, looked at in its database."""

    def __init__(self, database: asyncpg.Pool[Any]) -> None:
        self._database = database

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str) -> AsyncGenerator[Stock, None]:
        """Open while its `async with` lasts."""
        async with asyncpg.create_pool(url, min_size=1, max_size=2) as database:
            yield cls(database)

    async def level(self, key_session: bytes) -> Level:
        """How many presignatures of a key there are, and how many are in the making."""
        row = await self._database.fetchrow(_LEVEL, key_session)
        assert row is not None
        return Level(stock=row["stock"], making=row["making"])

    async def ended(self, key_session: bytes, since_ms: int = 0) -> list[EndedBatch]:
        """Batches that were made, or were to be, the first that ended first."""
        return [
            EndedBatch(
                session_id=row["session_id"],
                ended_at=row["ended_at"],
                count=row["count"],
                failure=None if row["status"] == "completed" else row["status"],
                took_s=row["took_ms"] / 1000,
            )
            for row in await self._database.fetch(_ENDED, key_session, since_ms)
        ]

    async def made(self, key_session: bytes) -> int:
        """Presignatures that were ever made."""
        ended = await self.ended(key_session)
        return sum(batch.count for batch in ended if batch.failure is None)

    async def empty(self, key_session: bytes) -> None:
        """The parties keep their parts, up to their limits."""
        await self._database.execute(_EMPTY, key_session)
