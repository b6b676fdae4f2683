# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A SQLite file, for one machine; any number of processes may open it.

The connection lives in a thread of its own, and a transaction is a plain function that runs there
from beginning to end. So one hop between threads pays for a whole transaction, and a task that is
cancelled cannot leave half of one behind: it only does not hear how it went.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ..database import RefusedError, Row
from ..gathering import ALONE, Failed, Gathering, Told
from ..interface import ReadOnlyError, StoreUnavailableError
from .fence import DoubtError, SqliteFence

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]

BUSY_TIMEOUT_MS = 5_000
"""How long to wait for another process's transaction."""
LOOKS = 3
"""At a file that is not what the witness expects, before somebody else is to be blamed."""

# FULL: a commit that was reported is on the disk.
# secure_delete: a nonce that was taken leaves no copy in a free page.
PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
)

# Not our statements' fault: whoever tries again later may succeed, if only with another file.
_UNAVAILABLE = {
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}


class SqliteDatabase:
    """One connection, in a thread of its own."""

    def __init__(self, path: Path, fence: SqliteFence | None = None) -> None:
        self._path = path
        self._fence = fence
        self._thread = _one_thread()
        self._connection: sqlite3.Connection | None = None
        self._reads = self._gathering(writing=False)
        self._writes = self._gathering(writing=True)

    async def open(self) -> None:
        """Or again, if it was closed: a store that could not be entered is entered once more."""
        self._thread.shutdown(wait=False)
        self._thread = _one_thread()
        self._connection = await self._run(self._connect)

    async def forget_log(self) -> None:
        """Leave nothing of what was deleted in the file beside. Not while somebody reads: then the
        next time does it."""
        await self._run(self._forget_log)

    def _forget_log(self) -> None:
        assert self._connection is not None
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    async def close(self) -> None:
        if self._connection is not None:
            await self._run(self._connection.close)
            self._connection = None
        self._thread.shutdown(wait=False)
        if self._fence is not None:
            self._fence.close()

    async def attest(self) -> None:
        """Once it is open, and every few seconds: compare the file with the witness."""
        fence = self._fence
        if fence is not None:
            await self._run(lambda: self._attest(fence))

    async def require_writable(self) -> None:
        await self.write(lambda _: None)

    async def begin_incarnation(self, fence: SqliteFence, reason: str) -> None:
        """In the connection's thread, alone."""
        await self._run(lambda: fence.begin(self._opened, self._path, reason))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one snapshot. Maybe more than once."""
        answer: T = await self._reads.ask(work)
        return answer

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` alone, be it in a transaction that others share; nothing of it remains if it
        raises. Maybe more than once."""
        answer: T = await self._writes.ask(work)
        return answer

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        return await self.read(lambda connection: select(connection, statement, *values))

    async def execute(self, statement: str, *values: object) -> int:
        return await self.write(lambda connection: change(connection, statement, *values))

    async def revision(self, table: str) -> str | None:
        return await self.read(lambda connection: revision_of(connection, table))

    def _gathering(self, *, writing: bool) -> Gathering[Work, Any]:
        async def alone(work: Work) -> Any:
            return await self._run(lambda: self._transact(work, writing=writing))

        async def together(works: Sequence[Work]) -> Sequence[Told[Any]]:
            each = _guarded if writing else _looked

            def work(connection: sqlite3.Connection) -> list[Told[Any]]:
                return [each(connection, one) for one in works]

            try:
                return await self._run(lambda: self._transact(work, writing=writing))
            except _UndoneError:
                return [ALONE] * len(works)

        return Gathering(alone, together, width=1)

    def _connect(self) -> sqlite3.Connection:
        # The file is ours alone. SQLite gives its journal the same permissions.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        # Without a level of isolation the driver leaves transactions to us.
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "the store is not open"
        return self._connection

    def _attest(self, fence: SqliteFence) -> None:
        if fence.incarnation is None:
            fence.settle(self._opened, self._path)
        elif fence.moved(self._path):
            self._look_again()
        else:
            self._transact(lambda _: None, writing=False)

    def _look_again(self) -> None:
        # The file at the path may be another one than the connection's; not a new and empty one.
        self._path.stat()
        fresh = self._connect()
        self._opened.close()
        self._connection = fresh
        if self._fence is not None:
            self._fence.settle(self._connection, self._path)

    def _transact(self, work: Callable[[sqlite3.Connection], T], *, writing: bool) -> T:
        for _ in range(LOOKS):
            try:
                return self._transact_once(work, writing=writing)
            except DoubtError:
                self._look_again()
        raise StoreUnavailableError(f"{self._path}: somebody else keeps replacing it")

    def _transact_once(self, work: Callable[[sqlite3.Connection], T], *, writing: bool) -> T:
        connection, fence = self._opened, self._fence
        expected = None if fence is None else fence.expected()
        reached = None
        connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        try:
            if fence is not None and expected is not None:
                reached = fence.pass_in(connection, expected, writing=writing)
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        if fence is not None and expected is not None and reached is not None:
            fence.pass_out(reached, expected)
        return result

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path}: {error.strerror}") from None
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
            if code == sqlite3.SQLITE_READONLY:
                raise ReadOnlyError(f"{self._path}: {error}") from error
            if code in _UNAVAILABLE:
                raise StoreUnavailableError(f"{self._path}: {error}") from error
            raise


class _UndoneError(Exception):
    """A transaction was ended before its commit: nothing of it remains."""


def _guarded(connection: sqlite3.Connection, work: Work) -> Told[Any]:
    """One of those that share a transaction: what it has done is undone if it raises."""
    connection.execute("SAVEPOINT one")
    told: Told[Any] = ALONE
    try:
        told = work(connection)
    except sqlite3.Error:
        # Of some the file's whole transaction dies, and what its savepoints are worth is not clear.
        raise _UndoneError from None
    except RefusedError as refused:
        told = Failed(refused)
        connection.execute("ROLLBACK TO one")
    except Exception:
        # Whatever it is, it is this work's own: alone, it raises it again to whoever asked.
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")
    return told


def _looked(connection: sqlite3.Connection, work: Work) -> Told[Any]:
    """One of those that share a snapshot."""
    try:
        return work(connection)
    except Exception:
        return ALONE  # where it raises it again, to whoever asked and to nobody else


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")


def select(connection: sqlite3.Connection, statement: str, *values: object) -> list[sqlite3.Row]:
    """All rows of a statement with `$1`, `$2` ..."""
    return connection.execute(_numbered(statement), values).fetchall()


def change(connection: sqlite3.Connection, statement: str, *values: object) -> int:
    """Returns how many rows the statement changed."""
    return connection.execute(_numbered(statement), values).rowcount


def now() -> int:
    """Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000


def revision_of(connection: sqlite3.Connection, table: str) -> str | None:
    """Of the schema, as this table says it; None if there is none."""
    if not select(connection, "SELECT 1 FROM sqlite_master WHERE name = $1", table):
        return None
    rows = select(connection, f"SELECT version_num FROM {table}")
    return rows[0][0] if rows else None


@cache
def _numbered(statement: str) -> str:
    """SQLite would take `$1` for a name; its numbers are `?1`."""
    return statement.replace("$", "?")
