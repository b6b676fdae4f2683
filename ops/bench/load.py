"""Keep exactly so many operations in flight, and write down how each of them ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Operation = Callable[[], Awaitable[str | None]]
"""Does one operation. Returns None, or the code of the failure that it ended with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    Attributes:
        count: Operations to measure.
        concurrency: How many are in flight at any time.
        warmup: Operations before the measured ones: imports, connections, caches, plans.
        timeout_s: Lifetime of each request, or of each batch of presignatures.
    """

    count: int
    concurrency: int
    warmup: int
    timeout_s: float


@dataclass(slots=True)
class Outcome:
    """How a load went, or goes.

    Attributes:
        latencies_s: Of the operations that succeeded, in the order in which they ended.
        failures: How often each code came.
        abandoned: Operations that were in flight when the load was stopped.
    """

    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    abandoned: int = 0

    @property
    def finished(self) -> int:
        """How many ended, well or not."""
        return len(self.latencies_s) + self.failures.total()


async def drive(
    operate: Operation,
    *,
    count: int,
    concurrency: int,
    stop: asyncio.Event,
    advanced: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Do `count` operations, or as many as finish before `stop` is set.

    A new operation starts the moment that another ends, so fewer than `concurrency` are in flight
    only when no more are left to start. What an operation raises ends the load and is raised here.

    Arguments:
        advanced: Called after each operation.
    """
    outcome = Outcome()
    tickets = iter(range(count))

    async def lane() -> None:
        for _ in tickets:
            began = time.perf_counter()
            try:
                failure = await operate()
            except asyncio.CancelledError:
                outcome.abandoned += 1
                raise
            if failure is None:
                outcome.latencies_s.append(time.perf_counter() - began)
            else:
                outcome.failures[failure] += 1
            advanced(outcome)

    began = time.perf_counter()
    if not stop.is_set():
        lanes = [asyncio.create_task(lane()) for _ in range(min(concurrency, count))]
        stopping = asyncio.create_task(stop.wait())
        everything = asyncio.gather(*lanes)
        try:
            either: set[asyncio.Future[Any]] = {everything, stopping}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if everything.done():
                everything.result()
        finally:
            for task in (*lanes, stopping):
                task.cancel()
            await asyncio.gather(*lanes, stopping, everything, return_exceptions=True)
    outcome.elapsed_s = time.perf_counter() - began
    return outcome


@contextlib.contextmanager
def interruption() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets. The second one is a KeyboardInterrupt again.

    To be entered on the main thread, inside its event loop.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
