# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""What both roles ask in words that both databases understand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import migrations
from contracts.hosts import AddressError

from ..database import Database
from ..interface import PoolerError, SchemaError, TlsRefusedError
from ..records import Outgoing, Session
from ..rows.sessions import OUTGOING_COLUMNS, SessionRows, outgoing_from_row
from .lists import SharedLists

PURGED_AT_ONCE = 5_000

# What a delivery sent, in the order in which it did.
OUTGOING = f"""
    SELECT {OUTGOING_COLUMNS} FROM outbox
    WHERE session_id = $1 AND cause = $2
    ORDER BY position
"""

# Unfinished sessions that are late, the latest first.
OVERDUE = """
    SELECT session_id FROM sessions
    WHERE ended_at IS NULL AND deadline < $1
    ORDER BY deadline, session_id
    LIMIT $2
"""

OWE = "UPDATE sessions SET owed_since = coalesce(owed_since, $2) WHERE session_id = $1"

OWING = """
    SELECT session_id FROM sessions
    WHERE owed_since < $1 AND ended_at IS NOT NULL
    ORDER BY owed_since, session_id
    LIMIT $2
"""

PAID = "UPDATE sessions SET owed_since = NULL WHERE session_id = $1"


class SharedStore(SharedLists, ABC):
    """What both roles share in both databases: opening, closing, sessions' loose ends, lists.
    What is abstract each database does in its own words."""

    def __init__(self, database: Database, rows: SessionRows, role: migrations.Role) -> None:
        self._database = database
        self._rows = rows
        self._role = role

    async def __aenter__(self) -> Self:
        try:
            await self._database.open()
            await self.ping()
        except (AddressError, PoolerError, TlsRefusedError) as error:
            await self._database.close()
            raise SchemaError(str(error)) from None
        except BaseException:
            await self._database.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._database.close()

    async def ping(self) -> None:
        needed = migrations.required(self._role)
        found = await self._database.revision(migrations.version_table(self._role))
        # A later one is fine: the next release's first migrations run before its code does.
        if found is None or int(found) < int(needed):
            state = f"at revision {found}" if found else f"not a {self._role}'s, or empty"
            raise SchemaError(
                f"the database is {state}, and revision {needed} is needed:"
                f" run `warren store migrate {self._role} --config FILE`"
            )

    async def require_able(self) -> None:
        await self.ping()
        await self._database.require_writable()

    async def session(self, session_id: bytes) -> Session | None:
        return await self._session(session_id)

    async def purge(self, *, ended_before: int) -> int:
        return await self._purge(ended_before)

    @abstractmethod
    async def now(self) -> int: ...

    @abstractmethod
    async def _session(self, session_id: bytes) -> Session | None:
        """As `session`, which a role may do more for."""

    @abstractmethod
    async def _purge(self, ended_before: int) -> int:
        """As `purge`, likewise."""

    async def outgoing(self, session_id: bytes, cause: str) -> tuple[Outgoing, ...]:
        rows = await self._database.fetch(OUTGOING, session_id, cause)
        return tuple(outgoing_from_row(row) for row in rows)

    async def overdue(self, now: int, limit: int) -> list[bytes]:
        rows = await self._database.fetch(OVERDUE, now, limit)
        return [row["session_id"] for row in rows]

    async def owe(self, session_id: bytes, now: int) -> None:
        await self._database.execute(OWE, session_id, now)

    async def owing(self, before: int, limit: int) -> list[bytes]:
        rows = await self._database.fetch(OWING, before, limit)
        return [row["session_id"] for row in rows]

    async def paid(self, session_id: bytes) -> None:
        await self._database.execute(PAID, session_id)
