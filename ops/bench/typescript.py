"""The TypeScript client beside the Python client: signatures a second, in turns, and how its heap
grows. The client has to be compiled: `npm ci && npm run compile` in contracts/typescript."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Plan, running_deployment
from ops.stack.errors import StackError
from ops.stack.services import Progress, running_services

from .beside import HERE

SCRIPT = HERE / "contracts" / "typescript" / "build" / "test" / "load.js"
CLIENT, KEY = "bench", "bench"
WARMUP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    Attributes:
        python, typescript: Signatures a second of each turn.
        heap: Bytes of the TypeScript client's heap after a collection, each 500 signatures, of the
            last turn.
    """

    python: tuple[float, ...]
    typescript: tuple[float, ...]
    heap: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """Of the medians: 1 is as fast as the Python client."""
        return statistics.median(self.typescript) / statistics.median(self.python)

    @property
    def growth(self) -> float | None:
        """The heap's, from the first sample to the last."""
        return self.heap[-1] / self.heap[0] if len(self.heap) > 1 else None


def measure(
    *, count: int, concurrency: int, turns: int, directory: Path, progress: Progress
) -> Measured:
    """Raises StackError."""
    node = shutil.which("node")
    if node is None:
        raise StackError("node is not installed")
    if not SCRIPT.exists():
        raise StackError(f"{SCRIPT} is not there: {__doc__.rpartition(': ')[2] if __doc__ else ''}")
    python: list[float] = []
    typescript: list[float] = []
    heap: Sequence[int] = ()
    with (
        running_services(directory, progress=progress) as services,
        running_deployment(services, Plan(clients=(CLIENT,)).compact(), progress=progress) as stack,
    ):
        config = stack.clients[CLIENT]
        asyncio.run(_make_key(config))
        for turn in range(turns):
            progress(f"Turn {turn + 1} of {turns} ...")
            python.append(count / asyncio.run(_python(config, count, concurrency)))
            words = [str(config), KEY, str(count), str(concurrency)]
            ended = subprocess.run(
                [node, "--expose-gc", str(SCRIPT), *words],
                capture_output=True,
                text=True,
                check=False,
            )
            if ended.returncode:
                last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise StackError(f"the TypeScript client failed: {last}")
            told = json.loads(ended.stdout)
            typescript.append(count / told["seconds"])
            heap = told["heap"]
    return Measured(python=tuple(python), typescript=tuple(typescript), heap=tuple(heap))


def as_json(found: Measured) -> str:
    """The measurement for programs."""
    told = {"version": 1, **asdict(found), "ratio": found.ratio, "growth": found.growth}
    return json.dumps(told, indent=2)


def as_table(found: Measured) -> Table:
    """A row for each client."""
    table = Table("client", "signatures/s", "of each turn", title="Two clients of one service")
    for name, rates in (("Python", found.python), ("TypeScript", found.typescript)):
        each = ", ".join(f"{rate:.1f}" for rate in rates)
        table.add_row(name, f"{statistics.median(rates):.1f}", each)
    growth = "" if found.growth is None else f"; its heap at the end x{found.growth:.2f}"
    table.caption = f"TypeScript is x{found.ratio:.2f} of Python{growth}"
    return table


async def _make_key(config: Path) -> None:
    async with Client.connect(ClientSettings.load(config)) as client:
        await client.create_key(KEY, curve=Curve.ED25519, threshold=2, party_count=3)


async def _python(config: Path, count: int, concurrency: int) -> float:
    async with Client.connect(ClientSettings.load(config)) as client:

        async def work(total: int) -> float:
            numbers = iter(range(total))

            async def worker() -> None:
                for number in numbers:
                    message = f"message {number}".encode()
                    await client.sign(KEY, message=message, scheme=Scheme.ED25519)

            started = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(concurrency)))
            return time.perf_counter() - started

        await work(WARMUP)
        return await work(count)
