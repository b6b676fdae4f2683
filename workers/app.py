"""Where the workers are wired: settings in, a running process out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from faststream.rabbit import RabbitBroker

from contracts import addresses, sessions
from contracts.client_list import KnownClients
from contracts.confirming import AWAY, answered

from . import abilities, chores, following, metrics, places
from .coordinator.signature import Signature
from .coordinator.wiring import Coordinator
from .delivery.client_queues import ClientQueues
from .delivery.clock import now_ms
from .delivery.consuming import (
    GRACE_S,
    make_broker,
    stop_consuming,
    subscribe,
    subscribe_broadcast,
    taker,
    with_heartbeat,
)
from .delivery.middleware import Chain, Middleware
from .delivery.permissions import (
    ForbiddenError,
    Way,
    coordinators_ways,
    partys_ways,
    reading,
    require_writing,
)
from .delivery.publisher import Publisher, require_topology
from .health import Check, Health
from .party.consumer import PartyConsumer
from .party.epoch_counts import count_keys_to_retire
from .patience import patiently
from .session.party.acceptance import Party
from .session.sending import report
from .settings import CoordinatorSettings, DeliverySection, Lane, PartySettings
from .store.interface import SessionStore, StoreUnavailableError
from .store.opening import open_coordinator_store

S = TypeVar("S", bound=SessionStore)

logger = logging.getLogger(__name__)

METERED = metrics.Metered()
READY_FILE = "WARREN_READY_FILE"
"""Environment variable: a file that is created once the worker consumes."""

GC_THRESHOLD = 20_000
"""Allocations between two looks at the young; some hundred deliveries."""
STOP_S = GRACE_S + 1
SWEEP_SECONDS = 0.25
SWEEP_LIMIT = 100
OWED_SECONDS = 5.0
OWED_AFTER_MS = 5_000
"""Whoever ended the session is not still sending it by then."""
HEARTBEAT_SECONDS = 2.0
ATTEST_SECONDS = 2.0
"""Between two looks at whether the database is still the one that it was."""
REFRESH_SECONDS = 1.0
LISTS_SECONDS = 2.0
"""Between two looks at what other processes have stored of a list, and for queues that were not
there yet."""
ENDS_SECONDS = 0.05
"""Between two looks, while turns are short, at what other processes have ended."""
PURGE_SECONDS = 30.0
EPOCH_SECONDS = 1.0
"""Between two looks for keys of which an epoch is to go on."""
COUNT_SECONDS = 10.0
"""Between two counts of what is still to be done."""
WATCH_SECONDS = 2.0
"""Between two looks at whether all that the worker depends on is able."""


_QUEUES: Mapping[Lane, Callable[[str], str]] = {
    Lane.SIGNING: addresses.inbox_queue,
    Lane.KEYGEN: addresses.keygen_queue,
    Lane.PRESIGNING: addresses.presigning_queue,
}


async def run_party(
    settings: PartySettings,
    lanes: Collection[Lane],
    health: Health,
    middleware: Middleware = METERED,
) -> None:
    """Serve the queues of a party's lanes until SIGTERM or SIGINT.

    Raises:
        TopologyError, NoAdmissionError, SchemaError, SealError, WitnessError: what is missing,
            and how to mend it.
    """
    limits = settings.limits
    url = with_heartbeat(settings.amqp_url)
    queues = {lane: _QUEUES[lane](settings.party_id) for lane in lanes}
    closed = settings.opened(fenced=True, max_connections=limits.database_connections)
    await _broker_reachable(url, queues=queues.values(), ways=partys_ways(settings.party_id))
    publishing = _connected(url, settings.party_id, middleware, settings.delivery)
    async with _opened(closed) as store, publishing as publisher:
        followed = await following.of_party(settings, store, url)
        party = _party(settings, followed)
        marks = settings.promise_marks
        # Who has had no database before has promised nothing yet.
        marks.begin(0 if (await store.memory()).is_first else now_ms())
        consumer = PartyConsumer(party, store, publisher, limits, marks=marks)
        broker = make_broker(url)
        followed.listen(broker)
        consume = functools.partial(subscribe, broker, publisher, middleware=middleware)
        handlers = {
            Lane.SIGNING: consumer.handle,
            Lane.KEYGEN: consumer.handle_keygen,
            Lane.PRESIGNING: consumer.handle_presigning,
        }
        for lane, queue in queues.items():
            consume(queue, handlers[lane], prefetch=limits.prefetch_of(lane), bundles=True)
        _hear_cancellations(broker, settings.party_id, consumer.broadcast)

        async def sign_of_life() -> None:
            alive = report(
                sessions.PartyAlive(at=now_ms()),
                identity=party.speaker,
                party_id=settings.party_id,
            )
            await publisher.publish(alive)

        async def purge() -> None:
            await chores.forget(store, limits.retention_seconds)
            await chores.forget_requests(store, limits)
            await asyncio.to_thread(marks.forget, now_ms())
            await store.purge_parked(before=await store.now() - int(limits.parked_seconds * 1000))
            await store.purge_retired(since=await store.now() - int(limits.parked_seconds * 1000))

        async def sweep() -> None:
            await chores.for_each(consumer.expire, await store.overdue(now_ms(), SWEEP_LIMIT))

        async def send_owed() -> None:
            before = now_ms() - OWED_AFTER_MS
            await chores.for_each(consumer.send_owed, await store.owing(before, SWEEP_LIMIT))

        async def move_on() -> None:
            due = await store.keys_due(now_ms(), SWEEP_LIMIT)
            await chores.for_each(consumer.epochs.go_on, due)
            due = await store.retirements_due(now_ms(), SWEEP_LIMIT)
            await chores.for_each(consumer.epochs.tell, due)

        async def count() -> None:
            await count_keys_to_retire(store, now_ms())

        async def look_under_way() -> None:
            metrics.PARTY_SESSIONS.set(len(await store.states_under_way()))

        health.certificates |= places.certificates(settings.amqp_url, settings.database_url)
        health.checks.update(_able(store, broker, publisher, knocks=False))
        await _serve(
            broker,
            url,
            (health.watch, WATCH_SECONDS),
            (sign_of_life, HEARTBEAT_SECONDS),
            (store.attest, ATTEST_SECONDS),
            (followed.look, LISTS_SECONDS),
            (sweep, SWEEP_SECONDS),
            (send_owed, OWED_SECONDS),
            (move_on, EPOCH_SECONDS),
            (count, COUNT_SECONDS),
            (look_under_way, WATCH_SECONDS),
            (purge, PURGE_SECONDS),
        )


def _party(settings: PartySettings, known: following.Known) -> Party:
    return Party(
        party_id=settings.party_id,
        identity=settings.identity,
        others=settings.other_identities,
        peers=known.parties,
        coordinators=settings.coordinators,
        clients=known.clients,
        clock_tolerance_ms=int(settings.limits.clock_tolerance_seconds * 1000),
    )


async def run_coordinator(
    settings: CoordinatorSettings, health: Health, middleware: Middleware = METERED
) -> None:
    """Serve requests and reports until SIGTERM or SIGINT.

    Raises:
        TopologyError, NoAdmissionError, SchemaError: what is missing, and how to mend it.
    """
    limits = settings.limits
    url = with_heartbeat(settings.amqp_url)
    queues = (*addresses.REQUEST_QUEUES, addresses.REPORTS_QUEUE)
    await _broker_reachable(url, queues=queues, ways=coordinators_ways())
    closed = open_coordinator_store(
        settings.database_url, max_connections=limits.database_connections
    )
    # The innermost: what other middleware makes of a message is what leaves, and is signed.
    middleware = Chain(middleware, Signature(settings.identity))
    publishing = _connected(url, "coordinator", middleware, settings.delivery)
    async with _opened(closed) as store, publishing as publisher:
        followed = await following.of_coordinator(settings, store, url)
        clients = followed.clients
        await _configured_queues(url, settings, clients)
        coordinator = Coordinator.over(
            store,
            publisher,
            identities=(settings.identity, *settings.other_identities),
            parties=followed.parties,
            clients=clients,
            limits=limits,
            pool_limits=settings.pools,
        )
        requests, reports = coordinator.requests, coordinator.reports
        async for attempt in patiently(StoreUnavailableError):
            with attempt:
                await coordinator.liveness.refresh()
        grace_ms = int(limits.grace_seconds * 1000)
        broker = make_broker(url)
        consume = functools.partial(subscribe, broker, publisher, middleware=middleware)
        for queue in addresses.REQUEST_QUEUES:
            consume(queue, requests.handle, prefetch=limits.waiting)
        followed.listen(broker)
        own = ClientQueues(
            lambda: broker.connection,
            lambda queue: taker(publisher, queue, requests.handle, middleware=middleware),
            prefetch=limits.prefetch_of_each(len(clients.ids)),
        )

        async def follow() -> None:
            await own.follow(clients.ids)

        consume(addresses.REPORTS_QUEUE, reports.handle, prefetch=limits.prefetch, bundles=True)
        _hear_cancellations(broker, "coordinator", reports.broadcast)

        async def sweep() -> None:
            await chores.for_each(
                reports.expire, await store.overdue(now_ms() - grace_ms, SWEEP_LIMIT)
            )

        async def send_owed() -> None:
            before = now_ms() - OWED_AFTER_MS
            await chores.for_each(reports.send_owed, await store.owing(before, SWEEP_LIMIT))

        async def purge() -> None:
            await chores.forget(store, limits.retention_seconds)

        async def refresh_liveness() -> None:
            await coordinator.liveness.refresh()
            metrics.PARTIES_ALIVE.set(len(coordinator.liveness.alive()))

        health.certificates |= places.certificates(settings.amqp_url, settings.database_url)
        health.checks.update(_able(store, broker, publisher, knocks=True, own=own))

        async def look_for_ends() -> None:
            if coordinator.entrance.filling:
                await coordinator.entrance.departures.look(store)

        async def begin() -> None:
            followed.when_clients_change(follow)
            await follow()

        await _serve(
            broker,
            url,
            (health.watch, WATCH_SECONDS),
            (followed.look, LISTS_SECONDS),
            (own.retry, LISTS_SECONDS),
            (refresh_liveness, REFRESH_SECONDS),
            (look_for_ends, ENDS_SECONDS),
            (coordinator.admission.refresh, REFRESH_SECONDS),
            (coordinator.pools.tend, SWEEP_SECONDS),
            (coordinator.reshares.tend, EPOCH_SECONDS),
            (coordinator.retirements.tend, EPOCH_SECONDS),
            (sweep, SWEEP_SECONDS),
            (send_owed, OWED_SECONDS),
            (purge, PURGE_SECONDS),
            begin=begin,
            stop=own.stop,
        )


async def _configured_queues(
    url: str, settings: CoordinatorSettings, clients: KnownClients
) -> None:
    """Those of clients in the configuration must be there; of others, they may be on their way."""
    configured = {policy.client_id for policy in settings.clients} & clients.ids
    queues = [queue for each in configured if each for queue in addresses.request_queues(each)]
    await _broker_reachable(url, queues=queues, ways=())


def _hear_cancellations(broker: RabbitBroker, name: str, handler: Callable[[bytes], None]) -> None:
    queue = f"{addresses.CANCEL}.{name}.{secrets.token_hex(8)}"
    subscribe_broadcast(broker, addresses.CANCEL, queue, handler)


def _able(
    store: SessionStore,
    broker: RabbitBroker,
    publisher: Publisher,
    *,
    knocks: bool,
    own: ClientQueues | None = None,
) -> dict[str, Check]:
    """What a worker depends on, and how to tell whether it can be worked with."""
    return {
        "database": functools.partial(abilities.database, store),
        "broker": functools.partial(abilities.broker, broker, publisher, knocks=knocks),
        "consumers": functools.partial(abilities.consumers, broker, own),
    }


async def _nothing() -> None:
    """There is nothing else to begin."""


async def _no_more(_grace_s: float) -> None:
    """Nor to stop."""


async def _serve(
    broker: RabbitBroker,
    url: str,
    *work: tuple[Callable[[], Awaitable[None]], float],
    begin: Callable[[], Awaitable[None]] = _nothing,
    stop: Callable[[float], Awaitable[None]] = _no_more,
) -> None:
    """Consume and do the chores until a signal; then stop taking, finish what runs, and leave.

    Arguments:
        begin, stop: What else is consumed.
    """
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async for attempt in patiently(*AWAY):
        with attempt:
            try:
                with reading(url):
                    async with answered():
                        await broker.start()
            except (*AWAY, ForbiddenError):
                await broker.stop()
                raise
    await begin()
    _spare_the_collector()
    tasks = [asyncio.create_task(chores.every(seconds, chore)) for chore, seconds in work]
    _say_ready()
    try:
        await over.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Without a connection both would wait for the next one. Unacknowledged, the deliveries go
        # back to their queues.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(stop_consuming(broker), stop(GRACE_S))
                await broker.stop()


async def _broker_reachable(url: str, *, queues: Iterable[str], ways: Iterable[Way]) -> None:
    async for attempt in patiently(*AWAY):
        with attempt:
            async with answered():
                await require_topology(url, queues=queues)
                await require_writing(url, ways)


@contextlib.asynccontextmanager
async def _connected(
    url: str, name: str, middleware: Middleware, delivery: DeliverySection
) -> AsyncIterator[Publisher]:
    """The publisher, once the broker can be reached."""
    publisher = Publisher(
        url, name=name, around=middleware.around_publishing, bundles=delivery.bundles
    )
    async for attempt in patiently(*AWAY):
        with attempt:
            try:
                async with answered():
                    await publisher.__aenter__()
            except AWAY:
                await publisher.__aexit__(None, None, None)
                raise
    try:
        yield publisher
    finally:
        await publisher.__aexit__(None, None, None)


@contextlib.asynccontextmanager
async def _opened(store: S) -> AsyncIterator[S]:
    """The store, once its database can be reached."""
    async for attempt in patiently(StoreUnavailableError):
        with attempt:
            await store.__aenter__()
    try:
        yield store
    finally:
        await store.__aexit__(None, None, None)


def _spare_the_collector() -> None:
    """What was loaded at start is never garbage, and deliveries leave little that is cyclic: at
    Python's defaults a third of a consumer's time goes into looking."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


def _say_ready() -> None:
    logger.info("ready")
    path = os.environ.get(READY_FILE)
    if path is not None:
        with contextlib.suppress(OSError):
            Path(path).touch()
