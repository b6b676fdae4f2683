"""What new shares cost: a reshare beside a key generation, and what many reshares do to those who
sign meanwhile. Each pair is measured in the same minutes, so what else the machine does meets both.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts.client import Client, ClientError
from contracts.primitives import Curve, Scheme

from .latency import Latency, summarise
from .load import Operation, Outcome, drive, interruption
from .machine import Machine, commit, this_machine
from .run import watched
from .site import Site, Stack
from .work import Work, failure_code, make_key, subject

PARTY_COUNT = 5
BEFORE, AFTER = (2, 3), (3, 5)
"""Threshold and holders."""
LEAST_SIGNATURES = 100
"""Fewer have no 99th percentile but their largest."""
WARMUP = 1
"""Of each, and ten signatures: not measured."""
LANES = 4
"""New shares that are asked for at a time; how many are made at a time, the coordinator decides."""
KEYGEN, RESHARE = "keygen 3-of-5", "reshare 2-of-3 to 3-of-5"
ALONE, MEANWHILE, MASS = "signing alone", "signing meanwhile", "the reshares meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """
    Attributes:
        latency_ms: From the call to the verified result; of those that succeeded.
    """

    name: str
    succeeded: int
    failures: dict[str, int]
    elapsed_s: float
    latency_ms: Latency | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    Attributes:
        stack: None for one that ran already.
        series: Of those that were measured.
        keys: That were to be reshared while others signed.
    """

    date: str
    commit: str | None
    machine: Machine
    stack: Stack | None
    curve: Curve
    keys: int
    lanes: int
    interrupted: bool
    series: tuple[Series, ...]

    @property
    def failed(self) -> int:
        """How many operations failed, of all."""
        return sum(sum(each.failures.values()) for each in self.series)

    @property
    def ratios(self) -> dict[str, float | None]:
        """How many times as long: a reshare as a key generation, a signature meanwhile as alone."""
        return {
            "reshare/keygen p50": self._ratio(RESHARE, KEYGEN, "p50"),
            "signing p50": self._ratio(MEANWHILE, ALONE, "p50"),
            "signing p99": self._ratio(MEANWHILE, ALONE, "p99"),
        }

    def _ratio(self, above: str, below: str, percentile: str) -> float | None:
        found = {each.name: each.latency_ms for each in self.series}
        here, there = found.get(above), found.get(below)
        if here is None or there is None:
            return None
        value: float = getattr(here, percentile) / getattr(there, percentile)
        return value


def as_json(measured: Measured) -> str:
    """For programs."""
    return json.dumps({**dataclasses.asdict(measured), "ratios": measured.ratios}, indent=2)


async def measure(
    site: Site,
    *,
    curve: Curve,
    count: int,
    keys: int,
    timeout_s: float,
    progress: Callable[[str], None],
) -> Measured:
    """Ctrl-C ends it early, with what was measured until then.

    Arguments:
        count: Of key generations, and of reshares beside them.
        keys: That are reshared while others sign.

    Raises:
        ClientError: A key could not be made, or the site cannot be used at all.
        ChildDiedError: A worker of ours ended.
    """
    started = datetime.now(UTC)
    settings = dataclasses.replace(site.client, timeout_s=timeout_s)
    async with Client.connect(settings) as client, watched(site.check):
        work = _work("keygen", curve, *BEFORE)
        needed = WARMUP + count + keys
        progress(f"{needed} keys are made ...")
        made = [(await make_key(client, work, curve)).facts.key_id for _ in range(needed)]
        with interruption() as stop:
            progress(f"{count} key generations and {count} reshares, in turns ...")
            series = await _beside(client, curve, made[:-keys], stop)
            progress(f"Signatures, alone and while {keys} keys are reshared ...")
            series += await _meanwhile(client, curve, made[-keys:], stop)
            interrupted = stop.is_set()
    return Measured(
        date=started.isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        stack=site.stack,
        curve=curve,
        keys=keys,
        lanes=LANES,
        interrupted=interrupted,
        series=tuple(series),
    )


async def _beside(
    client: Client, curve: Curve, keys: Sequence[str], stop: asyncio.Event
) -> list[Series]:
    """One of each after the other."""
    threshold, party_count = AFTER
    making = (await subject(client, _work("keygen", curve, threshold, party_count))).operate
    parties = [f"party-{i}" for i in range(1, party_count + 1)]
    sums = {KEYGEN: Outcome(), RESHARE: Outcome()}
    for number, key in enumerate(keys):
        resharing = _reshares(client, iter([key]), threshold=threshold, parties=parties)
        for name, operate in ((KEYGEN, making), (RESHARE, resharing)):
            one = await drive(operate, count=1, concurrency=1, stop=stop)
            if number >= WARMUP:
                _add(sums[name], one)
    return [_series(name, outcome) for name, outcome in sums.items()]


async def _meanwhile(
    client: Client, curve: Curve, keys: Sequence[str], stop: asyncio.Event
) -> list[Series]:
    """One after the other signs with a key of its own, first alone; then until all are reshared."""
    scheme = Scheme.ED25519 if curve is Curve.ED25519 else Scheme.BIP340
    signing = (await subject(client, _work("sign", curve, *BEFORE, scheme=scheme))).operate
    await drive(signing, count=10 * WARMUP, concurrency=1, stop=stop)
    alone = await drive(signing, count=LEAST_SIGNATURES, concurrency=1, stop=stop)

    over = asyncio.Event()
    refreshing = _reshares(client, iter(keys))

    async def mass() -> Outcome:
        try:
            return await drive(refreshing, count=len(keys), concurrency=LANES, stop=stop)
        finally:
            over.set()

    async with asyncio.TaskGroup() as together:
        reshared = together.create_task(mass())
        meanwhile = await _until(over, signing)
    return [
        _series(ALONE, alone),
        _series(MEANWHILE, meanwhile),
        _series(MASS, reshared.result()),
    ]


async def _until(over: asyncio.Event, signing: Operation) -> Outcome:
    """Signatures that began before it was over, to their end."""
    sums = Outcome()
    while not over.is_set():
        _add(sums, await drive(signing, count=1, concurrency=1, stop=asyncio.Event()))
    return sums


def _add(sums: Outcome, one: Outcome) -> None:
    sums.latencies_s += one.latencies_s
    sums.failures += one.failures
    sums.elapsed_s += one.elapsed_s


def _reshares(
    client: Client,
    keys: Iterator[str],
    *,
    threshold: int | None = None,
    parties: Sequence[str] | None = None,
) -> Operation:
    """Of another key each time: without an argument, a refresh."""

    async def operate() -> str | None:
        try:
            await client.reshare(next(keys), threshold=threshold, parties=parties)
        except ClientError as error:
            return failure_code(error)
        return None

    return operate


def _work(
    operation: str, curve: Curve, threshold: int, party_count: int, scheme: Scheme | None = None
) -> Work:
    return Work(
        operation="keygen" if operation == "keygen" else "sign",
        curve=curve,
        scheme=scheme,
        threshold=threshold,
        party_count=party_count,
    )


def _series(name: str, outcome: Outcome) -> Series:
    return Series(
        name=name,
        succeeded=len(outcome.latencies_s),
        failures=dict(Counter(outcome.failures)),
        elapsed_s=outcome.elapsed_s,
        latency_ms=summarise(outcome.latencies_s),
    )


###
### For people
###


def render(measured: Measured) -> RenderableType:
    """The figures for people."""
    table = Table(
        title="Latency, from the call to the verified result, ms", title_justify="left", box=SIMPLE
    )
    for column in ("", "n", "p50", "p95", "p99", "max", "failed"):
        table.add_column(column, justify="right" if column else "left")
    for each in measured.series:
        seen = each.latency_ms
        values = (seen.p50, seen.p95, seen.p99, seen.max) if seen else (None,) * 4
        told = ", ".join(f"{code} {number}" for code, number in sorted(each.failures.items()))
        table.add_row(each.name, str(each.succeeded), *map(_ms, values), told or "0")
    ratios = Table(title="How many times as long", title_justify="left", box=SIMPLE)
    ratios.add_column("")
    ratios.add_column("", justify="right")
    for name, value in measured.ratios.items():
        ratios.add_row(name, "-" if value is None else f"{value:.2f}")
    return Group(*_heading(measured), table, ratios)


def _heading(measured: Measured) -> Iterator[RenderableType]:
    machine, stack = measured.machine, measured.stack
    yield Text(f"New shares of keys on {measured.curve}", style="bold")
    yield Text(f"{measured.date}, commit {measured.commit or 'unknown'}", style="dim")
    if measured.interrupted:
        yield Text("Interrupted.", style="bold yellow")
    yield Text(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.1f} GiB; "
        f"{machine.kernel}, Python {machine.python}"
    )
    if stack is not None:
        yield Text(
            f"RabbitMQ {stack.rabbitmq}, PostgreSQL {stack.postgresql}, fsync {stack.fsync}, "
            f"synchronous_commit {stack.synchronous_commit}; coordinator "
            f"{stack.coordinator_processes}, {PARTY_COUNT} parties x {stack.processes_per_party} "
            f"and keys {stack.keygen_processes}; the parties' store: {stack.store}"
        )
    yield Text(
        f"{measured.keys} keys reshared while others signed, {measured.lanes} asked for at a time"
    )
    yield Text()


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
