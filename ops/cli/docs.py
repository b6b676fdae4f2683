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
    gateway, the README's tables of operations."""
    stale = False
    for write in (contracts.docs, gateway.openapi, _readme):
        try:
            write(check=check)
        except typer.Exit:
            stale = True
    if stale:
        raise typer.Exit(ExitCode.FAILED)


def _readme(*, check: bool) -> None:
    try:
        stale = readme.is_stale()
    except (OSError, readme.TableError) as error:
        typer.echo(f"{error}")
        raise typer.Exit(ExitCode.FAILED) from None
    if stale and check:
        typer.echo(f"stale: {readme.PATH}")
        typer.echo("run `warren docs`")
        raise typer.Exit(ExitCode.FAILED)
    if stale:
        readme.write()
    typer.echo(f"{'written' if stale else 'up to date'}: {readme.PATH}")
