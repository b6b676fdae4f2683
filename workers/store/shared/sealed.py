# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""Sealed rows page by page, and one sealed value in the place of another."""

from __future__ import annotations

from collections.abc import Sequence

from ..database import Database, Row
from ..rows.sealed import SHAPES, Sealed

SESSIONS_UNDER_WAY = "SELECT state FROM sessions WHERE ended_at IS NULL"


async def count(database: Database, kind: Sealed) -> int:
    (row,) = await database.fetch(f"SELECT count(*) AS count FROM {SHAPES[kind].table}")
    return int(row["count"])


async def page(
    database: Database, kind: Sealed, after: tuple[object, ...] | None, limit: int
) -> Sequence[Row]:
    """The next rows in the order of their key."""
    shape = SHAPES[kind]
    key = ", ".join(shape.key)
    where = ""
    if after is not None:
        places = ", ".join(f"${place}" for place in range(2, len(after) + 2))
        where = f"WHERE ({key}) > ({places})"
    return await database.fetch(
        f"SELECT {shape.columns} FROM {shape.table} {where} ORDER BY {key} LIMIT $1",
        limit,
        *(after or ()),
    )


async def replace(database: Database, kind: Sealed, row: Row, secret: bytes) -> bool:
    """False if the row is gone, or holds another value by now."""
    shape = SHAPES[kind]
    where = " AND ".join(f"{column} = ${at}" for at, column in enumerate(shape.key, start=3))
    return bool(
        await database.execute(
            f"UPDATE {shape.table} SET secret = $1 WHERE secret = $2 AND {where}",
            secret,
            row["secret"],
            *shape.place(row),
        )
    )
