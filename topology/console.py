"""How the commands of the topology tell what they have to tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from topology.problems import InvalidTopologyError, TopologyError


@contextmanager
def errors_as_exit(*, as_json: bool) -> Iterator[None]:
    """What goes wrong within is told, and ends the command: with 1, unless somebody ended it."""
    try:
        yield
    except TopologyError as error:
        if as_json and isinstance(error, InvalidTopologyError):
            print_json(
                {
                    "problems": [
                        {"file": one.place.file, "line": one.place.line, "text": one.text}
                        for one in error.problems
                    ]
                }
            )
        elif as_json:
            print_json({"error": str(error)})
        else:
            Console(stderr=True, soft_wrap=True).print(Text(str(error), style="red"))
        raise typer.Exit(error.exit_code) from None


def out() -> Console:
    """Standard output, for people."""
    return Console(soft_wrap=True, highlight=False)


def print_json(value: dict[str, object]) -> None:
    """For programs."""
    typer.echo(json.dumps(value, indent=2))
