"""What HTTP costs: the same signatures by the client library and through a gateway, in turns.

Both are measured on one stack in the same minutes, each for a while and then the other, so that
whatever else the machine does meets both.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.client import Client

from .accounts import account
from .caller import Caller
from .filling import fill, prime
from .load import Load, Outcome, drive, interruption
from .measure import Reading, read
from .report import Report
from .run import Measured, Onlooker, report_of, watched
from .site import Site
from .stock import Stock
from .supply import supply_for
from .tally import Count, Tally
from .work import Subject, Work, subject

TURNS = 6
GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What came on top, in milliseconds.

    Attributes:
        gateway_cpu: Of the gateway's processes, per request.
        stack_cpu: Of all processes but the callers' own, the gateway's included, per request.
    """

    p50: float | None
    p99: float | None
    gateway_cpu: float | None
    stack_cpu: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    Attributes:
        client: Asked by the client library.
        http: Asked through a gateway.
    """

    client: Report
    http: Report

    @property
    def hop(self) -> Hop:
        """What the gateway adds to the client library's latency and cost."""
        here, there = self.client.latency_ms, self.http.latency_ms
        known = here is not None and there is not None
        costs = [_stack_cpu(report) for report in (self.client, self.http)]
        return Hop(
            p50=there.p50 - here.p50 if known and here and there else None,
            p99=there.p99 - here.p99 if known and here and there else None,
            gateway_cpu=next(
                (each.cpu_ms_per_operation for each in self.http.cpu if each.group == GATEWAY), None
            ),
            stack_cpu=None if None in costs else (costs[1] or 0) - (costs[0] or 0),
        )

    @property
    def interrupted(self) -> bool:
        """Whether either half ended early."""
        return self.client.interrupted or self.http.interrupted

    @property
    def failed(self) -> int:
        """How many requests failed, of both halves."""
        return self.client.failed + self.http.failed


def as_json(comparison: Comparison) -> str:
    """The comparison for programs."""
    of_both = dataclasses.asdict(comparison)
    return json.dumps({**of_both, "hop": dataclasses.asdict(comparison.hop)}, indent=2)


async def compare(
    site: Site, work: Work, load: Load, onlooker: Onlooker | None = None
) -> Comparison:
    """Arguments and errors as of `run.run`, and AccountError; `load.count` is each way's."""
    onlooker = onlooker or Onlooker()
    started = datetime.now(UTC)
    settings = dataclasses.replace(site.client, timeout_s=load.timeout_s)
    assert site.gateways is not None
    async with (
        Client.connect(settings) as client,
        Caller(site.gateways.urls[0], site.gateways.api_key) as caller,
        watched(site.check),
        AsyncExitStack() as stack,
    ):
        # One after the other: what is made at the same time makes each other slow.
        subjects = (await subject(client, work), await account(caller, work))
        stock = None
        if site.coordinator_url is not None and work.presigns:
            stock = await stack.enter_async_context(Stock.connect(site.coordinator_url))
            await _fill(stock, subjects, supply_for(work, load).stock, onlooker)
        ways = [_Way(each, _tally(stock, each)) for each in subjects]
        with interruption() as stop:
            for way in ways:
                await way.warm_up(load, stop)
            for count in _turns(load.count):
                for way in ways:
                    await way.take_turn(site, count, load.concurrency, stop, onlooker.advanced)
                ways.reverse()
            interrupted = stop.is_set()
        by_client, by_http = sorted(ways, key=lambda way: way.subject is subjects[1])
        return Comparison(
            client=await by_client.report(site, work, load, started, interrupted),
            http=await by_http.report(site, work, load, started, interrupted),
        )


@dataclass(slots=True)
class _Way:
    """One of the two, and what was measured of it so far."""

    subject: Subject
    tally: Tally | None
    counted: Count | None = None
    warmup: Outcome = field(default_factory=Outcome)
    outcome: Outcome = field(default_factory=Outcome)
    used: Reading = field(default_factory=lambda: Reading(at=0, cpu_s={}, machine_s=0))

    async def warm_up(self, load: Load, stop: asyncio.Event) -> None:
        self.warmup = await drive(
            self.subject.operate, count=load.warmup, concurrency=load.concurrency, stop=stop
        )
        self.counted = None if self.tally is None else await self.tally.count()

    async def take_turn(
        self,
        site: Site,
        count: int,
        concurrency: int,
        stop: asyncio.Event,
        advanced: Callable[[Outcome], None],
    ) -> None:
        before = read(site.groups)
        turn = await drive(
            self.subject.operate,
            count=count,
            concurrency=concurrency,
            stop=stop,
            advanced=advanced,
        )
        self.used = _sum(self.used, before, read(site.groups))
        self.outcome.elapsed_s += turn.elapsed_s
        self.outcome.latencies_s += turn.latencies_s
        self.outcome.failures += Counter(turn.failures)
        self.outcome.abandoned += turn.abandoned

    async def report(
        self, site: Site, work: Work, load: Load, started: datetime, interrupted: bool
    ) -> Report:
        presignatures = None
        if self.tally is not None and self.counted is not None:
            presignatures = await self.tally.since(self.counted)
        nothing = Reading(at=0, cpu_s=dict.fromkeys(self.used.cpu_s, 0.0), machine_s=0)
        measured = Measured(
            started=started,
            warmup=self.warmup,
            outcome=self.outcome,
            before=nothing,
            after=self.used,
            interrupted=interrupted,
            presignatures=presignatures,
        )
        return report_of(site, work, load, measured)


async def _fill(
    stock: Stock, subjects: tuple[Subject, ...], wanted: int, onlooker: Onlooker
) -> None:
    if not wanted:
        return
    for each in subjects:
        assert each.key_session is not None
        await prime(each.operate)
        await fill(stock, each.key_session, wanted, filled=lambda now: onlooker.filled(now, wanted))


def _tally(stock: Stock | None, subject: Subject) -> Tally | None:
    if stock is None or subject.key_session is None:
        return None
    return Tally(stock=stock, key_session=subject.key_session, elsewhere=None)


def _turns(count: int) -> Iterator[int]:
    """The same work for each way, in turns that are as equal as can be."""
    for i in range(TURNS):
        size = (i + 1) * count // TURNS - i * count // TURNS
        if size:
            yield size


def _sum(so_far: Reading, before: Reading, after: Reading) -> Reading:
    return Reading(
        at=so_far.at + after.at - before.at,
        cpu_s={
            name: so_far.cpu_s.get(name, 0.0) + cpu_s - before.cpu_s[name]
            for name, cpu_s in after.cpu_s.items()
            if name in before.cpu_s
        },
        machine_s=so_far.machine_s + after.machine_s - before.machine_s,
    )


def _stack_cpu(report: Report) -> float | None:
    known = [each.cpu_ms_per_operation for each in report.cpu if each.group != "client"]
    return None if None in known else sum(each or 0 for each in known)
