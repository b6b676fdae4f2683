# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The fence around a party's database in PostgreSQL.

Three looks at it: whenever a connection is made, every few seconds, and in each commit. The first
two also raise `progress`, in the database and then at the witness. So whatever was answered after a
copy was made, was answered after a connection had raised it beyond that copy: a server's files can
be copied whole, with the UNLOGGED tables in them, only while it is stopped. A dump can be made at
any time, but its tables get new oids when it is restored.

Nothing here needs more rights than a table's owner has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from migrations.connections import Connection

from ..database import Row
from ..incarnation import COLUMNS, EPHEMERAL, Fence, Found, announce, doubt, new_incarnation
from ..witness import PATIENCE_S, PAUSE_S, Sighting, raise_kept

_TABLES = (*EPHEMERAL, "incarnation")

# Which tables these are: one that was dropped and restored is another one.
RELATIONS = "concat_ws('.', {})".format(", ".join(f"'{name}'::regclass::oid" for name in _TABLES))

# And in which files, database and cluster: TRUNCATE gives a table a new file.
PLACE = f"""
    concat_ws('.',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        {RELATIONS},
        {", ".join(f"pg_relation_filenode('{name}')" for name in _TABLES)}
    )
"""

# A run of the server: as long as it lasts, nobody can have put other files in its place.
_RUN = "pg_postmaster_start_time()::text AS run"

# The usual case in one statement: all is as the witness knows it, and now a little further.
ATTEST = f"""
    UPDATE incarnation SET progress = progress + 1
    WHERE id = $1 AND progress >= $2 AND origin = {PLACE}
    RETURNING progress, {_RUN}
"""

FIND = f"""
    SELECT {COLUMNS}, {PLACE} AS place, {_RUN}
    FROM (VALUES (true)) AS always LEFT JOIN incarnation ON true
"""

EMPTY = f"TRUNCATE {', '.join(_TABLES)}"

BEGIN = f"""
    INSERT INTO incarnation ({COLUMNS}) SELECT $1, 0, {PLACE}, {RELATIONS}, $2, $3
"""


class PostgresFence(Fence):
    """Its lock keeps our own connections apart, the witness's those of other processes."""

    def __init__(self, path: Path, tell: Callable[[bytes], None]) -> None:
        super().__init__(path, tell)
        self._lock = asyncio.Lock()
        self._run: str | None = None
        """The run of the server in which we found everything in order."""

    async def admit(self, connection: Connection) -> None:
        """Return once the database is in an incarnation that can be answered from; see to it."""
        async with self._lock:
            if not await self._attested(connection):
                async with self._held():
                    await self._settle(connection)

    async def begin(self, connection: Connection, reason: str) -> None:
        """Empty what is ephemeral, whatever the witness says."""
        async with self._lock, self._held():
            await self._begin(connection, reason)

    async def _attested(self, connection: Connection) -> bool:
        if self.incarnation is None:
            return False
        seen = self.witness.read()
        if seen is None or seen.incarnation != self.incarnation:
            return False
        row = await connection.fetchrow(ATTEST, seen.incarnation, seen.progress)
        if row is None:
            return False
        async with self._held():
            self.witness.reach(Sighting(seen.incarnation, row["progress"]))
        self._run = row["run"]
        return True

    async def _settle(self, connection: Connection) -> None:
        seen = self.witness.read()
        row, *others = await connection.fetch(FIND)
        found = None
        if row["id"] is not None and not others:
            found = Found(row["id"], row["progress"], row["origin"], row["place"])
        reason = doubt(seen, found)
        if found is not None and found.origin == found.place and self._begun_by_others(found, row):
            reason = None
        if reason is None and found is not None:
            # Another connection's statement: it must be raised for this one as well.
            raised = await connection.fetchrow(ATTEST, found.incarnation, found.progress)
            if raised is not None:
                self.enter(Sighting(found.incarnation, raised["progress"]))
                self._run = raised["run"]
                return
            reason = "the database changed while we looked at it"
        await self._begin(connection, reason or "")

    def _begun_by_others(self, found: Found, row: Row) -> bool:
        """Processes on another machine have a witness of their own, which knows of what they did.
        We believe them if the server has not been stopped since we found all in order."""
        return found.incarnation != self.incarnation and self._run == row["run"]

    async def _begin(self, connection: Connection, reason: str) -> None:
        made = new_incarnation()
        async with connection.transaction():
            await connection.execute(EMPTY)
            await connection.execute(BEGIN, made, time.time_ns() // 1_000_000, reason)
            run = await connection.fetchval(f"SELECT {_RUN}")
        announce(made, reason)
        self.enter(Sighting(made, 0))
        self._run = run

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Like `Witness.held`, without blocking the loop."""
        patience = time.monotonic() + PATIENCE_S
        while not self.witness.try_hold():
            if time.monotonic() > patience:
                raise_kept(self.witness.path)
            await asyncio.sleep(PAUSE_S)
        try:
            yield
        finally:
            self.witness.release()
