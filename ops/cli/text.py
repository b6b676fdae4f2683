"""Plain text for terminals and pipes: aligned, never folded, so that it can be copied and cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer


def print_fields(fields: Mapping[str, str]) -> None:
    """Names and values, aligned."""
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}  {value}")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
