"""``warren bench``: how fast, at what cost.

Exit codes: 0 every operation succeeded; 1 some failed; 2 a wrong command line or configuration;
4 broker, database or workers cannot be had; 130 interrupted.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.client import ClientError, SettingsError
from contracts.primitives import Curve, Scheme
from ops.stack.errors import StackError
from topology import TopologyError

from . import options
from .load import Outcome
from .plot import PlotError, draw, require_matplotlib
from .report import Report, as_json, render
from .run import Load, run
from .site import Site, Store, own_site, plan_for, running_site
from .work import Work

FAILED = 1
UNUSABLE = 2
UNAVAILABLE = 4
INTERRUPTED = 130

app = typer.Typer(
    help="Measure latency, throughput and CPU, on a throw-away stack or one that runs.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.command()
def keygen(
    curve: options.CurveOption = Curve.ED25519,
    count: options.Count = 50,
    concurrency: options.Concurrency = 1,
    warmup: options.Warmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    processes_per_party: options.PartyProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.Timeout = 60.0,
    config: options.Config = None,
    to_json: options.AsJson = False,
    plot: options.Plot = None,
    directory: options.Directory = Path(".warren"),
) -> None:
    """Key generation: from the request to the certified key."""
    _measure(
        _work("keygen", curve, None, threshold, parties),
        _load(count, concurrency, warmup, timeout),
        _site(config, directory, parties, processes_per_party, coordinator_processes, store),
        to_json,
        plot,
    )


@app.command()
def sign(
    curve: options.CurveOption = Curve.ED25519,
    scheme: options.SchemeOption = None,
    count: options.Count = 300,
    concurrency: options.Concurrency = 1,
    warmup: options.Warmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    processes_per_party: options.PartyProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.Timeout = 60.0,
    config: options.Config = None,
    to_json: options.AsJson = False,
    plot: options.Plot = None,
    directory: options.Directory = Path(".warren"),
) -> None:
    """Signing: from the request to the verified signature, all with one key."""
    scheme = scheme or (Scheme.ED25519 if curve is Curve.ED25519 else Scheme.BIP340)
    _measure(
        _work("sign", curve, scheme, threshold, parties),
        _load(count, concurrency, warmup, timeout),
        _site(config, directory, parties, processes_per_party, coordinator_processes, store),
        to_json,
        plot,
    )


def _work(
    operation: Literal["keygen", "sign"],
    curve: Curve,
    scheme: Scheme | None,
    threshold: int,
    party_count: int,
) -> Work:
    if threshold > party_count:
        raise typer.BadParameter(f"--threshold {threshold} is more than --parties {party_count}")
    if scheme is not None and scheme.curve is not curve:
        raise typer.BadParameter(
            f"--scheme {scheme} goes with --curve {scheme.curve}, not with {curve}"
        )
    return Work(
        operation=operation,
        curve=curve,
        scheme=scheme,
        threshold=threshold,
        party_count=party_count,
    )


def _load(count: int, concurrency: int, warmup: int | None, timeout_s: float) -> Load:
    return Load(
        count=count,
        concurrency=concurrency,
        warmup=max(10, 2 * concurrency) if warmup is None else warmup,
        timeout_s=timeout_s,
    )


def _site(
    config: Path | None,
    directory: Path,
    party_count: int,
    processes_per_party: int,
    coordinator_processes: int,
    store: Store,
) -> AbstractContextManager[Site]:
    if config is not None:
        return running_site(config)
    plan = plan_for(
        party_count=party_count,
        processes_per_party=processes_per_party,
        coordinator_processes=coordinator_processes,
        store=store,
    )
    return own_site(directory, plan, store, _say)


def _measure(
    work: Work,
    load: Load,
    site: AbstractContextManager[Site],
    to_json: bool,
    plot: Path | None,
) -> None:
    with _troubles_in_a_sentence():
        if plot is not None:
            _check_plot(plot)
        with site as found:
            with _progress(load.count) as advanced:
                report, latencies_s = uvloop.run(run(found, work, load, advanced=advanced))
            # Before the stack is taken down: that takes a moment.
            _show(report, to_json)
            if plot is not None:
                draw(report, latencies_s, plot)
                _say(f"The plot is in {plot}.")
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)


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


@contextmanager
def _progress(count: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar on a terminal, nothing anywhere else."""
    console = Console(stderr=True)
    columns = (
        TextColumn("[dim]measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as it:
        task = it.add_task("", total=count, failed="")

        def advanced(outcome: Outcome) -> None:
            failed = outcome.failures.total()
            it.update(task, completed=outcome.finished, failed=f"{failed} failed" * (failed > 0))

        yield advanced


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
    _say(message)
    raise typer.Exit(code)


def _say(line: str) -> None:
    typer.echo(line, err=True)
