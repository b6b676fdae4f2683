"""What an owner who asks for too much does to one who does not: in turn for each kind of request,
over HTTP and over AMQP, each while the other signs steadily."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from contracts.client import Client
from contracts.primitives import Scope
from ops.stack.errors import StackError
from ops.stack.gateways import new_api_key
from ops.stack.services import Progress

from .accounts import account
from .caller import Caller
from .floods import DONE, WORK, Kind, Wanted, Way
from .latency import Latency, summarise
from .load import Operation, interruption
from .machine import Machine, commit, this_machine
from .run import watched
from .site import Site, Stack
from .work import subject

FLOODER = "mallory"
WARMUP = 20
PERIOD_S = 0.1
"""Between two signatures of the modest owner."""
RESPITE_S = 3.0
"""After a flood: what it has begun comes to an end."""
LATEST = frozenset({"expired", "result_timeout", "no_answer"})
TIMES_QUIET = 3.0
ALWAYS_ENOUGH_MS = 250.0
REFUSED_WITHIN_MS = 100.0


class FloodError(StackError):
    """The flood did not begin, or ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The modest owner's signatures for a while.

    Attributes:
        failures: By code.
        latency_ms: Of those that succeeded.
    """

    succeeded: int
    failures: dict[str, int]
    latency_ms: Latency | None

    @property
    def expired(self) -> int:
        """How many had no result by their deadline."""
        return sum(count for code, count in self.failures.items() if code in LATEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """
    Attributes:
        answered: By code; `done` is what succeeded.
        refused: How many were told that it is too much.
        refusal_ms: How long that took.
        goodput_per_s: What succeeded.
    """

    answered: dict[str, int]
    refused: int
    refusal_ms: Latency | None
    goodput_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of request, over one way."""

    via: Way
    kind: Kind
    quiet: Window
    beside: Window
    flood: Flood

    @property
    def lacks(self) -> list[str]:
        """What is not as it should be; nothing, if all is."""
        found = []
        if self.beside.failures:
            found.append(f"{sum(self.beside.failures.values())} of the modest owner's failed")
        quiet, beside, refusal = (
            None if each is None else each.p99
            for each in (self.quiet.latency_ms, self.beside.latency_ms, self.flood.refusal_ms)
        )
        if beside is None or quiet is None:
            found.append("none of the modest owner's succeeded")
        elif beside > max(TIMES_QUIET * quiet, ALWAYS_ENOUGH_MS):
            found.append(f"its p99 is {beside:.0f} ms, {beside / quiet:.1f} times the quiet one")
        if refusal is not None and refusal > REFUSED_WITHIN_MS:
            found.append(f"the p99 of a refusal is {refusal:.0f} ms")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """
    Attributes:
        seconds: Of each flood.
        lanes: Requests that a flood keeps in flight.
        interrupted: By Ctrl-C: the last row is shorter than the others, or rows are missing.
    """

    version: Literal[1] = 1
    date: str
    commit: str | None
    machine: Machine
    stack: Stack | None
    seconds: float
    lanes: int
    interrupted: bool
    rows: list[Row]

    @property
    def lacking(self) -> list[Row]:
        """The rows that are not as they should be."""
        return [row for row in self.rows if row.lacks]


def as_json(crowd: Crowd) -> str:
    """The measurement for programs."""
    rows = [{**asdict(row), "lacks": row.lacks} for row in crowd.rows]
    return json.dumps({**asdict(crowd), "rows": rows}, indent=2)


async def beside(
    site: Site,
    *,
    seconds: float,
    lanes: int,
    kinds: Sequence[Kind],
    ways: Sequence[Way],
    progress: Progress,
) -> Crowd:
    """Raises ClientError if keys cannot be made, FloodError, and ChildDiedError if a worker of ours
    ended. Ctrl-C ends it early, with what was measured until then."""
    started, rows = datetime.now(UTC), []
    with interruption() as stop:
        async with watched(site.check):
            for via in ways:
                async with _modest(site, via) as sign:
                    for _ in range(WARMUP):
                        await sign()
                    quiet = await _window(sign, min(seconds, max(seconds / 3, 5.0)), stop)
                    for kind in kinds:
                        if stop.is_set():
                            break
                        wanted = await _wanted(site, via, kind, lanes)
                        began = time.perf_counter()
                        async with _flooding(wanted) as said:
                            window = await _window(sign, seconds, stop)
                            took_s = time.perf_counter() - began
                        row = Row(
                            via=via,
                            kind=kind,
                            quiet=quiet,
                            beside=window,
                            flood=_flood(said, took_s),
                        )
                        rows.append(row)
                        progress(f"{via} {kind}: {', '.join(row.lacks) or 'as it should be'}.")
                        await asyncio.sleep(RESPITE_S)
        interrupted = stop.is_set()
    return Crowd(
        date=started.isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        stack=site.stack,
        seconds=seconds,
        lanes=lanes,
        interrupted=interrupted,
        rows=rows,
    )


@contextlib.asynccontextmanager
async def _modest(site: Site, via: Way) -> AsyncIterator[Operation]:
    if via is Way.AMQP:
        async with Client.connect(site.client) as client:
            yield (await subject(client, WORK)).operate
        return
    assert site.gateways is not None
    async with Caller(site.gateways.urls[0], site.gateways.api_key) as caller:
        yield (await account(caller, WORK)).operate


async def _wanted(site: Site, via: Way, kind: Kind, lanes: int) -> Wanted:
    if via is Way.AMQP:
        return Wanted(via=via, kind=kind, lanes=lanes, config=str(site.files[FLOODER]))
    assert site.gateways is not None
    name = f"{FLOODER}-{kind}"
    api_key = await new_api_key(site.gateways.config, site.gateways.authority, name, tuple(Scope))
    return Wanted(via=via, kind=kind, lanes=lanes, url=site.gateways.urls[0], api_key=api_key)


async def _window(sign: Operation, seconds: float, stop: asyncio.Event) -> Window:
    """Signatures at an even pace, each when the one before has ended."""
    latencies_s: list[float] = []
    failures: Counter[str] = Counter()
    ends_at = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends_at and not stop.is_set():
        failure = await sign()
        took_s = time.perf_counter() - began
        if failure is None:
            latencies_s.append(took_s)
        else:
            failures[failure] += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(PERIOD_S - took_s, 0)):
                await stop.wait()
    return Window(
        succeeded=len(latencies_s), failures=dict(failures), latency_ms=summarise(latencies_s)
    )


def _flood(said: dict[str, Any], seconds: float) -> Flood:
    answered: dict[str, int] = said["answered"]
    return Flood(
        answered=answered,
        refused=len(said["refusals_s"]),
        refusal_ms=summarise(said["refusals_s"]),
        goodput_per_s=answered.get(DONE, 0) / seconds,
    )


@contextlib.asynccontextmanager
async def _flooding(wanted: Wanted) -> AsyncGenerator[dict[str, Any], None]:
    """Yields, once it has begun, what will say what came of it, once it is over."""
    pipe = asyncio.subprocess.PIPE
    flood = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.bench.floods", stdin=pipe, stdout=pipe
    )
    said: dict[str, Any] = {}
    try:
        assert flood.stdin is not None
        assert flood.stdout is not None
        flood.stdin.write(json.dumps(asdict(wanted)).encode() + b"\n")
        if await flood.stdout.readline() != b"ready\n":
            raise FloodError(f"the flood of {wanted.kind} over {wanted.via} did not begin")
        yield said
        flood.stdin.close()
        told, _ = await flood.communicate()
        if flood.returncode:
            raise FloodError(f"the flood of {wanted.kind} over {wanted.via} ended by itself")
        said.update(json.loads(told))
    finally:
        if flood.returncode is None:
            flood.kill()
            await flood.wait()
