"""One measurement from its key to its report."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.client import Client

from .latency import summarise
from .load import Outcome, drive, interruption
from .machine import commit, this_machine
from .measure import memory_bytes, read, usage
from .report import Report
from .site import Site
from .work import Work, operation

_CHECK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    Attributes:
        warmup: Operations before the measured ones: imports, connections, caches, plans.
        timeout_s: Lifetime of each request.
    """

    count: int
    concurrency: int
    warmup: int
    timeout_s: float


async def run(
    site: Site,
    work: Work,
    load: Load,
    *,
    advanced: Callable[[Outcome], None] = lambda _: None,
) -> tuple[Report, list[float]]:
    """Put the load on the site. Returns the report and the latencies behind it, in seconds.

    Ctrl-C ends it early, with a report of what was measured until then.

    Raises:
        ClientError: the key could not be made, or the site cannot be used at all.
        ChildDiedError: a worker of ours ended.
    """
    started = datetime.now(UTC)
    settings = dataclasses.replace(site.client, timeout_s=load.timeout_s)
    async with Client.connect(settings) as client, watched(site.check):
        operate = await operation(client, work)
        with interruption() as stop:
            warmup = await drive(
                operate, count=load.warmup, concurrency=load.concurrency, stop=stop
            )
            before = read(site.groups)
            outcome = await drive(
                operate,
                count=load.count,
                concurrency=load.concurrency,
                stop=stop,
                advanced=advanced,
            )
            after = read(site.groups)
            interrupted = stop.is_set()
    cpu = usage(site.groups, before, after, finished=outcome.finished)
    machine_cores = (after.machine_s - before.machine_s) / (after.at - before.at)
    report = Report(
        date=started.isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        stack=site.stack,
        work=work,
        count=load.count,
        concurrency=load.concurrency,
        warmup=load.warmup,
        warmup_failures=dict(warmup.failures),
        interrupted=interrupted,
        elapsed_s=outcome.elapsed_s,
        succeeded=len(outcome.latencies_s),
        failures=dict(outcome.failures),
        abandoned=outcome.abandoned,
        throughput_per_s=len(outcome.latencies_s) / outcome.elapsed_s,
        latency_ms=summarise(outcome.latencies_s),
        cpu=cpu,
        other_cores=max(0.0, machine_cores - sum(group.cores for group in cpu)),
        memory_bytes=memory_bytes(site.groups),
    )
    return report, outcome.latencies_s


@asynccontextmanager
async def watched(
    check: Callable[[], None], *, every_s: float = _CHECK_EVERY_S
) -> AsyncIterator[None]:
    """Leave the block with what `check` raises.

    Without its worker every request would wait for its deadline.
    """
    running = asyncio.current_task()
    assert running is not None
    died: list[Exception] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                check()
            except Exception as error:
                died.append(error)
                running.cancel()
                return

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not died:
            raise
        running.uncancel()
        raise died[0] from None
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
