"""Databases of a PostgreSQL server."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg


async def create(admin_url: str, name: str) -> str:
    """Make an empty database, or find it made. Returns its URL, for the same user."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"CREATE DATABASE {_quoted(name)}")
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{quote(name, safe='')}"))


async def drop(admin_url: str, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
