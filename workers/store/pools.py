"""What the coordinator's stores can do with presignatures, and with who waits for some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from .records import (
    CoordinatorChange,
    PooledPresignature,
    PoolName,
    PoolRecord,
    QuarrelRecord,
    WaiterRecord,
    WaitingSession,
)

GoOn: TypeAlias = Callable[[WaitingSession, tuple[PooledPresignature, ...]], CoordinatorChange]
"""What becomes of a session that waited, with the presignatures that it is given."""


class CoordinatorPools(Protocol):
    """Of a key and a set of signers each has one, and a line of those who wait for it."""

    async def claim_presignatures(
        self, pool: PoolName, count: int
    ) -> tuple[PooledPresignature, ...]:
        """The newest, for a session that waited: whoever else waits does not matter. All or none.

        What is claimed is gone: whoever cannot use it after all, lets it go.
        """

    async def waiters(self, pool: PoolName, limit: int) -> list[WaiterRecord]:
        """In the order in which they came."""

    async def serve(self, pool: PoolName, limit: int, go_on: GoOn) -> list[CoordinatorChange]:
        """Give those who wait their presignatures, the first first and so many at most, as long as
        there are enough; nobody else who serves this pool comes between. What is given and what
        those sessions go on with is one transaction: either happened, or neither.

        Whoever was served stays in the line until `stop_waiting`, as nobody knows yet whether what
        it sends was sent.

        Arguments:
            go_on: Pure; maybe called more than once.
        """

    async def leaving(self, pool: PoolName, limit: int) -> list[bytes]:
        """Sessions in the line that were served, in its order."""

    async def stop_waiting(self, session_ids: Sequence[bytes]) -> None:
        """Leave the line, once what the sessions go on with is sent."""

    async def use_pool(self, name: PoolName, owner: str, key_id: str, now: int) -> None:
        """Remember that the pool was asked for presignatures, and whose it is."""

    async def pools(self, used_after: int) -> list[PoolRecord]:
        """Those used after that, and those which sessions wait for or make presignatures for. The
        one used last comes first; `used_at` is 0 where no use was noted."""

    async def stock(self) -> dict[bytes, int]:
        """Key's session -> how many presignatures there are, of all its pools, used or not. Reads
        them all."""

    async def forget_presignatures(self, pool: PoolName) -> int:
        """Drop what its signers cannot keep; returns how many there were."""

    async def quarrels(self, since: int) -> list[QuarrelRecord]:
        """The latest first."""
