"""``warren topology migrate-queue``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from topology import tls
from topology.broker import Broker
from topology.console import errors_as_exit, out, print_json
from topology.files import declared
from topology.management import Management
from topology.migration.conduct import Migration, News, Timing, WaitingError
from topology.migration.connection import beside, checked
from topology.migration.findings import RefusedError, look, policies, refusals
from topology.migration.interruption import interruptible
from topology.migration.parts import Parts
from topology.migration.record import Record, Records
from topology.migration.steps import Step, steps
from topology.model import VHOST, Queue, Topology
from topology.options import (
    DEFAULT_URL,
    Directory,
    Json,
    ManagementUrl,
    MembersFile,
    Overlays,
    User,
    VhostName,
)
from topology.risks import Level

BLOCKED = 3

Name = Annotated[str, typer.Argument(help="Of the queue, as it is at the broker.")]
To = Annotated[
    str | None,
    typer.Option("--to", help="Its new name, as declared; the same unless given."),
]
Amqp = Annotated[
    str | None,
    typer.Option(
        "--amqp",
        envvar="WARREN_MIGRATION_AMQP",
        help="Where the broker speaks AMQP, without a user: amqp://host:5672, or "
        "amqps://host:5671?cafile=FILE. The management API's host and files unless given.",
    ),
]
Pause = Annotated[
    bool,
    typer.Option(
        "--pause/--no-pause",
        help="At the end, refuse what is published (nack) for about a quarter of a second, so that "
        "no two messages change places. Without it, some of that moment may.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say the steps and what each may do; change nothing.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for."""

    wanted: Topology
    vhost: str
    old: str
    new: str
    amqp: str
    pause: bool = True
    dry_run: bool = False
    timing: Timing = field(default_factory=Timing)

    @property
    def queue(self) -> Queue:
        """The new queue. Raises RefusedError if it is not declared."""
        for queue in self.wanted.queues:
            if queue.name == self.new:
                return queue
        raise RefusedError(
            [f"queue {self.new} is not declared: put it, as it is to become, into the files"]
        )


class Display:
    """What is told while it goes on: lines and a bar, or nothing."""

    def __init__(self, console: Console, *, silent: bool) -> None:
        self._console = console
        self._silent = silent
        self._progress = Progress(
            TextColumn("    {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None
        self._texts: dict[str, str] = {}

    @contextmanager
    def over(self, ahead: tuple[Step, ...]) -> Iterator[None]:
        """Until all is done, or has failed."""
        self._texts = {step.name: step.text for step in ahead}
        with nullcontext() if self._silent else self._progress:
            yield

    def hear(self, news: News) -> None:
        """Called for each piece of news."""
        if self._silent:
            return
        match news.kind:
            case "begun":
                self._bar = None
                self._console.print(Text(f"~ {self._texts.get(news.step, news.step)}"))
            case "done" if self._bar is not None:
                self._progress.remove_task(self._bar)
            case "done":
                pass
            case "waiting":
                self._show("left to its consumers", total=news.left)
            case "refusing" | "turned":
                pass
            case "moved":
                self._show("moved", total=news.left, more=news.moved)

    def _show(self, text: str, *, total: int | None, more: int = 0) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task(text, total=total)
        if more:
            self._progress.update(self._bar, advance=more, total=total, description=text)
        elif total is not None:
            begun = max(total, int(self._progress.tasks[-1].total or 0))
            self._progress.update(self._bar, completed=begun - total, total=begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    Attributes:
        ahead: The steps that were not done before.
        late: Messages that came in behind others that were published after them.
    """

    ahead: tuple[Step, ...]
    record: Record
    late: int = 0
    done: bool = False

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "done": self.done,
            "steps": [
                {
                    "name": step.name,
                    "text": step.text,
                    "risk": {"level": str(step.risk.level), "why": step.risk.why},
                }
                for step in self.ahead
            ],
            "moved": self.record.moved,
            "late": self.late,
            "perhaps_doubled": self.record.distrusted,
        }

    def lines(self) -> Iterator[Text]:
        """For people."""
        record = self.record
        if not self.done:
            for step in self.ahead:
                loud = "bold red" if step.risk.level is Level.HIGH else "dim"
                yield Text.assemble(f"~ {step.text}", (f"  [{step.risk}]", loud))
            return
        yield Text(
            f"queue {record.old} is {record.new.name} ({record.new.type}) now: "
            f"{record.moved} messages moved"
        )
        if self.late:
            yield Text(f"! {self.late} messages came in late, behind others", style="bold red")
        if record.distrusted:
            yield Text(
                f"! the broker was lost on the way: up to {record.distrusted} messages may be "
                "there twice",
                style="bold red",
            )


async def migrate(management: Management, request: Request, display: Display) -> Outcome:
    """Raises TopologyError."""
    parts = Parts(request.old, request.new)
    queue = request.queue
    checked(request.amqp)
    broker = Broker(management, vhost=request.vhost)
    found = await broker.found()
    record = kept = await Records(management, request.vhost, request.old).read()
    if record is None:
        findings = await look(management, found, request.old)
        if reasons := tuple(refusals(findings, parts, queue, pause=request.pause)):
            raise RefusedError(reasons)
        record = Record(old=request.old, new=queue, bindings=findings.bindings(request.old))
    elif record.new != queue:
        raise RefusedError(
            [
                f"a migration of queue {record.old} to {record.new.name} ({record.new.type}, "
                f"arguments {dict(record.new.arguments)}) is under way: finish it with the files "
                "as they were then"
            ]
        )
    there = next((one for one in found.topology.queues if one.name == request.old), None)
    known = found.topology.policies
    ahead = tuple(
        step for step in steps(parts, pause=request.pause) if step.name not in record.done
    )
    if request.dry_run:
        return Outcome(ahead=ahead, record=record)
    migration = Migration(
        management,
        broker,
        request.amqp,
        record,
        kept=kept,
        policies=policies(request.wanted.policies, known, new=queue, old=there),
        pause=request.pause,
        timing=request.timing,
        tell=display.hear,
    )
    with display.over(ahead):
        await migration.run()
    return Outcome(ahead=ahead, record=migration.record, late=migration.late, done=True)


def migrate_queue(
    name: Name,
    to: To = None,
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    management_url: ManagementUrl = DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    amqp: Amqp = None,
    pause: Pause = True,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a queue that is in use another one: another type, other arguments, another name.

    Run it again after whatever cut it short, and it goes on. Exit code 3: it cannot be done, or
    somebody has to do something first; the text says what. 130: ended by Ctrl-C.
    """
    with errors_as_exit(as_json=as_json):
        wanted = declared(members, directory, overlays=overlay or (), vhost=vhost)
        request = Request(
            wanted=wanted,
            vhost=vhost,
            old=name,
            new=to or name,
            amqp=amqp or beside(tls.with_files(management_url)),
            pause=pause,
            dry_run=dry_run,
        )
        password = os.environ.get("WARREN_MANAGEMENT_PASSWORD")
        try:
            outcome = asyncio.run(
                _migrated(management_url, user, password, request, silent=as_json)
            )
        except (RefusedError, WaitingError) as error:
            _say_blocked(error, as_json=as_json)
            raise typer.Exit(BLOCKED) from None
    if as_json:
        print_json(outcome.as_json())
        return
    for line in outcome.lines():
        out().print(line)


async def _migrated(
    url: str, user: str | None, password: str | None, request: Request, *, silent: bool
) -> Outcome:
    with interruptible():
        async with Management(tls.with_files(url), user=user, password=password) as management:
            return await migrate(management, request, Display(out(), silent=silent))


def _say_blocked(error: RefusedError | WaitingError, *, as_json: bool) -> None:
    reasons = error.reasons if isinstance(error, RefusedError) else (str(error),)
    if as_json:
        print_json({"done": False, "reasons": list(reasons)})
        return
    for reason in reasons:
        out().print(Text(f"! {reason}", style="bold red"))
