"""`warren docs`: every generated document, whoever's it is."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts import cli as contracts
from gateway import cli as gateway
from ops.cli import readme
from ops.cli.exits import ExitCode


def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a document is stale.")
    ] = False,
) -> None:
    """Write the generated documents: JSON Schema and AsyncAPI of the contracts, OpenAPI of the
    gateway, the README's tables, the topology's table, drawings and JSON Schema."""
    stale = False
    for write in (contracts.docs, gateway.openapi, _pages):
        try:
            write(check=check)
        except typer.Exit:
            stale = True
    if stale:
        raise typer.Exit(ExitCode.FAILED)


def _pages(*, check: bool) -> None:
    try:
        wanted = readme.documents()
    except (OSError, readme.TableError) as error:
        typer.echo(f"{error}")
        raise typer.Exit(ExitCode.FAILED) from None
    stale = [path for path, text in wanted.items() if readme.stands(path) != text]
    for path in wanted:
        if path not in stale:
            typer.echo(f"up to date: {path}")
        elif check:
            typer.echo(f"stale: {path}")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            typer.echo(f"written: {path}")
    if stale and check:
        typer.echo("run `warren docs`")
        raise typer.Exit(ExitCode.FAILED)
