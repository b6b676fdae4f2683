"""``warren topology``: check the files, plan the changes, apply them, say who may do what.

Exit codes: 0 nothing to do, or all done; 1 an error; 2 `plan` or `drift` found something; 3
something is blocked. A mistyped command line exits with 1, so that no script takes it for changes.
"""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from topology import show, tls
from topology.access import Credentials
from topology.apply import Applied
from topology.apply import apply as carry_out
from topology.broker import Broker
from topology.console import errors_as_exit, out, print_json
from topology.export import Exported
from topology.export import export as exported
from topology.files import declared
from topology.graph import as_svg
from topology.importable import as_definitions
from topology.management import Management
from topology.migration.command import migrate_queue
from topology.model import VHOST, Topology
from topology.options import (
    DEFAULT_SECRETS,
    DEFAULT_URL,
    Directory,
    Json,
    Lose,
    ManagementUrl,
    MembersFile,
    Overlays,
    PrintSecrets,
    Prune,
    Secrets,
    User,
    VhostName,
)
from topology.passwords import InFiles, InMemory, hashed, referenced, write_secret
from topology.plan import Change, Plan, difference
from topology.problems import TopologyError
from topology.who import who as who_may

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


@app.command(cls=_Command)
def check(
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    vhost: VhostName = VHOST,
    as_json: Json = False,
) -> None:
    """Check the files, without a broker: what they say, and that no role may do too much."""
    with errors_as_exit(as_json=as_json):
        topology = _Wanted(directory, members, overlay, vhost).declared()
    counts = {
        "exchanges": len(topology.exchanges),
        "queues": len(topology.queues),
        "policies": len(topology.policies),
        "bindings": len(topology.bindings),
        "users": len(topology.users),
    }
    if as_json:
        print_json({"problems": [], **counts})
    else:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        out().print(Text(f"The files are right: {said}"))


@app.command(cls=_Command)
def who(
    name: Annotated[str, typer.Argument(help="Of a user, an exchange or a queue.")],
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    vhost: VhostName = VHOST,
    as_json: Json = False,
) -> None:
    """Say who may do what with it, or what a user may do, by the files alone."""
    with errors_as_exit(as_json=as_json):
        answers = who_may(_Wanted(directory, members, overlay, vhost).declared(), name)
    if as_json:
        print_json({"name": name, "answers": [answer.as_json() for answer in answers]})
        return
    for answer in answers:
        out().print(Text(str(answer)))
    if not answers:
        out().print(Text(f"{name}: nobody but the broker's administrators"))


@app.command(cls=_Command)
def plan(
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    management_url: ManagementUrl = DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    prune: Prune = False,
    lose: Lose = None,
    as_json: Json = False,
) -> None:
    """Show what apply would change. Exit code 0: nothing; 2: something; 3: it is blocked."""
    wanted = _Wanted(directory, members, overlay, vhost)
    found = _planned(wanted, management_url, user, as_json=as_json, prune=prune, lose=lose or ())
    if found.blocked:
        raise typer.Exit(BLOCKED)
    if found.changes:
        raise typer.Exit(CHANGES)


@app.command(cls=_Command)
def drift(
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    management_url: ManagementUrl = DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    as_json: Json = False,
) -> None:
    """Show all in which the broker is not what the files say: what apply would change, and what it
    would leave alone, such as users and policies of others. Exit code 0: nothing; 2: something;
    3: it makes something declared void."""
    wanted = _Wanted(directory, members, overlay, vhost)
    found = _planned(wanted, management_url, user, as_json=as_json)
    if found.blocked:
        raise typer.Exit(BLOCKED)
    if found.changes or found.drift or found.retired:
        raise typer.Exit(CHANGES)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line names."""

    directory: Path | None
    members: Path | None
    overlays: list[Path] | None
    vhost: str

    def declared(self) -> Topology:
        return declared(
            self.members, self.directory, overlays=self.overlays or (), vhost=self.vhost
        )


def _planned(
    wanted: _Wanted,
    url: str,
    user: str | None,
    *,
    as_json: bool,
    prune: bool = False,
    lose: Iterable[str] = (),
) -> Plan:
    async def made(broker: Broker) -> Plan:
        found = await broker.found(one.name for one in topology.users)
        return difference(topology, found, prune=prune, passwords=kept, lose=frozenset(lose))

    with errors_as_exit(as_json=as_json):
        topology = wanted.declared()
        kept = referenced(topology.users)
        planned = asyncio.run(_with_broker(made, url, user, wanted.vhost, Credentials(kept)))
    if as_json:
        print_json(show.as_json(planned, vhost=wanted.vhost))
    else:
        out().print(show.as_text(planned, vhost=wanted.vhost))
    return planned


@app.command(cls=_Command)
def apply(
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    management_url: ManagementUrl = DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
    prune: Prune = False,
    lose: Lose = None,
    secrets: Secrets = DEFAULT_SECRETS,
    print_secrets: PrintSecrets = False,
    as_json: Json = False,
) -> None:
    """Make the broker as declared. Running it again is safe, and finishes what was cut short."""
    console = out()
    owner = InMemory() if print_secrets else InFiles(secrets)

    def say(change: Change) -> None:
        if not as_json:
            console.print(show.change_line(change))

    async def made(broker: Broker) -> tuple[Plan, Applied | None]:
        found = await broker.found(one.name for one in wanted.users)
        for one in found.topology.users:
            # What was handed over for it has come there, though an apply that was cut short, or
            # somebody's import, did not say so. Made anew, it gets another one.
            owner.arrived(one.name)
        plan = difference(
            wanted, found, prune=prune, passwords=credentials.kept, lose=frozenset(lose or ())
        )
        if plan.conflicts:
            return plan, None
        return plan, await carry_out(plan, broker, made=say)

    with errors_as_exit(as_json=as_json), _handed_over(owner, as_json=as_json):
        wanted = _Wanted(directory, members, overlay, vhost).declared()
        credentials = Credentials(referenced(wanted.users), owner)
        planned, applied = asyncio.run(_with_broker(made, management_url, user, vhost, credentials))
    held = (*planned.held, *(applied.held if applied else ()))
    if as_json:
        said = show.as_json(planned, vhost=vhost)
        result = {"applied": applied is not None, "held": show.held_as_json(held)}
        print_json({**said, **result, **_handed(owner)})
    elif applied is None:
        console.print(show.as_text(planned, vhost=vhost))
    else:
        for line in show.held_lines(held):
            console.print(line)
        console.print(show.leftovers(planned))
        count = len(applied.made)
        console.print(Text(f"vhost {vhost}: {f'{count} changes made' if count else 'no changes'}"))
    if applied is None or held:
        raise typer.Exit(BLOCKED)


@app.command(cls=_Command)
def definitions(
    to: Annotated[Path, typer.Option("--to", help="A new file that only you can read.")],
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    vhost: VhostName = VHOST,
    secrets: Secrets = DEFAULT_SECRETS,
) -> None:
    """Write the file that `rabbitmqctl import_definitions` takes, for a broker that is empty.

    An import skips with success what conflicts with what is there: ask `plan` afterwards. New
    passwords are handed over as by apply.
    """
    owner = InFiles(secrets)
    with errors_as_exit(as_json=False), _handed_over(owner, as_json=False):
        wanted = _Wanted(directory, members, overlay, vhost).declared()
        credentials = Credentials(referenced(wanted.users), owner)
        told = as_definitions(
            wanted, vhost=vhost, hash_of=lambda user: hashed(credentials.of(user.name))
        )
        write_secret(to, json.dumps(told, indent=2))


@app.command(cls=_Command)
def export(
    to: Annotated[Path, typer.Option("--to", help="A new directory for the files.")],
    management_url: ManagementUrl = DEFAULT_URL,
    user: User = None,
    vhost: VhostName = VHOST,
) -> None:
    """Write files that declare what a broker has. Exit code 3: there is more than they can say.

    Without passwords: those stay as they are.
    """

    async def told(broker: Broker) -> Exported:
        return exported((await broker.found()).topology, vhost)

    with errors_as_exit(as_json=False):
        files = asyncio.run(_with_broker(told, management_url, user, vhost, Credentials()))
        files.write_to(to)
    for line in files.left_out:
        out().print(Text(f"! left out: {line}", style="bold red"))
    out().print(Text(f"vhost {vhost}: written to {to}"))
    if files.left_out:
        raise typer.Exit(BLOCKED)


app.command("migrate-queue", cls=_Command)(migrate_queue)


@app.command(cls=_Command)
def graph(
    to: Annotated[Path, typer.Option("--to", help="An SVG file.")],
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    vhost: VhostName = VHOST,
) -> None:
    """Draw what is declared: who publishes where, what is bound to what, who reads it."""
    with errors_as_exit(as_json=False):
        drawn = as_svg(exported(_Wanted(directory, members, overlay, vhost).declared(), vhost))
        try:
            to.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise TopologyError(f"{to} cannot be written: {error.strerror}") from None


@contextmanager
def _handed_over(owner: InFiles | InMemory, *, as_json: bool) -> Iterator[None]:
    """Whatever happens, who was given a password can be told it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or not as_json:
            console = Console(stderr=True, soft_wrap=True) if as_json else out()
            for line in _handed_lines(owner):
                console.print(Text(line))


def _handed_lines(owner: InFiles | InMemory) -> Iterator[str]:
    if isinstance(owner, InMemory):
        for user, password in owner.made.items():
            yield f"the password of user {user}: {password}"
    elif owner.written:
        count = len(owner.written)
        yield f"the passwords of {count} new users: one file for each in {owner.directory}"


def _handed(owner: InFiles | InMemory) -> dict[str, object]:
    if isinstance(owner, InMemory):
        return {"passwords": dict(owner.made)}
    return {"password_files": [str(path) for path in owner.written]}


async def _with_broker(
    use: Callable[[Broker], Coroutine[Any, Any, R]],
    url: str,
    user: str | None,
    vhost: str,
    credentials: Credentials,
) -> R:
    # Not an option: a password in the arguments could be read by every user of the machine.
    password = os.environ.get("WARREN_MANAGEMENT_PASSWORD")
    async with Management(tls.with_files(url), user=user, password=password) as management:
        return await use(Broker(management, vhost=vhost, credentials=credentials))
