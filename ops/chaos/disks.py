"""A PostgreSQL database whose disk is full.

A file system of its own that could be filled takes rights that not everybody has. So triggers stand
in for it: what would need place in a table is refused with PostgreSQL's own code for this, at
random, for a page may still have some. A disk too full for the server's log is another fault: there
PostgreSQL panics, which is to be killed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

REFUSED = 0.5
"""Share of the statements."""

# A sequence counts what a transaction that is undone has counted.
_PREPARE = f"""
    CREATE SCHEMA chaos;
    CREATE SEQUENCE chaos.refused MINVALUE 0;
    CREATE FUNCTION chaos.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF random() < {REFUSED} THEN
            PERFORM nextval('chaos.refused');
            RAISE EXCEPTION USING ERRCODE = 'disk_full',
                MESSAGE = 'could not extend file: No space left on device';
        END IF;
        RETURN NULL;
    END
    $$;
"""
_TABLES = """
    SELECT format('%I.%I', schemaname, tablename) AS name
    FROM pg_tables WHERE schemaname = current_schema()
"""
_FILL = "CREATE TRIGGER chaos BEFORE INSERT OR UPDATE ON {} EXECUTE FUNCTION chaos.refuse()"
_CLEAR = "DROP TRIGGER IF EXISTS chaos ON {}"
_COUNT = "SELECT CASE WHEN is_called THEN last_value + 1 ELSE 0 END FROM chaos.refused"
_FORGET = "DROP SCHEMA chaos CASCADE"


@dataclass(slots=True)
class FullDisk:
    """Attributes: refused: How many statements found no place; known at the end."""

    refused: int = 0


@asynccontextmanager
async def full(url: str) -> AsyncIterator[FullDisk]:
    disk = FullDisk()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_PREPARE)
        # One statement, one transaction, one table's lock: nobody who holds another table's waits
        # for us while we wait for them.
        tables = [row["name"] for row in await connection.fetch(_TABLES)]
        try:
            for table in tables:
                await connection.execute(_FILL.format(table))
            yield disk
        finally:
            for table in tables:
                await connection.execute(_CLEAR.format(table))
            disk.refused = await connection.fetchval(_COUNT)
            await connection.execute(_FORGET)
    finally:
        await connection.close()
