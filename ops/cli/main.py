"""The command `warren`: every folder's commands under one roof.

A worker process is started by this command as well, so nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from ops.cli.exits import ExitCode, leave


class Place(NamedTuple):
    """Where a command is.

    Attributes:
        attribute: A `typer.Typer`, or a function that is a command by itself.
        group: False for a `typer.Typer` that stands for its only command.
    """

    module: str
    attribute: str
    panel: str
    group: bool = True


_TRY, _USE, _RUN, _KNOW = "Try it", "Keys and signatures", "Run it", "Know it"

PLACES = {
    "demo": Place("ops.cli.showcase", "demo", _TRY, group=False),
    "up": Place("ops.cli.showcase", "up", _TRY, group=False),
    "test-ca": Place("ops.cli.test_ca", "app", _TRY, group=False),
    "key": Place("ops.cli.key", "app", _USE),
    "sign": Place("ops.cli.sign", "app", _USE, group=False),
    "session": Place("ops.cli.session", "app", _USE),
    "results": Place("ops.cli.results", "app", _USE),
    "client": Place("ops.cli.client", "app", _RUN),
    "coordinator": Place("workers.cli", "coordinator", _RUN),
    "party": Place("ops.cli.party", "app", _RUN),
    "gateway": Place("gateway.cli", "app", _RUN),
    "store": Place("workers.cli", "store", _RUN),
    "backup": Place("workers.backup.cli", "app", _RUN),
    "tenants": Place("workers.tenants.cli", "app", _RUN),
    "doctor": Place("ops.cli.doctor", "doctor", _RUN, group=False),
    "upgrade": Place("ops.cli.upgrade", "app", _RUN),
    "identity": Place("workers.cli", "identity", _RUN),
    "topology": Place("topology.cli", "app", _RUN),
    "dead-letters": Place("ops.cli.dead_letters", "app", _RUN),
    "bench": Place("ops.bench.cli", "app", _KNOW),
    "chaos": Place("ops.chaos.cli", "chaos", _KNOW, group=False),
    "docs": Place("ops.cli.docs", "docs", _KNOW, group=False),
}
"""By name, in the order of `warren --help`."""

_IN_THE_TREE = (_TRY, _KNOW)
"""Not in the wheel, or not with all that they need."""


class _Commands(Mapping[str, Any]):
    """Imports a command when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        place = PLACES[name]
        try:
            found = getattr(importlib.import_module(place.module), place.attribute)
        except ModuleNotFoundError as error:
            if place.panel not in _IN_THE_TREE:
                raise
            return _absent(name, error.name or place.module)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer()
            found.command(name)(function)
        if place.group:
            command: Any = typer.main.get_group(found)
        else:
            found._add_completion = False  # warren itself has it
            command = typer.main.get_command(found)
        command.name = name
        command.rich_help_panel = place.panel
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


def _absent(name: str, module: str) -> Any:
    """Instead of a command that came without what it imports."""
    absent = typer.Typer(add_completion=False)
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}

    @absent.command(name, context_settings=anything, add_help_option=False, hidden=True)
    def say(_: typer.Context) -> None:
        text = (
            f"`warren {name}` belongs to Warren's source tree, not to the installed package "
            f"({module} is missing): run ops/demo or ops/test there once, then .venv/bin/warren."
        )
        leave(ExitCode.USAGE, "configuration", text, as_json=False)

    return typer.main.get_command(absent)


class _Roof(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except typer.BadParameter as error:  # Typer has pydantic check, and says so to users
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="warren",
    cls=_Roof,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they may hold secrets
)


@app.callback()
def warren() -> None:
    """Threshold signatures through RabbitMQ."""


def main() -> None:
    """The entry point that packaging names."""
    app()
