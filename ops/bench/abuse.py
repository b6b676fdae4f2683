"""What callers with bad manners do to one with good ones: who signs steadily all the while."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from contracts.primitives import Scope
from ops.stack.gateways import new_api_key
from ops.stack.services import Progress

from .accounts import account, new_account, sign_path
from .attackers import ATTACKS
from .caller import Caller
from .latency import Latency, summarise
from .load import Operation
from .machine import Machine, commit, this_machine
from .measure import Group, read
from .run import watched
from .site import Site, Stack
from .work import Work

UNDISTURBED = "undisturbed"
RESPITE_S = 3.0
"""After an attack: connections are closed, and what it has begun comes to an end."""
WARMUP = 30
MALLORY = "mallory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    Attributes:
        failures: Of the steady caller, by code.
        gateway_cores: How many the gateway kept busy.
        answered: How the attackers' requests were answered, by status.
    """

    name: str
    succeeded: int
    failures: dict[str, int]
    latency_ms: Latency | None
    gateway_cores: float
    answered: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """
    Attributes:
        seconds: Of each window.
        windows: In the order of time; those that nothing disturbed are between the others.
    """

    version: Literal[1] = 1
    date: str
    commit: str | None
    machine: Machine
    stack: Stack | None
    seconds: float
    undisturbed_ms: Latency | None
    windows: list[Window]

    @property
    def failed(self) -> int:
        """How many of the steady caller's requests failed, in all windows."""
        return sum(sum(window.failures.values()) for window in self.windows)


def as_json(endurance: Endurance) -> str:
    """The measurement for programs."""
    return json.dumps(asdict(endurance), indent=2)


async def endure(site: Site, work: Work, seconds: float, progress: Progress) -> Endurance:
    """Raises ClientError if accounts cannot be made, ChildDiedError if a worker of ours ended."""
    started = datetime.now(UTC)
    assert site.gateways is not None
    url = site.gateways.urls[0]
    (gateway,) = (group for group in site.groups if group.name == "gateway")
    attackers_key = await new_api_key(
        site.gateways.config, site.gateways.authority, MALLORY, tuple(Scope)
    )
    async with (
        Caller(url, site.gateways.api_key) as steady,
        Caller(url, attackers_key) as attacker,
        watched(site.check),
    ):
        operate = (await account(steady, work)).operate
        path = sign_path((await new_account(attacker, work))["account_id"])
        target = {"url": url, "api_key": attackers_key, "path": path}
        for _ in range(WARMUP):
            await operate()
        windows, calm = [], []
        for name in ATTACKS:
            window, latencies_s = await _window(UNDISTURBED, operate, gateway, seconds, {})
            calm += latencies_s
            windows.append(window)
            async with _attackers(name, target) as answered:
                window, _ = await _window(name, operate, gateway, seconds, answered)
            windows.append(window)
            progress(f"{name}: over.")
            await asyncio.sleep(RESPITE_S)
    return Endurance(
        date=started.isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        stack=site.stack,
        seconds=seconds,
        undisturbed_ms=summarise(calm),
        windows=windows,
    )


async def _window(
    name: str, operate: Operation, gateway: Group, seconds: float, answered: dict[str, int]
) -> tuple[Window, list[float]]:
    latencies_s: list[float] = []
    failures: Counter[str] = Counter()
    before = read([gateway])
    ends_at = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends_at:
        failure = await operate()
        if failure is None:
            latencies_s.append(time.perf_counter() - began)
        else:
            failures[failure] += 1
    after = read([gateway])
    cpu_s = after.cpu_s[gateway.name] - before.cpu_s[gateway.name]
    window = Window(
        name=name,
        succeeded=len(latencies_s),
        failures=dict(failures),
        latency_ms=summarise(latencies_s),
        gateway_cores=cpu_s / (after.at - before.at),
        answered=answered,
    )
    return window, latencies_s


@contextlib.asynccontextmanager
async def _attackers(name: str, target: dict[str, str]) -> AsyncGenerator[dict[str, int], None]:
    """Yields what will say how they were answered, once they are gone."""
    pipe = asyncio.subprocess.PIPE
    attackers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.bench.attackers", name, stdin=pipe, stdout=pipe
    )
    answered: dict[str, int] = {}
    try:
        assert attackers.stdin is not None
        attackers.stdin.write(json.dumps(target).encode() + b"\n")
        yield answered
        attackers.stdin.close()
        said, _ = await attackers.communicate()
        answered.update(json.loads(said))
    finally:
        if attackers.returncode is None:
            attackers.kill()
            await attackers.wait()
