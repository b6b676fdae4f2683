"""The load: how many at once, what is counted, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from ops.bench.load import Outcome, drive, interruption
from tests.patience import settle


class Operations:
    """Operations that end when they are told to."""

    def __init__(self) -> None:
        self.in_flight: list[asyncio.Future[str | None]] = []
        self.started = 0
        self.cancelled = 0

    async def __call__(self) -> str | None:
        self.started += 1
        ending: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.in_flight.append(ending)
        try:
            return await ending
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight.remove(ending)

    async def end_one(self, failure: str | None = None) -> None:
        self.in_flight[0].set_result(failure)
        await settle()


@pytest.mark.parametrize("concurrency", [1, 3, 7])
async def test_exactly_so_many_are_in_flight_until_none_are_left_to_start(concurrency: int) -> None:
    operations = Operations()
    running = asyncio.create_task(
        drive(operations, count=7, concurrency=concurrency, stop=asyncio.Event())
    )
    await settle()
    for ended in range(7):
        assert len(operations.in_flight) == min(concurrency, 7 - ended)
        await operations.end_one()
    outcome = await running
    assert operations.started == 7
    assert len(outcome.latencies_s) == 7


async def test_no_more_are_started_than_asked_for() -> None:
    operations = Operations()
    running = asyncio.create_task(drive(operations, count=2, concurrency=9, stop=asyncio.Event()))
    await settle()
    assert operations.started == 2
    await operations.end_one()
    await operations.end_one()
    assert (await running).finished == 2


async def test_failures_are_counted_by_code_and_have_no_latency() -> None:
    endings = iter([None, "expired", "expired", None, "internal"])

    async def operate() -> str | None:
        return next(endings)

    outcome = await drive(operate, count=5, concurrency=2, stop=asyncio.Event())
    assert outcome.failures == {"expired": 2, "internal": 1}
    assert len(outcome.latencies_s) == 2
    assert outcome.finished == 5
    assert outcome.abandoned == 0


async def test_a_latency_is_the_time_of_its_own_operation() -> None:
    operations = Operations()
    running = asyncio.create_task(drive(operations, count=2, concurrency=2, stop=asyncio.Event()))
    await settle()
    await operations.end_one()
    await asyncio.sleep(0.02)
    await operations.end_one()
    outcome = await running
    assert outcome.latencies_s[1] - outcome.latencies_s[0] >= 0.015
    assert outcome.elapsed_s >= outcome.latencies_s[1]


async def test_progress_is_told_after_each_operation() -> None:
    seen: list[tuple[int, int]] = []

    def advanced(outcome: Outcome) -> None:
        seen.append((outcome.finished, outcome.failures.total()))

    endings = iter([None, "expired", None])

    async def operate() -> str | None:
        return next(endings)

    await drive(operate, count=3, concurrency=1, stop=asyncio.Event(), advanced=advanced)
    assert seen == [(1, 0), (2, 1), (3, 1)]


async def test_stopping_keeps_what_ended_and_cancels_the_rest() -> None:
    operations = Operations()
    stop = asyncio.Event()
    running = asyncio.create_task(drive(operations, count=100, concurrency=4, stop=stop))
    await settle()
    await operations.end_one()
    await operations.end_one("expired")
    stop.set()
    outcome = await running
    assert len(outcome.latencies_s) == 1
    assert outcome.failures == {"expired": 1}
    assert outcome.abandoned == operations.cancelled == 4
    assert operations.in_flight == []


async def test_a_load_that_was_stopped_before_starts_nothing() -> None:
    operations = Operations()
    stop = asyncio.Event()
    stop.set()
    outcome = await drive(operations, count=5, concurrency=2, stop=stop)
    assert operations.started == 0
    assert outcome.finished == 0
    assert outcome.elapsed_s > 0


async def test_an_unexpected_error_ends_the_load_and_leaves_nothing_running() -> None:
    operations = Operations()
    first = True

    async def operate() -> str | None:
        nonlocal first
        if first:
            first = False
            await asyncio.sleep(0)
            raise RuntimeError("a bug")
        return await operations()

    with pytest.raises(RuntimeError, match="a bug"):
        await drive(operate, count=9, concurrency=3, stop=asyncio.Event())
    assert operations.in_flight == []
    assert operations.cancelled == operations.started == 2


async def test_the_first_ctrl_c_stops_the_load_and_the_second_is_an_interrupt_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruption() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wait(), 60)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is before
