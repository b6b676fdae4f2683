"""What stands in the parties' databases, on PostgreSQL and SQLite, read from outside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping

import asyncpg

from ops.stack.deployment import Deployment

PASSED = {
    "certified": "FROM epochs WHERE key_session = $1 AND status IN ('certified', 'active')",
    "active": "FROM epochs WHERE key_session = $1 AND status = 'active'",
    "deleted": "FROM retirements WHERE key_session = $1",
}
"""What a key's first change of epoch comes past at a party, in this order."""


async def has_passed(crew: Deployment, party_id: str, key_session: bytes, step: str) -> bool:
    query = f"SELECT 1 {PASSED[step]}"
    return bool(await _numbers(crew.database_urls[party_id], query, key_session))


async def shares(crew: Deployment, key_session: bytes) -> Mapping[str, set[int]]:
    """Party -> epochs of which it has a row, usable or not."""
    query = "SELECT epoch FROM key_shares WHERE key_session = $1"
    return {
        party_id: await _numbers(crew.database_urls[party_id], query, key_session)
        for party_id in crew.plan.party_ids
    }


async def _numbers(url: str, query: str, key_session: bytes) -> set[int]:
    if url.startswith("postgresql"):
        connection = await asyncpg.connect(url)
        try:
            return {row[0] for row in await connection.fetch(query, key_session)}
        finally:
            await connection.close()
    path = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return {number for (number,) in database.execute(query, {"1": key_session})}
