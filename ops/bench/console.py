"""Terminal and exit codes of a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.client import ClientError, SettingsError
from contracts.primitives import Curve
from ops.stack.errors import StackError
from topology import TopologyError

from . import abuse, beside, crowd, curve, hop, renewals, typescript
from . import run as runs
from .both import render_both, render_crowd, render_endurance
from .floods import Kind, Way
from .load import Load, Outcome
from .plot import PlotError, draw, require_matplotlib
from .report import Report, as_json, render
from .site import Site
from .work import Work

FAILED = 1
UNUSABLE = 2
UNAVAILABLE = 4
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """
    Attributes:
        to_json: One object on stdout in place of the page.
        plot: A PNG besides.
    """

    to_json: bool
    plot: Path | None


def measure(work: Work, load: Load, site: AbstractContextManager[Site], output: Output) -> None:
    """Raises typer.Exit unless all operations succeeded."""
    with _troubles_in_a_sentence():
        if output.plot is not None:
            _check_plot(output.plot)
        with site as found:
            with _bars(load.count) as bars:
                report, latencies_s = uvloop.run(runs.run(found, work, load, bars))
            # Before the stack is taken down: that takes a moment.
            _show(report, output.to_json)
            if output.plot is not None:
                draw(report, latencies_s, output.plot)
                say(f"The plot is in {output.plot}.")
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)


def measure_rates(
    work: Work, loads: Sequence[Load], site: AbstractContextManager[Site], output: Output
) -> None:
    """One load after another on one stack. Raises typer.Exit unless all operations succeeded."""
    reports: list[Report] = []
    with _troubles_in_a_sentence():
        if output.plot is not None:
            _check_plot(output.plot)
        with site as found:
            for load in loads:
                with _bars(load.count) as bars:
                    report, _ = uvloop.run(runs.run(found, work, load, bars))
                reports.append(report)
                say(f"{load.rate:g}/s offered: {report.rate}")
                if report.interrupted:
                    break
            if output.to_json:
                typer.echo(curve.as_json(reports))
            else:
                Console(highlight=False).print(curve.render(reports))
            if output.plot is not None:
                curve.draw(reports, output.plot)
                say(f"The plot is in {output.plot}.")
    if reports[-1].interrupted:
        raise typer.Exit(INTERRUPTED)
    if any(each.failures for each in reports):
        raise typer.Exit(FAILED)


def measure_hop(
    work: Work, load: Load, site: AbstractContextManager[Site], *, to_json: bool
) -> None:
    """Raises typer.Exit unless all operations succeeded."""
    with _troubles_in_a_sentence(), site as found:
        with _bars(load.count) as bars:
            comparison = uvloop.run(hop.compare(found, work, load, bars))
        if to_json:
            typer.echo(hop.as_json(comparison))
        else:
            Console(highlight=False).print(render_both(comparison))
    if comparison.interrupted:
        raise typer.Exit(INTERRUPTED)
    if comparison.failed:
        raise typer.Exit(FAILED)


def measure_renewals(
    site: AbstractContextManager[Site],
    *,
    curve: Curve,
    count: int,
    keys: int,
    timeout_s: float,
    to_json: bool,
) -> None:
    """Raises typer.Exit unless all operations succeeded."""
    with _troubles_in_a_sentence(), site as found:
        measuring = renewals.measure(
            found, curve=curve, count=count, keys=keys, timeout_s=timeout_s, progress=say
        )
        measured = uvloop.run(measuring)
        if to_json:
            typer.echo(renewals.as_json(measured))
        else:
            Console(highlight=False).print(renewals.render(measured))
    if measured.interrupted:
        raise typer.Exit(INTERRUPTED)
    if measured.failed:
        raise typer.Exit(FAILED)


def measure_abuse(
    work: Work, seconds: float, site: AbstractContextManager[Site], *, to_json: bool
) -> None:
    """Raises typer.Exit unless all operations succeeded."""
    with _troubles_in_a_sentence(), site as found:
        endurance = uvloop.run(abuse.endure(found, work, seconds, say))
        if to_json:
            typer.echo(abuse.as_json(endurance))
        else:
            Console(highlight=False).print(render_endurance(endurance))
    if endurance.failed:
        raise typer.Exit(FAILED)


def measure_junk(
    trees: Sequence[Path], *, turns: int, count: int, directory: Path, to_json: bool
) -> None:
    """Raises typer.Exit unless all trees could be measured."""
    with _troubles_in_a_sentence():
        found = beside.measure(trees, turns=turns, count=count, directory=directory, progress=say)
    if to_json:
        typer.echo(beside.as_json(found))
    else:
        Console(highlight=False).print(beside.as_table(found))


def measure_typescript(
    *, count: int, concurrency: int, turns: int, directory: Path, to_json: bool
) -> None:
    """Raises typer.Exit unless both clients could be measured."""
    with _troubles_in_a_sentence():
        found = typescript.measure(
            count=count, concurrency=concurrency, turns=turns, directory=directory, progress=say
        )
    if to_json:
        typer.echo(typescript.as_json(found))
    else:
        Console(highlight=False).print(typescript.as_table(found))


def measure_crowd(
    site: AbstractContextManager[Site],
    *,
    seconds: float,
    lanes: int,
    kinds: Sequence[Kind],
    ways: Sequence[Way],
    to_json: bool,
) -> None:
    """Raises typer.Exit unless all was as it should be."""
    with _troubles_in_a_sentence(), site as found:
        measured = uvloop.run(
            crowd.beside(found, seconds=seconds, lanes=lanes, kinds=kinds, ways=ways, progress=say)
        )
        if to_json:
            typer.echo(crowd.as_json(measured))
        else:
            Console(highlight=False, width=max(Console().width, 140)).print(render_crowd(measured))
    if measured.interrupted:
        raise typer.Exit(INTERRUPTED)
    if measured.lacking:
        raise typer.Exit(FAILED)


def say(line: str) -> None:
    """A line for people, beside what programs read."""
    typer.echo(line, err=True)


def _check_plot(plot: Path) -> None:
    """Better before a long measurement than after it."""
    require_matplotlib()
    if not plot.parent.is_dir():
        raise PlotError(f"{plot.parent} is no folder: nowhere to write the plot")


def _show(report: Report, to_json: bool) -> None:
    if to_json:
        typer.echo(as_json(report))
    else:
        Console(highlight=False).print(render(report))


class Bars(runs.Onlooker):
    """One while the pool is filled, then one while it is measured."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        self._count = count
        self._task = progress.add_task("preparing", total=None, failed="")
        self._measuring = False

    def filled(self, stock: int, wanted: int) -> None:
        """Show how far the pools are filled, before anything is measured."""
        self._progress.update(
            self._task, description="presigning", completed=min(stock, wanted), total=wanted
        )

    def advanced(self, outcome: Outcome) -> None:
        """Show how many are through, and how fast."""
        if not self._measuring:
            self._measuring = True
            self._progress.reset(self._task)  # the speed of filling says nothing about this
        failed = outcome.failures.total()
        self._progress.update(
            self._task,
            description="measuring",
            completed=outcome.finished,
            total=self._count,
            failed=f"{failed} failed" * (failed > 0),
        )


@contextmanager
def _bars(count: int) -> Iterator[Bars]:
    """On a terminal; nothing anywhere else."""
    console = Console(stderr=True)
    columns = (
        TextColumn("[dim]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as it:
        yield Bars(it, count)


@contextmanager
def _troubles_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except (SettingsError, PlotError) as error:
        _leave(str(error), UNUSABLE)
    except (StackError, TopologyError, ClientError) as error:
        _leave(str(error), UNAVAILABLE)
    except OSError as error:
        _leave(f"{error.filename or error}: {error.strerror}", UNUSABLE)
    except KeyboardInterrupt:
        _leave("Interrupted before anything was measured.", INTERRUPTED)


def _leave(message: str, code: int) -> NoReturn:
    say(message)
    raise typer.Exit(code)
