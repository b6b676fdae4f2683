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
    """Write the generated documents: JSON Schema and AsyncAPI of the contracts, the vectors, and
    what the TypeScript client has of them."""
    stale = False
    for folder in documents.FOLDERS:
        differing = documents.check(folder) if check else documents.write(folder)
        for name in differing:
            typer.echo(f"{'stale' if check else 'written'}: {folder / name}")
        if not differing:
            typer.echo(f"up to date: {folder}")
        stale = stale or (check and bool(differing))
    if stale:
        typer.echo("run `warren docs`")
        raise typer.Exit(1)
