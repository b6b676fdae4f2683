"""What bad messages cost, in this tree and in another one beside it, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from ops.stack.errors import StackError
from ops.stack.services import Progress

from . import junk
from .latency import Latency, summarise

HERE = Path(__file__).parents[2]
QUIET = "quiet"

Taken = Mapping[str, Sequence[float]]
"""Seconds that each signature took, by what was going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    Attributes:
        latency_ms: Of signatures, by what was going on; all turns together.
    """

    tree: str
    latency_ms: dict[str, Latency]


def measure(
    trees: Sequence[Path], *, turns: int, count: int, directory: Path, progress: Progress
) -> list[Measured]:
    """Each tree once in each turn. Raises StackError if one of them cannot be measured."""
    found: dict[Path, dict[str, list[float]]] = {tree: {} for tree in trees}
    for turn in range(turns):
        for tree in trees:
            progress(f"Turn {turn + 1} of {turns}: {tree} ...")
            for name, seconds in _once(tree, count, directory).items():
                found[tree].setdefault(name, []).extend(seconds)
    return [Measured(tree=str(tree), latency_ms=_summaries(taken)) for tree, taken in found.items()]


def as_json(found: Iterable[Measured]) -> str:
    """The measurement for programs."""
    return json.dumps({"version": 1, "trees": [asdict(each) for each in found]}, indent=2)


def as_table(found: Sequence[Measured]) -> Table:
    """A row for each kind of bad messages; for each tree, what a signature took meanwhile."""
    table = Table("ms", title="Signatures beside bad messages")
    for each in found:
        for heading in (Path(each.tree).name, "p99", "x quiet"):
            table.add_column(heading, justify="right")
    for name in (QUIET, *junk.ATTACKS):
        cells = [cell for each in found for cell in _cells(each.latency_ms, name)]
        table.add_row(name, *cells)
    return table


def _once(tree: Path, count: int, directory: Path) -> Taken:
    # The measure is this tree's own, and stands by itself: all that it imports is the other's.
    command = [sys.executable, "-P", str(Path(junk.__file__)), str(count), str(directory.resolve())]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    ended = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StackError(f"{tree} could not be measured: {last}")
    taken: Taken = json.loads(ended.stdout)
    return taken


def _summaries(taken: Taken) -> dict[str, Latency]:
    summaries = {name: summarise(seconds) for name, seconds in taken.items()}
    return {name: each for name, each in summaries.items() if each is not None}


def _cells(latencies: Mapping[str, Latency], name: str) -> tuple[str, str, str]:
    quiet, found = latencies.get(QUIET), latencies.get(name)
    if found is None:
        return "-", "-", "-"
    times = "-" if quiet is None else f"{found.p50 / quiet.p50:.1f}"
    return f"{found.p50:.0f}", f"{found.p99:.0f}", times
