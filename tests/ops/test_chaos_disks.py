"""Disks that are full, and have place again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from ops.chaos import disks
from ops.chaos.wrapping import crowded

TRIES = 40
"""Half of them find no place: that none does, comes once in 10^12 runs."""


async def test_a_full_disk_refuses_what_needs_place_and_takes_it_again_after(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE kept (id int)")
        async with disks.full(database) as disk:
            refused = 0
            for i in range(TRIES):
                try:
                    await connection.execute("INSERT INTO kept VALUES ($1)", i)
                except asyncpg.DiskFullError:
                    refused += 1
        assert disk.refused == refused > 0
        await connection.execute("DELETE FROM kept")
        for i in range(TRIES):
            await connection.execute("INSERT INTO kept VALUES ($1)", i)
        triggers = await connection.fetchval("SELECT count(*) FROM pg_trigger")
        schemas = await connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = 'chaos'"
        )
        assert (triggers, schemas) == (0, 0)
    finally:
        await connection.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Full of free pages, and not to grow."""
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE kept (content)")
        connection.execute("CREATE TABLE gone (content)")
        connection.execute("INSERT INTO gone VALUES (zeroblob(400000))")
        connection.execute("DELETE FROM gone")
        connection.execute("PRAGMA max_page_count = 1")
        yield connection


def keep(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO kept VALUES (zeroblob(20000))")


def test_where_pages_are_free_a_file_that_may_not_grow_has_place(
    opened: sqlite3.Connection,
) -> None:
    keep(opened)
    assert opened.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_crowded_it_has_none_and_nothing_of_that_remains(opened: sqlite3.Connection) -> None:
    opened.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError) as caught:
        crowded(keep)(opened)
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    opened.rollback()
    keep(opened)
    tables = opened.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    assert tables == [("gone",), ("kept",)]


def test_what_needs_no_place_is_done_in_the_crowd(opened: sqlite3.Connection) -> None:
    keep(opened)
    crowded(lambda connection: connection.execute("DELETE FROM kept"))(opened)
    assert opened.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert len(opened.execute("SELECT name FROM sqlite_master").fetchall()) == 2
