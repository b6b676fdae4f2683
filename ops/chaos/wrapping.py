"""Faults of a worker's store, laid around the product's own functions from outside.

What concerns deliveries and messages is middleware: see `disobedience`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from workers.store.postgres.coordinator import PostgresCoordinatorStore
from workers.store.postgres.party import PostgresPartyStore
from workers.store.records import Outcome
from workers.store.sqlite.coordinator import SqliteCoordinatorStore
from workers.store.sqlite.database import SqliteDatabase
from workers.store.sqlite.party import SqlitePartyStore

from .disobedience import sent
from .faults import Kind
from .orders import Obedience

STORES: tuple[Any, ...] = (
    PostgresCoordinatorStore,
    PostgresPartyStore,
    SqliteCoordinatorStore,
    SqlitePartyStore,
)
_ANY_PAGES = 2**30

Work: TypeAlias = Callable[[sqlite3.Connection], Any]


def wrap(obedience: Obedience) -> None:
    for store in STORES:
        _crash_around(store, obedience)
    _fill_disk(obedience)


###
### Crash points
###


def _crash_around(store: Any, obedience: Obedience) -> None:
    commit: Callable[..., Awaitable[Outcome]] = store.commit

    async def commit_or_die(self: Any, change: Any) -> Outcome:
        sends = bool(change.outgoing) or getattr(change, "result", None) is not None
        if sends:
            obedience.die_at(Kind.BEFORE_COMMIT)
        outcome = await commit(self, change)
        if sends and outcome is Outcome.COMMITTED:
            sent.set(True)
            obedience.die_at(Kind.AFTER_COMMIT)
        return outcome

    store.commit = commit_or_die


###
### The disk
###


def _fill_disk(obedience: Obedience) -> None:
    """SQLite believes that its file may grow no further, and that nothing in it is free."""
    database: Any = SqliteDatabase
    transact = database._transact
    full: dict[int, bool] = {}

    def transact_on_full_disk(self: Any, work: Work, *, writing: bool) -> Any:
        wanted = obedience.orders.disk_full
        connection: sqlite3.Connection | None = self._connection
        if connection is not None and full.get(id(connection), False) != wanted:
            connection.execute(f"PRAGMA max_page_count = {1 if wanted else _ANY_PAGES}")
            full[id(connection)] = wanted
        chosen = crowded(work) if wanted and writing else work
        try:
            return transact(self, chosen, writing=writing)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                obedience.feel()
            raise

    database._transact = transact_on_full_disk


def crowded(work: Work) -> Work:
    """All free pages are taken while it works; those of tables that have room left, have it."""

    def work_without_place(connection: sqlite3.Connection) -> Any:
        connection.execute("CREATE TABLE ballast (content)")
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("INSERT INTO ballast VALUES (zeroblob(?))", (max(0, free * (size - 4)),))
        result = work(connection)
        connection.execute("DROP TABLE ballast")
        return result

    return work_without_place
