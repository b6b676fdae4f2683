"""`warren bench sign --open`: so many a second, whatever is in flight."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ops.bench.cli as bench
from ops.bench import curve
from ops.bench import run as runs
from ops.bench.latency import Latency
from ops.bench.load import Load, moments, offer
from ops.bench.plot import PlotError
from ops.bench.report import Report
from ops.bench.run import Onlooker
from ops.bench.site import Site
from ops.bench.work import Work
from tests.ops.bench_samples import report

###
### The load
###


def test_the_moments_are_those_of_a_poisson_process() -> None:
    due = moments(50.0, 20_000, Random(1))
    gaps = [after - before for before, after in zip([0.0, *due], due, strict=False)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.03)
    # Exponential gaps have their mean for a deviation, and exceed it once in e times.
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.03)
    longer = sum(gap > 1 / 50 for gap in gaps) / len(gaps)
    assert longer == pytest.approx(1 / math.e, rel=0.03)
    assert moments(50.0, 9, Random(1)) == due[:9]


async def test_operations_begin_whatever_became_of_those_before() -> None:
    begun = 0
    ending = asyncio.Event()

    async def operate() -> str | None:
        nonlocal begun
        begun += 1
        if begun == 30:
            ending.set()  # none has ended up to here
        await ending.wait()
        return None if begun % 2 else "expired"

    outcome = await offer(operate, count=30, rate=10_000.0, stop=asyncio.Event(), random=Random(2))
    assert begun == 30
    assert outcome.finished == 30
    assert outcome.failures == {"expired": 30}


async def test_what_begins_late_took_longer() -> None:
    """Where the client itself is stuck, what was due meanwhile has waited."""
    stuck_s = 0.3

    async def operate() -> str | None:
        nonlocal stuck_s
        time.sleep(stuck_s)  # noqa: ASYNC251  # the loop is stuck, that is the point
        stuck_s = 0.0
        return None

    outcome = await offer(operate, count=20, rate=1_000.0, stop=asyncio.Event(), random=Random(3))
    due_meanwhile = [gap for gap in moments(1_000.0, 20, Random(3)) if gap < 0.3]
    assert len(due_meanwhile) == 20
    assert min(outcome.latencies_s) > 0.2


async def test_a_stop_gives_up_what_runs_and_begins_nothing_more() -> None:
    stop = asyncio.Event()
    begun = 0

    async def operate() -> str | None:
        nonlocal begun
        begun += 1
        stop.set()
        await asyncio.Event().wait()
        return None

    # The second is due in a quarter of an hour.
    outcome = await offer(operate, count=2, rate=1e-3, stop=stop, random=_Hasty())
    assert (begun, outcome.abandoned, outcome.finished) == (1, 1, 0)
    again = await offer(operate, count=2, rate=1e-3, stop=stop, random=_Hasty())
    assert (begun, again.abandoned) == (1, 0)


class _Hasty(Random):
    """The first gap is none, the others are as long as on average."""

    def __init__(self) -> None:
        super().__init__(0)
        self._first = True

    def expovariate(self, lambd: float = 1.0) -> float:
        first, self._first = self._first, False
        return 0.0 if first else 1 / lambd


async def test_what_an_operation_raises_ends_the_load() -> None:
    async def operate() -> str | None:
        raise RuntimeError("no stack")

    with pytest.raises(RuntimeError, match="no stack"):
        await offer(operate, count=5, rate=10_000.0, stop=asyncio.Event())


###
### The command
###


class Stage:
    """Stands in for stack and load: gives each rate a report of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.loads: list[Load] = []
        self._changes = changes
        monkeypatch.setattr(bench, "own_site", self._own_site)
        monkeypatch.setattr(runs, "run", self._run)

    def _own_site(self, *_: Any) -> AbstractContextManager[None]:
        return nullcontext()

    async def _run(
        self, site: Site, work: Work, load: Load, onlooker: Onlooker
    ) -> tuple[Report, list[float]]:
        self.loads.append(load)
        return report(offered_per_s=load.rate, **self._changes), [0.01, 0.02]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(bench.app, ["sign", *map(str, words)])


def test_one_rate_is_a_load_and_its_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    done = invoke("--open", "60", "-n", "100")
    assert done.exit_code == 0, done.output
    assert [(load.rate, load.count) for load in stage.loads] == [(60.0, 100)]
    assert "60/s offered" in done.stdout
    assert "in flight" not in done.stdout


def test_several_rates_are_measured_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    done = invoke("--open", "60", "--open", "90.5", "--json")
    assert done.exit_code == 0, done.output
    assert [load.rate for load in stage.loads] == [60.0, 90.5]
    told = json.loads(done.stdout)
    assert told["version"] == 1
    assert [each["offered_per_s"] for each in told["reports"]] == [60.0, 90.5]


def test_the_table_has_a_row_for_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    Stage(monkeypatch)
    rows = [
        line.split()
        for line in invoke("--open", "60", "--open", "90.5").stdout.splitlines()
        if line.split()[:1] in (["60"], ["90.5"])
    ]
    assert len(rows) == 2
    assert all(len(row) == 8 for row in rows)


@pytest.mark.parametrize(
    ("changes", "code", "rates"),
    [
        ({"interrupted": True}, 130, [60.0]),
        ({"failures": {"expired": 2}}, 1, [60.0, 90.0]),
        ({"latency_ms": None, "failures": {"expired": 2}}, 1, [60.0, 90.0]),
    ],
)
def test_exit_codes_are_those_of_one_load(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: int, rates: list[float]
) -> None:
    stage = Stage(monkeypatch, **changes)
    assert invoke("--open", "60", "--open", "90").exit_code == code
    assert [load.rate for load in stage.loads] == rates


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--open", "0"), "more than 0"),
        (("--open", "-3"), "more than 0"),
        (("--open", "nan"), "more than 0"),
        (("--open", "1e9"), "at most 10,000"),
        (("--open", "60", "-c", "24"), "one of them"),
    ],
)
def test_a_rate_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: Sequence[str], said: str
) -> None:
    stage = Stage(monkeypatch)
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())
    assert stage.loads == []


###
### The picture
###


def at(rate: float, done: float, p99: float) -> Report:
    latency = Latency(p50=p99 / 4, p95=p99 / 2, p99=p99, max=p99, mean=p99 / 3, min=1.0)
    return replace(report(offered_per_s=rate), throughput_per_s=done, latency_ms=latency)


@pytest.mark.long
def test_the_curve_is_a_png_and_shades_what_cannot_be_done(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    pictures = []
    for name, done in (("kept_up", 80.0), ("saturated", 55.0)):
        file = tmp_path / f"{name}.png"
        curve.draw([at(40.0, 40.0, 30.0), at(80.0, done, 900.0)], file)
        pictures.append(image.imread(file))
    assert pictures[0].shape == (576, 1320, 4)
    assert (pictures[0] != pictures[1]).any()


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(PlotError, match="no operation succeeded"):
        curve.draw([report(offered_per_s=5.0, latency_ms=None)], tmp_path / "plot.png")


def test_several_rates_leave_their_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    Stage(monkeypatch)
    file = tmp_path / "curve.png"
    done = invoke("--open", "60", "--open", "90", "--plot", file)
    assert done.exit_code == 0, done.output
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
