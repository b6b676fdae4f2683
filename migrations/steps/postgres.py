"""The parts of a migration that only PostgreSQL has."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).parent


def on_postgres() -> bool:
    """Whether the database under migration is PostgreSQL."""
    return op.get_context().dialect.name == "postgresql"


def unlogged() -> list[str]:
    """Prefixes of a table that no crash, physical backup or promoted replica may bring back."""
    return ["UNLOGGED"] if on_postgres() else []


def store_uncompressed(table: str, column: str) -> None:
    """For values that look random: trying to make them smaller costs time and never succeeds."""
    if on_postgres():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def create_functions(*names: str) -> None:
    """From the files beside this one. A function is never changed, only succeeded."""
    if on_postgres():
        for name in names:
            op.execute((_FOLDER / f"{name}.sql").read_text())
