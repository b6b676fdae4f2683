"""Faults of a worker's surroundings, laid around the product's own functions from outside."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from workers.delivery import deliveries
from workers.settings import CoordinatorSettings, PartySettings
from workers.store.postgres.coordinator import PostgresCoordinatorStore
from workers.store.postgres.party import PostgresPartyStore
from workers.store.records import Outcome
from workers.store.sqlite.coordinator import SqliteCoordinatorStore
from workers.store.sqlite.database import SqliteDatabase
from workers.store.sqlite.party import SqlitePartyStore

from .faults import Kind
from .orders import Obedience

STORES: tuple[Any, ...] = (
    PostgresCoordinatorStore,
    PostgresPartyStore,
    SqliteCoordinatorStore,
    SqlitePartyStore,
)
LATE, TWICE, BACK = 0.3, 0.3, 0.1
"""Shares of the deliveries in bad weather."""
LATE_S = 0.8
LOST = 0.3
_ANY_PAGES = 2**30

Work: TypeAlias = Callable[[sqlite3.Connection], Any]

_sent: ContextVar[bool] = ContextVar("sent", default=False)
"""Whether the handler that runs has committed something to send."""


def wrap(obedience: Obedience) -> None:
    for settings in (PartySettings, CoordinatorSettings):
        _through_the_wire(settings, obedience)
    for store in STORES:
        _crash_around(store, obedience)
    _crash_before_ack(obedience)
    _weather(obedience)
    _fill_disk(obedience)


def _through_the_wire(settings: Any, obedience: Obedience) -> None:
    load: Callable[..., Any] = settings.load

    def load_wired(*arguments: Any) -> Any:
        loaded = load(*arguments)
        port = obedience.wire_port()
        if port is None:
            return loaded
        parts = urlsplit(loaded.amqp_url)
        login = parts.netloc.rpartition("@")[0]
        wired = parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()
        return dataclasses.replace(loaded, amqp_url=wired)

    settings.load = load_wired


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
            _sent.set(True)
            obedience.die_at(Kind.AFTER_COMMIT)
        return outcome

    store.commit = commit_or_die


def _crash_before_ack(obedience: Obedience) -> None:
    handle = deliveries._handle

    async def handle_and_die(handler: Any, delivery: Any) -> None:
        _sent.set(False)
        await handle(handler, delivery)
        if _sent.get():
            obedience.die_at(Kind.AFTER_PUBLISH)

    deliveries._handle = handle_and_die


###
### Deliveries
###


class _Copy:
    """A second delivery of a message: how it ends is not the broker's business."""

    async def ack(self) -> None:
        pass

    async def nack(self, *, requeue: bool) -> None:
        pass


def _weather(obedience: Obedience) -> None:
    settle: Callable[..., Awaitable[None]] = deliveries.settle
    dice = random.Random(obedience.worker)

    async def settle_in_weather(
        message: Any, delivery: deliveries.Delivery, handler: Any, publisher: Any
    ) -> None:
        orders = obedience.orders
        if orders.loss and delivery.kind != "party_alive" and dice.random() < LOST:
            obedience.feel()
            await message.ack()
            return
        if not orders.weather:
            await settle(message, delivery, handler, publisher)
            return
        obedience.feel()
        fate = dice.random()
        if fate < BACK and delivery.attempts < 2:
            await message.nack(requeue=True)
            return
        if fate < BACK + LATE:
            await asyncio.sleep(dice.uniform(0, LATE_S))
        if fate > 1 - TWICE:
            copy: Any = _Copy()
            if dice.random() < 0.5:
                await asyncio.gather(
                    settle(copy, delivery, handler, publisher),
                    settle(message, delivery, handler, publisher),
                )
                return
            await settle(copy, delivery, handler, publisher)
        await settle(message, delivery, handler, publisher)

    deliveries.settle = settle_in_weather


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
