"""What is left of sessions that are over: counted in every store and every process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.workers.simulate import World, world
from tests.workers.store.conftest import RawDatabase
from workers.settings import PartyLimits

UNFINISHED = "SELECT count(*) FROM sessions WHERE ended_at IS NULL"
OWED = "SELECT count(*) FROM sessions WHERE owed_since IS NOT NULL"
OF_A_PARTY = {
    "sessions that are not over": UNFINISHED,
    "sessions with something owed": OWED,
    "sessions with round state": "SELECT count(*) FROM sessions WHERE length(state) > 0",
    "messages of rounds": "SELECT count(*) FROM inbox",
    "parked messages": "SELECT count(*) FROM parked",
}
OF_THE_COORDINATOR = {
    "sessions that are not over": UNFINISHED,
    "sessions with something owed": OWED,
    "sessions that wait": "SELECT count(*) FROM waiters",
    "batches in the making": "SELECT count(*) FROM presign_batches",
    "reserved key names": "SELECT count(*) FROM key_reservations",
    "requests without a result": "SELECT count(*) FROM requests WHERE result_cause IS NULL",
}
BY_SESSION = {
    "party": ("sessions", "inbox", "outbox", "parked"),
    "coordinator": (
        "sessions",
        "inbox",
        "outbox",
        "events",
        "requests",
        "waiters",
        "presign_batches",
        "key_reservations",
    ),
}
"""The tables that have rows by session."""
LATER_MS = int(PartyLimits().parked_seconds * 1000) + 1_000


@dataclass(frozen=True)
class Auditor:
    """
    Attributes:
        databases: By party id, and "coordinator".
    """

    world: World
    databases: Mapping[str, RawDatabase]

    async def alive(self) -> dict[str, int]:
        """Whatever there is of a session that is not over, and should not be of one that is."""
        found = {f"{where}: {what}": count for where, what, count in self._in_processes()}
        for where, database in self.databases.items():
            counted = OF_THE_COORDINATOR if where == "coordinator" else OF_A_PARTY
            for what, statement in counted.items():
                found[f"{where}: {what}"] = await number(database, statement)
        return {what: count for what, count in found.items() if count}

    async def remembered(self) -> dict[str, int]:
        """Rows of sessions, whatever became of them."""
        found = {}
        for where, database in self.databases.items():
            tables = BY_SESSION["coordinator" if where == "coordinator" else "party"]
            for table in tables:
                found[f"{where}: {table}"] = await number(database, f"SELECT count(*) FROM {table}")
        return {what: count for what, count in found.items() if count}

    async def purge(self) -> None:
        """As if all that is over had been so for long."""
        for store in (self.world.coordinator_store, *self.world.party_stores.values()):
            while await store.purge(ended_before=10**15):
                pass

    async def once_usable(self) -> dict[str, tuple[int, int]]:
        """Of each party: the nonces and presignatures that it has, less those that the coordinator
        knows of."""
        coordinator = self.databases["coordinator"]
        found = {}
        for place, party_id in enumerate(self.world.identities, start=1):
            own = self.databases[party_id]
            announced = await number(
                coordinator, f"SELECT count(*) FROM commitments WHERE party_id = '{party_id}'"
            )
            pooled = await number(
                coordinator,
                "SELECT count(*) FROM presignatures"
                f" WHERE ',' || signers || ',' LIKE '%,{place},%'",
            )
            found[party_id] = (
                await number(own, "SELECT count(*) FROM nonces") - announced,
                await number(own, "SELECT count(*) FROM presignatures") - pooled,
            )
        return found

    def _in_processes(self) -> Iterator[tuple[str, str, int]]:
        gc.collect()  # an exception may hold a handler's frame, and that its lock
        processes: dict[str, Any] = {**self.world.parties, "coordinator": self.world.reports}
        for where, process in processes.items():
            scopes = process.scopes if where != "coordinator" else process._scopes
            yield where, "handlers' scopes", len(scopes)
            yield where, "locks", len(process._locks)
        yield "coordinator", "recent sessions", len(self.world.reports._recent._known)
        entrance = self.world.requests._entrance
        yield "coordinator", "turns", sum(gate.units + gate.waiting for gate in entrance.gates)
        yield "coordinator", "ends that are awaited", len(entrance.departures)
        for party_id, party in self.world.parties.items():
            computing = party._machine._one_at_a_time.borrowed_tokens
            yield party_id, "computations", computing


async def number(database: RawDatabase, statement: str) -> int:
    ((count,),) = await database.query(statement)
    return int(count)


@dataclass(frozen=True)
class Work:
    """What the event loop has to do.

    Attributes:
        timers: How many. One that was cancelled stays until its time comes, for nothing.
    """

    tasks: frozenset[asyncio.Task[Any]]
    timers: int

    @classmethod
    def now(cls) -> Work:
        loop: Any = asyncio.get_running_loop()
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        return cls(frozenset(asyncio.all_tasks()), len(timers))

    def more_since(self, before: Work) -> tuple[frozenset[asyncio.Task[Any]], int]:
        return self.tasks - before.tasks, max(0, self.timers - before.timers)


NO_WORK: tuple[frozenset[asyncio.Task[Any]], int] = (frozenset(), 0)


async def all_time_passes(world: World) -> None:
    """Everybody's deadlines pass, and what workers do unasked is done until nothing is to do."""
    world.clock.offset_ms += LATER_MS
    for _ in range(20):
        await world.run()
        chores: list[tuple[Any, Any]] = [
            *((party, world.party_stores[name]) for name, party in world.parties.items()),
            (world.reports, world.coordinator_store),
        ]
        busy = False
        for process, store in chores:
            for session_id in await store.overdue(world.clock(), 100):
                busy = True
                await process.expire(session_id)
            for session_id in await store.owing(world.clock() + 1, 100):
                busy = True
                await process.send_owed(session_id)
        if not busy:
            return
    raise AssertionError("some session does not end")


@contextlib.asynccontextmanager
async def audited(
    directory: Path, places: Mapping[str, RawDatabase], **options: Any
) -> AsyncIterator[Auditor]:
    """A world on these databases, and who counts in it."""
    urls = {name: place.url for name, place in places.items()}
    # What is there already takes long to look through, each time that somebody counts.
    gc.freeze()
    try:
        async with world(directory, databases=urls, **options) as made:
            yield Auditor(made, places)
    finally:
        gc.unfreeze()
