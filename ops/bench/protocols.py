"""``python -m ops.bench.protocols``: what threshold ECDSA costs one party, without queue and store.

CPU time of one party. Base transfers and their trees have a row of their own, for each other
signer; a presignature's time is the rest of its batch's, by the batch's length.
"""

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from workers.protocols.groups import SECP256K1
from workers.protocols.ot.arithmetic import Arithmetic, BatchedArithmetic, PlainArithmetic
from workers.protocols.ot.curve import multiply_hashed

from .in_memory import Clock, generate, presign, sign
from .latency import percentile
from .machine import Machine, this_machine

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Milliseconds of CPU.

    Attributes:
        batch: How many presignatures were made at once; 0 where it does not matter.
    """

    what: str
    signers: int
    batch: int = 0
    median_ms: float
    p95_ms: float
    repetitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The fields are the keys of the JSON object.

    Attributes:
        threads: Of numpy's linear algebra.
        product_us: One constant-time product with a foreign point: how fast the host is now.
        sizes: Bytes of each message, by the batch's length.
    """

    machine: Machine
    numpy: str
    threads: str
    product_us: float
    rows: list[Row]
    sizes: dict[int, dict[str, int]]


def measure(
    signers: Iterable[int], batches: Iterable[int], repetitions: int, tick: Tick
) -> Figures:
    """What the cryptography alone costs, for each number of signers and size of batch."""
    rows: list[Row] = []
    sizes: dict[int, dict[str, int]] = {}
    product_us = calibrate()
    presign(generate(2, 2, Clock()), 1, BatchedArithmetic(), Clock())  # fills caches
    for t in signers:
        keys = generate(t, t, Clock())
        for batch in batches:
            for path in arithmetics(batch):
                clock, laps = Clock(), []
                with clock.watching_set_up():
                    for _ in range(repetitions):
                        made = presign(keys, batch, path, clock)
                        laps.append(clock.lap())
                        tick()
                each = [(spent - set_up) / batch for spent, set_up in laps]
                rows.append(row(f"presignature, {type(path).__name__}", each, t, batch))
                sizes[batch] = clock.sizes
            pair = [set_up / (t - 1) for _, set_up in laps]
            rows.append(row("base OT and PPRF, each pair", pair, t, batch))
        first = {i: presignatures[0] for i, presignatures in made.items()}
        online = [sign(first, last := Clock()) for _ in range(20 * repetitions)]
        rows.append(row("signature share", [share for share, _ in online], t))
        rows.append(row("combine", [combined for _, combined in online], t))
    for of_batch in sizes.values():
        of_batch.update(last.sizes)
    clock, laps = Clock(), []
    for _ in range(repetitions):
        generate(2, 3, clock)
        laps.append(clock.lap())
        tick()
    rows.append(row("key generation 2 of 3", [spent for spent, _ in laps], 2))
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "as many as cores")
    return Figures(
        machine=this_machine(),
        numpy=np.__version__,
        threads=threads,
        product_us=product_us,
        rows=rows,
        sizes=sizes,
    )


def row(what: str, times_ms: list[float], signers: int, batch: int = 0) -> Row:
    """One line of the table: median and 95th percentile."""
    return Row(
        what=what,
        signers=signers,
        batch=batch,
        median_ms=statistics.median(times_ms),
        p95_ms=percentile(sorted(times_ms), 95),
        repetitions=len(times_ms),
    )


def arithmetics(batch: int) -> list[Arithmetic]:
    """The plain one is a reference, and takes its time."""
    return [BatchedArithmetic(), PlainArithmetic()] if batch == 1 else [BatchedArithmetic()]


def calibrate(times: int = 200) -> float:
    """Microseconds of one multiplication on the curve: what machines are compared by."""
    point, scalar = (SECP256K1.scalar(7) * SECP256K1.generator), SECP256K1.scalar(-5)
    began = time.process_time()
    for _ in range(times):
        multiply_hashed(point, scalar)
    return (time.process_time() - began) / times * 1e6


###
### Command line
###


def main(
    signers: Annotated[list[int], typer.Option(help="Repeat it for several.")] = [2, 3, 5],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="Repeat it for several.")] = [1, 16, 64],  # noqa: B006
    repetitions: Annotated[int, typer.Option(min=1)] = 9,
    to_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """CPU per party of base transfers, presignatures, shares, combining and key generation."""
    runs = 1 + len(signers) * sum(len(arithmetics(n)) for n in batch)
    with _progress(runs * repetitions) as tick:
        figures = measure(signers, batch, repetitions, tick)
    if to_json:
        typer.echo(json.dumps(dataclasses.asdict(figures), indent=2))
    else:
        _show(figures, Console(highlight=False))


def _show(figures: Figures, console: Console) -> None:
    machine = figures.machine
    console.print(f"{machine.cpu}, {machine.cores} cores, Python {machine.python}")
    console.print(f"numpy {figures.numpy}, threads of its linear algebra: {figures.threads}")
    console.print(f"one constant-time product with a foreign point: {figures.product_us:.1f} us")
    times = Table("CPU ms per party", "signers", "batch", "median", "p95", box=SIMPLE)
    for one in figures.rows:
        numbers = f"{one.median_ms:.3f}", f"{one.p95_ms:.3f}"
        times.add_row(one.what, str(one.signers), str(one.batch or ""), *numbers)
    console.print(times)
    names = list(next(iter(figures.sizes.values())))
    sizes = Table("message bytes, batch", *names, box=SIMPLE)
    for batch, of in figures.sizes.items():
        sizes.add_row(str(batch), *(f"{of[name]:,}" for name in names))
    console.print(sizes)


@contextmanager
def _progress(total: int) -> Iterator[Tick]:
    """A bar on a terminal, nothing anywhere else."""
    console = Console(stderr=True)
    columns = TextColumn("[dim]measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as it:
        task = it.add_task("", total=total)
        yield lambda: it.advance(task)


if __name__ == "__main__":
    typer.run(main)
