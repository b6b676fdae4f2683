"""`warren docs`."""

from __future__ import annotations

from typing import Annotated

import typer

from . import documents


def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a document is stale.")
    ] = False,
) -> None:
    """Write the generated documents: JSON Schema and AsyncAPI of the contracts."""
    differing = documents.check() if check else documents.write()
    for name in differing:
        typer.echo(f"{'stale' if check else 'written'}: {documents.FOLDER / name}")
    if not differing:
        typer.echo(f"up to date: {documents.FOLDER}")
    elif check:
        typer.echo("run `warren docs`")
        raise typer.Exit(1)
