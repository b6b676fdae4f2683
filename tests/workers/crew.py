"""More workers for a simulated Warren: second ones on the same stores, and ones that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.operations import OPERATIONS
from tests.workers.simulate import CLIENT, LIMITS, World
from workers.coordinator.reports import ReportConsumer
from workers.coordinator.requests import RequestConsumer
from workers.coordinator.wiring import Coordinator
from workers.delivery.publisher import PublishError
from workers.party.consumer import PartyConsumer
from workers.session.party.acceptance import Party
from workers.session.peers import Peer
from workers.settings import CoordinatorLimits, PartyLimits
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing


def peers(world: World) -> dict[str, Peer]:
    return {
        party_id: Peer(i, identity.public)
        for i, (party_id, identity) in enumerate(world.identities.items(), start=1)
    }


def clients(world: World) -> tuple[ClientPolicy, ...]:
    return (
        ClientPolicy(
            identity=world.client.public, client_id=CLIENT, operations=frozenset(OPERATIONS)
        ),
    )


def party_worker(
    world: World,
    party_id: str,
    *,
    store: Any = None,
    network: Any = None,
    limits: PartyLimits | None = None,
    others: Iterable[ClientPolicy] = (),
    tolerance_ms: int = 0,
) -> PartyConsumer:
    """A fresh process of a party: it knows nothing but what the party's store has.

    Arguments:
        others: Clients beside the world's.
    """
    publisher: Any = network or world.network
    return PartyConsumer(
        Party(
            party_id=party_id,
            identity=world.identities[party_id],
            peers=peers(world),
            coordinators=Coordinators.of(world.coordinator.public),
            clients=(*clients(world), *others),
            clock_tolerance_ms=tolerance_ms,
        ),
        store or world.party_stores[party_id],
        publisher,
        limits or PartyLimits(backup_wait_seconds=0),
        clock=world.clock,
    )


def coordinator(
    world: World, *, store: Any = None, network: Any = None, limits: CoordinatorLimits = LIMITS
) -> Coordinator:
    """A fresh process of the coordinator."""
    return Coordinator.over(
        store or world.coordinator_store,
        network or cast("Any", world.network),
        identities=[world.coordinator],
        parties=peers(world),
        clients=clients(world),
        limits=limits,
        pool_limits=world.pool_limits,
        clock=world.clock,
    )


def coordinator_worker(
    world: World, *, store: Any = None, network: Any = None, limits: CoordinatorLimits = LIMITS
) -> tuple[RequestConsumer, ReportConsumer]:
    """Its ends."""
    made = coordinator(world, store=store, network=network, limits=limits)
    return made.requests, made.reports


@dataclass
class Together:
    """Several workers that all get every delivery at the same time."""

    workers: Iterable[Any]

    async def handle(self, delivery: Any) -> None:
        await asyncio.gather(*(worker.handle(delivery) for worker in self.workers))

    async def handle_keygen(self, delivery: Any) -> None:
        await asyncio.gather(*(worker.handle_keygen(delivery) for worker in self.workers))

    async def handle_presigning(self, delivery: Any) -> None:
        await asyncio.gather(*(worker.handle_presigning(delivery) for worker in self.workers))

    def broadcast(self, body: bytes) -> None:
        for worker in self.workers:
            worker.broadcast(body)


@dataclass
class Faults:
    """Decides what goes wrong next; one delivery in three or so gets through unharmed."""

    random: Random
    happened: dict[str, int] = field(default_factory=dict)

    def strikes(self, what: str) -> bool:
        if self.random.random() < 0.2:
            self.happened[what] = self.happened.get(what, 0) + 1
            return True
        return False


class FaultyStore:
    """A store whose database is away before a commit, or after it with the answer lost."""

    def __init__(self, store: Any, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Any) -> Any:
        if self._faults.strikes("before commit"):
            raise StoreUnavailableError("away")
        outcome = await self._store.commit(change)
        if self._faults.strikes("after commit"):
            raise StoreUnavailableError("the answer was lost")
        return outcome


class FaultyNetwork:
    """A broker that is away, or goes away between two messages, or takes the process with it."""

    def __init__(self, network: Any, faults: Faults) -> None:
        self._network = network
        self._faults = faults

    async def publish(self, message: Outgoing) -> None:
        await self.publish_all([message])

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            if self._faults.strikes("publish"):
                raise PublishError("broker away")
            if self._faults.strikes("killed"):
                raise asyncio.CancelledError
            await self._network.publish(message)


async def redelivered(handle: Callable[[], Awaitable[object]]) -> None:
    """As broker and `settle` do: until it goes well."""
    while True:
        try:
            await handle()
        except (PublishError, StoreUnavailableError, asyncio.CancelledError):
            continue
        return
