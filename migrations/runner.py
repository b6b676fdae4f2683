"""Runs a history on a database; alembic without its configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from . import Role, version_table

_LOCK = 0x57415252
"""Of PostgreSQL's advisory locks: only one migration at a time."""


async def run(role: Role, url: str, folder: Path) -> None:
    if url.startswith("sqlite:"):
        _on_sqlite(role, url, folder)
    else:
        await _on_postgres(role, url, folder)


async def _on_postgres(role: Role, url: str, folder: Path) -> None:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade, role, folder)
    finally:
        await engine.dispose()


def _on_sqlite(role: Role, url: str, folder: Path) -> None:
    # A new file is its owner's alone: sealed or not, nobody else need have it.
    address = make_url(url)
    os.close(os.open(address.database or "", os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(address, poolclass=NullPool)
    # The driver would begin a transaction only before the first row is written, so that a migration
    # that fails half-way left half of its tables. Beginning is ours, at once and without rivals.
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            _upgrade(connection, role, folder)
    finally:
        engine.dispose()


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection, role: Role, folder: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=version_table(role))
    command.upgrade(config, "head")
