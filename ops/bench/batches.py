"""Batches of presignatures as operations: a stack makes them by itself, and they are counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .filling import IDLE_S, POLL_S, FillError
from .load import Outcome
from .stock import Stock

_OVERLAP_MS = 1_000
"""A transaction that began earlier may be committed later."""


class Batches:
    """Those of one key that end from now on.

    Arguments:
        idle_s: So long nothing may be in the making.
    """

    def __init__(self, stock: Stock, key_session: bytes, *, idle_s: float = IDLE_S) -> None:
        self._stock = stock
        self._key_session = key_session
        self._idle_s = idle_s
        self._seen: set[bytes] = set()
        self._since_ms = 0

    async def drive(
        self,
        *,
        count: int,
        stop: asyncio.Event,
        advanced: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Wait until `count` more have ended, or until `stop` is set. As `load.drive`.

        Those that end together are counted together, so there may be more.

        Raises:
            FillError: none are being made any more.
        """
        outcome = Outcome()
        began = busy_at = time.perf_counter()
        while outcome.finished < count and not stop.is_set():
            await asyncio.sleep(POLL_S)
            if await self._count_ended(outcome):
                advanced(outcome)
            if (await self._stock.level(self._key_session)).making:
                busy_at = time.perf_counter()
            elif time.perf_counter() - busy_at > self._idle_s:
                raise FillError(
                    "No more presignatures are being made; the workers' logs may say why."
                )
        outcome.elapsed_s = time.perf_counter() - began
        return outcome

    async def skip_ended(self) -> None:
        """Leave out what was made before."""
        await self._count_ended(Outcome())

    async def _count_ended(self, outcome: Outcome) -> bool:
        ended = await self._stock.ended(self._key_session, self._since_ms)
        fresh = [batch for batch in ended if batch.session_id not in self._seen]
        for batch in fresh:
            self._seen.add(batch.session_id)
            if batch.failure is None:
                outcome.latencies_s.append(batch.took_s)
            else:
                outcome.failures[batch.failure] += 1
        if fresh:
            self._since_ms = fresh[-1].ended_at - _OVERLAP_MS
        return bool(fresh)
