"""One measurement from its key to its report."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from contracts.client import Client

from .batches import Batches
from .filling import fill, key_in_use, prime, refilling
from .latency import summarise
from .load import Load, Operation, Outcome, drive, interruption, offer
from .machine import commit, this_machine
from .measure import Reading, memory_bytes, read, usage
from .report import Report
from .site import Site
from .stock import Stock
from .supply import supply_for
from .tally import Presignatures, Tally
from .work import Work, subject

_CHECK_EVERY_S = 1.0


class Onlooker:
    """Is told how far it has come; this one does not mind."""

    def filled(self, stock: int, wanted: int) -> None:
        """Before the measurement: so many presignatures are there."""

    def advanced(self, outcome: Outcome) -> None:
        """An operation has ended."""


class Drive(Protocol):
    """Does the work `count` times, or until `stop` is set."""

    async def __call__(
        self, *, count: int, stop: asyncio.Event, advanced: Callable[[Outcome], None] = ...
    ) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    """
    Attributes:
        tally: None where presignatures have no part in it, or cannot be seen.
        batches: Those that are measured, where it is batches.
    """

    drive: Drive
    tally: Tally | None
    batches: Batches | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a report is made of."""

    started: datetime
    warmup: Outcome
    outcome: Outcome
    before: Reading
    after: Reading
    interrupted: bool
    presignatures: Presignatures | None


async def run(
    site: Site, work: Work, load: Load, onlooker: Onlooker | None = None
) -> tuple[Report, list[float]]:
    """Put the load on the site. Returns the report and the latencies behind it, in seconds.

    Ctrl-C ends it early, with a report of what was measured until then.

    Raises:
        ClientError: the key could not be made, or the site cannot be used at all.
        FillError: the presignatures that were wanted are not made.
        ChildDiedError: a worker of ours ended.
    """
    onlooker = onlooker or Onlooker()
    started = datetime.now(UTC)
    settings = dataclasses.replace(site.client, timeout_s=load.timeout_s)
    async with Client.connect(settings) as client, watched(site.check), AsyncExitStack() as stack:
        prepared = await _prepare(stack, client, site, work, load, onlooker)
        tally = prepared.tally
        with interruption() as stop:
            warmup = await prepared.drive(count=load.warmup, stop=stop)
            counted = None if tally is None else await tally.count()
            if prepared.batches is not None:
                # What ended since the last look stands in that count, so it is not measured.
                await prepared.batches.skip_ended()
            before = read(site.groups)
            outcome = await prepared.drive(count=load.count, stop=stop, advanced=onlooker.advanced)
            after = read(site.groups)
            interrupted = stop.is_set()
        presignatures = None if tally is None or counted is None else await tally.since(counted)
    measured = Measured(
        started=started,
        warmup=warmup,
        outcome=outcome,
        before=before,
        after=after,
        interrupted=interrupted,
        presignatures=presignatures,
    )
    return report_of(site, work, load, measured), outcome.latencies_s


def report_of(site: Site, work: Work, load: Load, measured: Measured) -> Report:
    """What was measured, as a report."""
    outcome, before, after = measured.outcome, measured.before, measured.after
    cpu = usage(site.groups, before, after, finished=outcome.finished, batch=work.batch)
    machine_cores = (after.machine_s - before.machine_s) / (after.at - before.at)
    per_s = len(outcome.latencies_s) / outcome.elapsed_s
    return Report(
        date=measured.started.isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        stack=site.stack,
        work=work,
        count=load.count,
        concurrency=load.concurrency,
        offered_per_s=load.rate,
        warmup=load.warmup,
        warmup_failures=dict(measured.warmup.failures),
        interrupted=measured.interrupted,
        elapsed_s=outcome.elapsed_s,
        succeeded=len(outcome.latencies_s),
        failures=dict(outcome.failures),
        abandoned=outcome.abandoned,
        throughput_per_s=per_s,
        items_per_s=per_s * work.batch,
        latency_ms=summarise(outcome.latencies_s),
        presignatures=measured.presignatures,
        cpu=cpu,
        other_cores=max(0.0, machine_cores - sum(group.cores for group in cpu)),
        memory_bytes=memory_bytes(site.groups),
    )


def _driving(operate: Operation, load: Load) -> Drive:
    if load.rate is None:
        return partial(drive, operate, concurrency=load.concurrency)
    return partial(offer, operate, rate=load.rate)


async def _prepare(
    stack: AsyncExitStack, client: Client, site: Site, work: Work, load: Load, onlooker: Onlooker
) -> _Prepared:
    """Keys and presignatures: what must be there before anything is measured."""
    if site.coordinator_url is None or not work.presigns:
        operate = (await subject(client, work)).operate
        return _Prepared(_driving(operate, load), None)
    stock = await stack.enter_async_context(Stock.connect(site.coordinator_url))
    if work.operation == "presign":
        key_session = await key_in_use(client, work)
        batches = Batches(stock, key_session)
        await batches.skip_ended()
        tally = Tally(stock=stock, key_session=key_session, elsewhere=None)
        return _Prepared(batches.drive, tally, batches)
    signing = await subject(client, work)
    assert signing.key_session is not None
    wanted = supply_for(work, load).stock
    if wanted:
        await prime(signing.operate)
        await fill(
            stock, signing.key_session, wanted, filled=lambda now: onlooker.filled(now, wanted)
        )
    elsewhere = None
    if work.refill:
        elsewhere = await stack.enter_async_context(refilling(client, stock, work))
    return _Prepared(
        _driving(signing.operate, load),
        Tally(stock=stock, key_session=signing.key_session, elsewhere=elsewhere),
    )


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
