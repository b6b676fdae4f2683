"""``warren chaos``: what is promised, tried.

Exit codes: 0 all held; 1 something was lost, doubled, wrong or left over; 2 a wrong command line;
4 broker, database or workers cannot be had; 130 interrupted.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.logs import hushed
from ops.stack.errors import StackError
from ops.stack.services import running_services
from topology import TopologyError

from .crew import WorkerStuckError
from .experiment import Onlooker, Outcome, Settings, run
from .facts import Facts
from .faults import Kind, possible
from .load import FirstKeyError
from .report import as_json, render
from .schedule import schedule

FAILED = 1
UNAVAILABLE = 4
INTERRUPTED = 130


def chaos(
    seconds: Annotated[float, typer.Option("--seconds", min=10, help="Of load.")] = 120,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Which faults strike when, and what is asked: the same seed, the same schedule.",
            show_default="a random one, which is printed",
        ),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Requests per second.")] = 6,
    fault: Annotated[
        list[Kind] | None,
        typer.Option("--fault", help="Only of this kind; may be given again.", show_default="all"),
    ] = None,
    overlap: Annotated[
        float,
        typer.Option(
            "--overlap", min=0, max=1, help="Chance of each fault that another one strikes with it."
        ),
    ] = 0,
    haste: Annotated[
        float, typer.Option("--haste", min=0.1, help="Faults last so many times shorter.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, help="Of the broker. With 3, one of them may die.")
    ] = 1,
    plan: Annotated[bool, typer.Option("--plan", help="Print the schedule, and do nothing.")] = (
        False
    ),
    to_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    directory: Annotated[
        Path, typer.Option("--directory", file_okay=False, help="For the throw-away stack.")
    ] = Path(".warren"),
) -> None:
    """Break a throw-away stack under load by a schedule of faults, and see that all promises hold:
    every request one result, every signature true, nothing used twice, nothing left over."""
    chosen = secrets.randbelow(2**31) if seed is None else seed
    if fault and not set(fault) <= set(possible(nodes)):
        raise typer.BadParameter("one node of one is the broker: see --nodes", param_hint="--fault")
    injections = schedule(chosen, seconds, fault or possible(nodes), haste=haste, overlap=overlap)
    say(f"Seed {chosen}: {len(injections)} faults are planned.")
    for injection in injections:
        say(f"  {injection}")
    if plan:
        return
    hush()
    settings = Settings(seed=chosen, seconds=seconds, injections=injections, rate_per_s=rate)
    with hushed("contracts"), _troubles_in_a_sentence():
        with (
            running_services(directory, progress=say, nodes=nodes) as services,
            _bar(settings) as bar,
        ):
            outcome = run(services, settings, bar)
        _show(outcome, to_json)
    if outcome.violations:
        raise typer.Exit(FAILED)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def hush() -> None:
    """Lost connections are our own doing here, and nothing to shout about."""
    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def say(line: str) -> None:
    typer.echo(line, err=True)


def _show(outcome: Outcome, to_json: bool) -> None:
    if to_json:
        typer.echo(as_json(outcome))
    else:
        Console(highlight=False).print(render(outcome))


class Bar(Onlooker):
    def __init__(self, progress: Progress, settings: Settings) -> None:
        self._progress = progress
        self._seconds = settings.seconds
        self._task = progress.add_task("load", total=settings.seconds, seen="", start=False)
        self._loading = False

    def says(self, line: str) -> None:
        if self._progress.disable:
            say(line)
        else:
            self._progress.console.print(line)

    def passed(self, seconds: float, facts: Facts) -> None:
        if not self._loading:
            self._loading = True
            self._progress.start_task(self._task)
        last = facts.struck[-1].kind.value if facts.struck else ""
        self._progress.update(
            self._task,
            completed=min(seconds, self._seconds),
            seen=f"{len(facts.answers)}/{len(facts.asked)} answered, "
            f"{len(facts.struck)} faults {last}",
        )


@contextmanager
def _bar(settings: Settings) -> Iterator[Bar]:
    """On a terminal; sentences anywhere else."""
    console = Console(stderr=True)
    columns = (
        TextColumn("[dim]{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[seen]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as it:
        yield Bar(it, settings)


@contextmanager
def _troubles_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except (StackError, TopologyError, FirstKeyError, WorkerStuckError) as error:
        _leave(str(error), UNAVAILABLE)
    except KeyboardInterrupt:
        _leave("Interrupted before anything could be judged.", INTERRUPTED)


def _leave(message: str, code: int) -> NoReturn:
    say(message)
    raise typer.Exit(code)
