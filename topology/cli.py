"""``warren topology``: check the files, plan the changes, apply them.

Exit codes: 0 nothing to do, or all done; 1 an error; 2 `plan` found changes; 3 something is
blocked. A mistyped command line exits with 1, so that no script takes it for changes.
"""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from topology import show
from topology.apply import Applied
from topology.apply import apply as carry_out
from topology.broker import Broker
from topology.files import declared
from topology.management import Management
from topology.model import VHOST
from topology.plan import Change, Plan, difference
from topology.problems import InvalidTopologyError, TopologyError

CHANGES = 2
BLOCKED = 3

R = TypeVar("R")


class _Command(TyperCommand):
    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return _usage_exits_with_1(super().make_context, *args, **kwargs)


class _Group(TyperGroup):
    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return _usage_exits_with_1(super().make_context, *args, **kwargs)

    def resolve_command(self, *args: Any, **kwargs: Any) -> Any:
        return _usage_exits_with_1(super().resolve_command, *args, **kwargs)


def _usage_exits_with_1(parse: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    try:
        return parse(*args, **kwargs)
    except Exception as error:
        if getattr(error, "exit_code", None) == CHANGES:
            vars(error)["exit_code"] = 1
        raise


app = typer.Typer(
    cls=_Group,
    help="The broker as declared: check the files, plan the changes, apply them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

Directory = Annotated[
    Path | None,
    typer.Option(
        help="Where the *.yaml files are; those that come with Warren unless given.",
        exists=True,
        file_okay=False,
    ),
]
MembersFile = Annotated[
    Path | None,
    typer.Option(
        "--members",
        help="The parties and clients that get queues; the directory's members.yaml unless given.",
        exists=True,
        dir_okay=False,
    ),
]
ManagementUrl = Annotated[
    str,
    typer.Option(
        envvar="WARREN_MANAGEMENT_URL",
        help="RabbitMQ's management API; http://127.0.0.1:15672 unless given. Put credentials into "
        "the environment, here or as WARREN_MANAGEMENT_PASSWORD: a command line can be read by "
        "every user of the machine.",
        show_default=False,
    ),
]
User = Annotated[
    str | None, typer.Option(envvar="WARREN_MANAGEMENT_USER", help="Instead of the URL's.")
]
VhostName = Annotated[str, typer.Option("--vhost", envvar="WARREN_VHOST")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Also delete queues and exchanges that an earlier apply made and that are no longer "
        "declared. A queue that holds messages is kept; making sure of it takes some seconds.",
    ),
]
_DEFAULT_URL = "http://127.0.0.1:15672"


@app.command(cls=_Command)
def check(directory: Directory = None, members: MembersFile = None, as_json: Json = False) -> None:
    """Check the files, without a broker."""
    with _errors_as_exit(as_json=as_json):
        topology = declared(members, directory)
    counts = {
        "exchanges": len(topology.exchanges),
        "queues": len(topology.queues),
        "policies": len(topology.policies),
        "bindings": len(topology.bindings),
    }
    if as_json:
        _print_json({"problems": [], **counts})
    else:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        _out().print(Text(f"The files are right: {said}"))


@app.command(cls=_Command)
def plan(
    directory: Directory = None,
    members: MembersFile = None,
    management_url: ManagementUrl = _DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    prune: Prune = False,
    as_json: Json = False,
) -> None:
    """Show what apply would change. Exit code 0: nothing; 2: something; 3: it is blocked."""

    async def made(broker: Broker) -> Plan:
        return difference(wanted, await broker.found(), prune=prune)

    with _errors_as_exit(as_json=as_json):
        wanted = declared(members, directory)
        found = asyncio.run(_with_broker(made, management_url, user, vhost))
    if as_json:
        _print_json(show.as_json(found, vhost=vhost))
    else:
        _out().print(show.as_text(found, vhost=vhost))
    if found.blocked:
        raise typer.Exit(BLOCKED)
    if found.changes:
        raise typer.Exit(CHANGES)


@app.command(cls=_Command)
def apply(
    directory: Directory = None,
    members: MembersFile = None,
    management_url: ManagementUrl = _DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    prune: Prune = False,
    as_json: Json = False,
) -> None:
    """Make the broker as declared. Running it again is safe, and finishes what was cut short."""
    out = _out()

    def say(change: Change) -> None:
        if not as_json:
            out.print(show.change_line(change))

    async def made(broker: Broker) -> tuple[Plan, Applied | None]:
        plan = difference(wanted, await broker.found(), prune=prune)
        if plan.conflicts:
            return plan, None
        return plan, await carry_out(plan, broker, made=say)

    with _errors_as_exit(as_json=as_json):
        wanted = declared(members, directory)
        planned, applied = asyncio.run(_with_broker(made, management_url, user, vhost))
    held = (*planned.held, *(applied.held if applied else ()))
    if as_json:
        said = show.as_json(planned, vhost=vhost)
        _print_json({**said, "applied": applied is not None, "held": show.held_as_json(held)})
    elif applied is None:
        out.print(show.as_text(planned, vhost=vhost))
    else:
        for line in show.held_lines(held):
            out.print(line)
        out.print(show.leftovers(planned))
        count = len(applied.made)
        out.print(Text(f"vhost {vhost}: {f'{count} changes made' if count else 'no changes'}"))
    if applied is None or held:
        raise typer.Exit(BLOCKED)


async def _with_broker(
    use: Callable[[Broker], Coroutine[Any, Any, R]], url: str, user: str | None, vhost: str
) -> R:
    # Not an option: a password in the arguments could be read by every user of the machine.
    password = os.environ.get("WARREN_MANAGEMENT_PASSWORD")
    async with Management(url, user=user, password=password) as management:
        return await use(Broker(management, vhost=vhost))


@contextmanager
def _errors_as_exit(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except TopologyError as error:
        if as_json and isinstance(error, InvalidTopologyError):
            _print_json(
                {
                    "problems": [
                        {"file": one.place.file, "line": one.place.line, "text": one.text}
                        for one in error.problems
                    ]
                }
            )
        elif as_json:
            _print_json({"error": str(error)})
        else:
            Console(stderr=True, soft_wrap=True).print(Text(str(error), style="red"))
        raise typer.Exit(1) from None


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _print_json(value: dict[str, object]) -> None:
    typer.echo(json.dumps(value, indent=2))
