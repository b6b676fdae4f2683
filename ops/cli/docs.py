"""`warren docs`: every generated document, whoever's it is."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts import cli as contracts
from gateway import cli as gateway
from ops.cli.exits import ExitCode


def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a document is stale.")
    ] = False,
) -> None:
    """Write the generated documents: JSON Schema and AsyncAPI of the contracts, OpenAPI of the
    gateway."""
    stale = False
    for write in (contracts.docs, gateway.openapi):
        try:
            write(check=check)
        except typer.Exit:
            stale = True
    if stale:
        raise typer.Exit(ExitCode.FAILED)
