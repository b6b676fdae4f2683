"""Do operations, keep exactly so many in flight or offer so many a second, and write down how each
of them ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Operation = Callable[[], Awaitable[str | None]]
"""Does one operation. Returns None, or the code of the failure that it ended with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    Attributes:
        count: Operations to measure.
        concurrency: How many are in flight at any time; nothing where there is a rate.
        warmup: Operations before the measured ones: imports, connections, caches, plans.
        timeout_s: Lifetime of each request, or of each batch of presignatures.
        rate: How many are offered a second, however many are in flight.
    """

    count: int
    concurrency: int
    warmup: int
    timeout_s: float
    rate: float | None = None


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
            await _one(operate, time.perf_counter(), outcome, advanced)

    began = time.perf_counter()
    await _until(stop, [lane() for _ in range(min(concurrency, count))])
    outcome.elapsed_s = time.perf_counter() - began
    return outcome


async def offer(
    operate: Operation,
    *,
    count: int,
    rate: float,
    stop: asyncio.Event,
    advanced: Callable[[Outcome], None] = lambda _: None,
    random: Random | None = None,
) -> Outcome:
    """Begin `count` operations at the moments of a Poisson process, whatever became of those
    before: as callers do who know nothing of each other.

    A latency counts from the moment at which its operation was due. So what is late because we
    ourselves are late counts as well, and nothing is hidden by asking less while answers are slow
    (coordinated omission). Ends with the last operation, or when `stop` is set.

    Arguments:
        rate: Operations a second.
    """
    outcome = Outcome()
    began = time.perf_counter()
    due = moments(rate, count, random or Random())

    async def caller(moment: float) -> None:
        await asyncio.sleep(began + moment - time.perf_counter())
        await _one(operate, began + moment, outcome, advanced)

    await _until(stop, [caller(moment) for moment in due])
    outcome.elapsed_s = time.perf_counter() - began
    return outcome


def moments(rate: float, count: int, random: Random) -> list[float]:
    """When each of them is due, in seconds: the gaps between them are exponential."""
    at, due = 0.0, []
    for _ in range(count):
        at += random.expovariate(rate)
        due.append(at)
    return due


async def _one(
    operate: Operation, due: float, outcome: Outcome, advanced: Callable[[Outcome], None]
) -> None:
    try:
        failure = await operate()
    except asyncio.CancelledError:
        outcome.abandoned += 1
        raise
    if failure is None:
        outcome.latencies_s.append(time.perf_counter() - due)
    else:
        outcome.failures[failure] += 1
    advanced(outcome)


async def _until(stop: asyncio.Event, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do it all, side by side; nothing more once `stop` is set. What one raises is raised here."""
    if stop.is_set():
        for each in work:
            each.close()
        return
    tasks = [asyncio.create_task(each) for each in work]
    stopping = asyncio.create_task(stop.wait())
    everything = asyncio.gather(*tasks)
    try:
        either: set[asyncio.Future[Any]] = {everything, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if everything.done():
            everything.result()
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, everything, return_exceptions=True)


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
