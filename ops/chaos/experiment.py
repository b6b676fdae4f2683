"""One run: a whole stack, a steady load, faults by the schedule, and what was written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from contracts.client import ClientSettings
from ops.bench.load import interruption
from ops.stack.deployment import LEGACY, Deployment, Plan, running_deployment
from ops.stack.services import Services

from . import bans, leftovers
from .crew import Crew
from .facts import Facts, Violation
from .faults import CLIENTS, OF_BACKUPS, OF_SHARES, PARTIES, WIRED, Kind
from .figures import Figures, figures
from .injector import Injector
from .invariants import violations
from .load import MIX, Load
from .machines import Machines
from .orders import OrderBook
from .producer import Producer
from .schedule import Injection
from .shares import Shares
from .tap import Tap
from .verifying import Verifier
from .wires import Wires

ENTRY = ("-m", "ops.chaos.worker")
SETTLES_S = 3.0
LOOK_EVERY_S = 1.0
POOLS: dict[str, float] = {
    "low": 8,
    "high": 24,
    "batch": 16,
    "batch_seconds": 8,
    "quarrel_seconds": 20,
}
"""Small: presignatures are made all the time, and no machine is busy with nothing else. And a
quarrel lasts no longer than what follows a lie may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Attributes:
        seconds: Of load, at most.
        ends_with_faults: The load goes on until the last fault is over, and no longer.
        waits_s: How long after its deadline a request may still be answered.
        mix, cancelled, cancelled_after_s, in_flight: As `Load` has them.
        quiet_s: How long after the last answer until nothing may be left.
        tolerance_s: How far clocks may be apart. As long again a party signs nothing after its
            database has crashed.
        settles_s: Between the first keys and the load: memory is measured then.
        entry: What a worker is, before the folder with its orders.
    """

    seed: int
    seconds: float
    injections: tuple[Injection, ...]
    rate_per_s: float = 6.0
    lifetime_s: float = 30.0
    waits_s: float = 20.0
    quiet_s: float = 60.0
    tolerance_s: float = 15.0
    settles_s: float = SETTLES_S
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    cancelled: float = 0.05
    cancelled_after_s: tuple[float, float] = (0.0, 0.2)
    in_flight: int = 400
    ends_with_faults: bool = False
    entry: tuple[str, ...] = ENTRY
    processes_per_party: int = 2
    presigning_processes: int = 1
    coordinator_processes: int = 2

    @property
    def kinds(self) -> set[Kind]:
        return {injection.kind for injection in self.injections}

    @property
    def moves_shares(self) -> bool:
        """Whether keys get other shares, for which there is a spare party."""
        return not OF_SHARES.isdisjoint(self.kinds)

    def plan(self, orders: Path) -> Plan:
        clients = tuple(LEGACY if name == "legacy" else name for name in CLIENTS)
        return Plan(
            party_count=len(PARTIES) + self.moves_shares,
            sqlite_parties=1 + self.moves_shares,
            clients=clients,
            resharers=clients if self.moves_shares else (),
            processes_per_party=self.processes_per_party,
            presigning_processes=self.presigning_processes,
            coordinator_processes=self.coordinator_processes,
            limits={
                "party": {
                    "parked_seconds": leftovers.PARKED_SECONDS,
                    "clock_tolerance_seconds": self.tolerance_s,
                }
            },
            pools=POOLS,
            entry=(*self.entry, str(orders)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    settings: Settings
    facts: Facts = field(repr=False)
    figures: Figures
    violations: list[Violation]
    held_back: int
    interrupted: bool
    elapsed_s: float


class Onlooker:
    """Is told how far it has come; this one does not mind."""

    def says(self, line: str) -> None:
        """A sentence about what happens before and after the load."""

    def passed(self, seconds: float, facts: Facts) -> None:
        """So much of the load is behind us."""


def run(services: Services, settings: Settings, onlooker: Onlooker | None = None) -> Outcome:
    """Call it on the main thread: worker processes end with the thread that started them.

    Ctrl-C ends the load early; what was asked by then is still waited for and judged.

    Raises:
        StackError, TopologyError: There was no stack to try.
        FirstKeyError, WorkerStuckError: It did not even work without faults, or not again.
    """
    onlooker = onlooker or Onlooker()
    with _stage(services, settings, onlooker) as stage:
        return uvloop.run(_run(stage, settings, onlooker))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    deployment: Deployment
    machines: Machines
    wires: Wires
    book: OrderBook


@contextlib.contextmanager
def _stage(services: Services, settings: Settings, onlooker: Onlooker) -> Iterator[_Stage]:
    book = OrderBook(services.directory / f"orders-{time.monotonic_ns()}")
    with (
        Machines(services) as machines,
        Wires(services.amqp_url, WIRED) as wires,
    ):
        book.wire(wires.ports)
        plan = settings.plan(book.directory)
        with running_deployment(services, plan, progress=onlooker.says) as deployment:
            yield _Stage(deployment=deployment, machines=machines, wires=wires, book=book)


async def _run(stage: _Stage, settings: Settings, onlooker: Onlooker) -> Outcome:
    facts = Facts()
    began = time.monotonic()
    liars: set[str] = set()

    def clock() -> float:
        return time.monotonic() - began

    deployment = stage.deployment
    crew = Crew(deployment, facts)
    tap = Tap(deployment.amqp_url, deployment.plan.party_ids, liars)
    facts.sent = tap.sent
    producers = [
        Producer(name, ClientSettings.load(path), facts, clock, waits_s=settings.waits_s)
        for name, path in deployment.clients.items()
    ]
    load = Load(
        producers=producers,
        rate_per_s=settings.rate_per_s,
        seed=settings.seed,
        lifetime_s=settings.lifetime_s,
        mix=settings.mix,
        cancelled=settings.cancelled,
        cancelled_after_s=settings.cancelled_after_s,
        in_flight=settings.in_flight,
    )
    shares = Shares(deployment, crew, load, facts, clock, tolerance_s=settings.tolerance_s)
    injector = Injector(
        deployment=deployment,
        crew=crew,
        machines=stage.machines,
        wires=stage.wires,
        book=stage.book,
        tap=tap,
        producers=producers,
        shares=shares,
        facts=facts,
        clock=clock,
        liars=liars,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tap.listening())
        for producer in producers:
            await stack.enter_async_context(producer.present())
        onlooker.says("Making the first keys ...")
        await load.make_first_keys()
        if not settings.kinds.isdisjoint(OF_BACKUPS):
            onlooker.says("Making backups that get old ...")
            await shares.grow_old()
        await asyncio.sleep(settings.settles_s)
        before = crew.resident()
        await stack.enter_async_context(crew.kept_alive())
        stack.push_async_callback(load.stop)
        with interruption() as stop:
            pace = _Pace(clock=clock, started_s=clock(), seconds=settings.seconds, stop=stop)
            loading = asyncio.create_task(load.run(settings.seconds), name="load")
            striking = asyncio.create_task(_strike_all(injector, settings.injections, pace))
            try:
                while not loading.done() and not stop.is_set():
                    await asyncio.wait((loading,), timeout=LOOK_EVERY_S)
                    onlooker.passed(pace.passed_s, facts)
                    if striking.done():
                        await striking
                        if settings.ends_with_faults:
                            break
            finally:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
                await striking
            onlooker.says("Waiting for the last answers ...")
            await load.finish()
            await crew.ready()
            if settings.moves_shares:
                onlooker.says("Having any holders of the keys sign ...")
                await shares.show_that_all_sign()
            onlooker.says("Waiting for quiet ...")
            await _quiet(deployment, facts, settings.quiet_s)
            interrupted = stop.is_set()
        after = crew.resident()
        facts.memory = {name: (before[name], after[name]) for name in before if name in after}
        facts.accusations |= await bans.accusations(deployment)
        facts.letters = await leftovers.dead_letters(deployment)
        facts.log_errors = crew.log_errors()
    verifier = Verifier(producers[0].settings.parties)
    return Outcome(
        settings=settings,
        facts=facts,
        figures=figures(facts),
        violations=violations(facts, verifier),
        held_back=load.held_back,
        interrupted=interrupted,
        elapsed_s=clock(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    clock: Callable[[], float]
    started_s: float
    seconds: float
    stop: asyncio.Event

    @property
    def passed_s(self) -> float:
        return self.clock() - self.started_s


async def _strike_all(injector: Injector, injections: tuple[Injection, ...], pace: _Pace) -> None:
    """In order; none after the load. Where some take longer than planned, all others come later:
    what happens between faults is to be seen as well."""
    behind_s, ends_s = 0.0, 0.0
    lasting: list[asyncio.Task[None]] = []
    try:
        for injection in injections:
            if not injection.alongside:
                await asyncio.gather(*lasting)
                behind_s = max(behind_s, pace.passed_s - ends_s) if lasting else behind_s
                lasting, ends_s = [], 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, injection.at_s + behind_s - pace.passed_s)):
                    await pace.stop.wait()
            if pace.stop.is_set() or pace.passed_s > pace.seconds:
                break
            lasting.append(asyncio.create_task(injector.strike(injection), name="fault"))
            ends_s = max(ends_s, injection.ends_s)
        await asyncio.gather(*lasting)
    finally:
        for task in lasting:
            task.cancel()
        await asyncio.gather(*lasting, return_exceptions=True)


async def _quiet(deployment: Deployment, facts: Facts, patience_s: float) -> None:
    """Look until nothing is left, or for so long."""
    began = time.monotonic()
    while True:
        facts.leftovers = await leftovers.look(deployment)
        passed_s = time.monotonic() - began
        if not facts.leftovers:
            facts.quiet_after_s = passed_s
            return
        if passed_s > patience_s:
            return
        await asyncio.sleep(LOOK_EVERY_S)
