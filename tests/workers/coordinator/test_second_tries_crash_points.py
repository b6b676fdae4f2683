"""Whatever goes wrong between two sessions of one request: another one, and one result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts import addresses
from contracts.results import CancelResult, Status
from tests.workers.callers import answered
from tests.workers.crew import Faults, FaultyNetwork, FaultyStore, coordinator, redelivered
from tests.workers.ecdsa import check_success, ecdsa_request, make_key, only_result, sent
from tests.workers.simulate import World, world
from tests.workers.tries import (
    FROST,
    begun,
    cancel,
    cancelled,
    check_first_is_forgotten,
    check_others_signed,
    conduct_of,
    everyone_is_alive,
    history,
    results_sent,
    session_of,
    try_time_is_over,
    wrong_share,
)
from workers.coordinator.wiring import Coordinator
from workers.delivery.publisher import PublishError
from workers.store.interface import StoreUnavailableError
from workers.store.records import CoordinatorChange, Outcome, Outgoing


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
        assert made.dead == []


class DyingNetwork:
    """Goes away with the first message of a kind."""

    def __init__(self, network: Any, *last: str) -> None:
        self._network = network
        self._last = last

    async def publish(self, message: Outgoing) -> None:
        if message.kind in self._last:
            raise PublishError("broker away")
        await self._network.publish(message)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            await self.publish(message)


class DyingStore:
    """Goes away with the commit that begins another session, before it or with the answer lost."""

    def __init__(self, store: Any, *, committed: bool) -> None:
        self._store = store
        self._committed = committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        if change.succeeds is not None:
            if self._committed:
                await self._store.commit(change)
            raise StoreUnavailableError("away")
        outcome: Outcome = await self._store.commit(change)
        return outcome


BEGINNINGS = {"session_created", "nonces_wanted"}
DEATHS: dict[str, Callable[[World], Coordinator]] = {
    "before the first's parties are told": lambda shire: coordinator(
        shire, network=DyingNetwork(shire.network, "session_cancelled")
    ),
    "before the second is committed": lambda shire: coordinator(
        shire, store=DyingStore(shire.coordinator_store, committed=False)
    ),
    "before the second's commit is known": lambda shire: coordinator(
        shire, store=DyingStore(shire.coordinator_store, committed=True)
    ),
    "before the second's messages leave": lambda shire: coordinator(
        shire, network=DyingNetwork(shire.network, *BEGINNINGS)
    ),
}


async def dead_between(shire: World, death: str, session_id: bytes) -> None:
    """A process dies on the way from one session, whose time is over, to the next."""
    healthy, dying = (shire.reports, shire.liveness), DEATHS[death](shire)
    shire.reports, shire.liveness = dying.reports, dying.liveness
    with pytest.raises((PublishError, StoreUnavailableError)):
        await try_time_is_over(shire, session_id)
    shire.reports, shire.liveness = healthy
    await everyone_is_alive(shire)
    shire.network.waiting.clear()


async def pay_what_is_owed(shire: World) -> None:
    for session_id in await shire.coordinator_store.owing(10**15, 10):
        await shire.reports.send_owed(session_id)


@pytest.mark.parametrize(
    ("scheme", "death"),
    # A batch that was begun and not announced is made again after its own deadline.
    [*((FROST, death) for death in DEATHS), *(("ecdsa", death) for death in [*DEATHS][:-1])],
)
async def test_the_sweep_begins_what_the_last_one_came_not_to(
    shire: World, scheme: str, death: str
) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=scheme)
    await shire.run(dropped=lambda m: m.kind in BEGINNINGS and m.routing_key == silent)
    await dead_between(shire, death, first)
    assert results_sent(shire, request) == []
    assert await shire.coordinator_store.owing(10**15, 10) == [first]

    await pay_what_is_owed(shire)
    await shire.pools.tend()
    await shire.run()
    result = await check_others_signed(shire, request, key, first, silent)
    assert result.session_id is not None
    assert (await conduct_of(shire, result.session_id)).tries == 2
    (_, about_it), *_ = await history(shire, result.session_id)
    assert about_it["after"] == f"the deadline passed; nothing was heard of {silent}"
    await check_first_is_forgotten(shire, first)


def echo(shire: World) -> None:
    """Cancellations reach the process that sends them while it is still at work."""
    network: Any = shire.network
    ordinary = network.publish

    async def publish(message: Outgoing) -> None:
        await ordinary(message)
        if message.exchange == addresses.CANCEL:
            shire.reports.broadcast(shire.signature.under(message).body)
        await asyncio.sleep(0)

    network.publish = publish


@pytest.mark.parametrize("death", DEATHS)
async def test_the_report_come_again_begins_what_it_came_not_to_before(
    shire: World, death: str
) -> None:
    key = await make_key(shire)
    request, first, liar = await begun(shire, key, scheme=FROST)
    dying = DEATHS[death](shire)
    await dying.liveness.refresh()
    last: list[Outgoing] = []
    deliver = shire.deliver

    async def watched(message: Outgoing) -> None:
        last[:] = [message]
        await deliver(message)

    shire.deliver = watched  # type: ignore[method-assign]
    lie = wrong_share(shire, liar)

    def lies_and_dies(message: Outgoing) -> bool:
        if message.kind == "share_signed":
            shire.reports = dying.reports
        return lie(message)

    healthy = shire.reports
    with pytest.raises((PublishError, StoreUnavailableError)):
        await shire.run(dropped=lies_and_dies)
    shire.reports = healthy
    shire.network.waiting.clear()
    await everyone_is_alive(shire)
    assert results_sent(shire, request) == []
    assert await shire.coordinator_store.owing(10**15, 10) == [first]

    echo(shire)
    await shire.deliver(*last)
    assert await session_of(shire, request) != first
    await shire.run(dropped=lie)
    result = await check_others_signed(shire, request, key, first, liar)
    assert result.session_id is not None
    assert (await conduct_of(shire, result.session_id)).tries == 2
    await pay_what_is_owed(shire)
    await shire.run()
    assert await session_of(shire, request) == result.session_id
    assert len(results_sent(shire, request)) == 1
    await check_first_is_forgotten(shire, first)


@pytest.mark.parametrize("death", DEATHS)
async def test_a_cancellation_between_two_sessions_lets_nobody_sign(
    shire: World, death: str
) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=FROST)
    shire.network.waiting.clear()
    await dead_between(shire, death, first)

    wish = cancel(shire, request)
    await answered(shire, wish, CancelResult)
    assert cancelled(shire, wish).target_status is Status.CANCELLED
    await pay_what_is_owed(shire)
    await shire.run()
    assert only_result(shire, request).status is Status.CANCELLED
    assert sent(shire, "share_signed") == []
    await check_first_is_forgotten(shire, first)


class Abreast:
    """Holds every commit that begins another session until so many are there."""

    def __init__(self, store: Any, count: int) -> None:
        self.outcomes: list[Outcome] = []
        self._store = store
        self._barrier = asyncio.Barrier(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        if change.succeeds is not None:
            await self._barrier.wait()
        outcome: Outcome = await self._store.commit(change)
        if change.succeeds is not None:
            self.outcomes.append(outcome)
        return outcome


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_of_two_processes_that_begin_again_one_does(shire: World, scheme: str) -> None:
    key = await make_key(shire)
    request, first, _ = await begun(shire, key, scheme=scheme)
    await shire.run(dropped=lambda m: m.kind in BEGINNINGS)
    await dead_between(shire, "before the first's parties are told", first)
    known = {each.headers["session_id"] for each in sent(shire, *BEGINNINGS)}

    store = Abreast(shire.coordinator_store, 2)
    await asyncio.gather(
        *(coordinator(shire, store=store).reports.send_owed(first) for _ in range(2))
    )
    assert set(store.outcomes) == {Outcome.COMMITTED, Outcome.LOST_RACE}
    await shire.run()
    result = check_success(shire, request, key)
    assert len(results_sent(shire, request)) == 1
    assert result.session_id == await session_of(shire, request) != first
    begun_since = {each.headers["session_id"] for each in sent(shire, *BEGINNINGS)} - known
    assert begun_since == {result.session_id.hex()}
    await check_first_is_forgotten(shire, first)


@pytest.mark.parametrize("seed", range(5))
async def test_one_result_whatever_goes_wrong_between_sessions(
    shire: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    key = await make_key(shire)
    faults = Faults(Random(seed))
    store, network = FaultyStore(shire.coordinator_store, faults), shire.network
    made = coordinator(shire, store=store, network=FaultyNetwork(network, faults))
    shire.requests, shire.reports = made.requests, made.reports
    shire.pools, shire.liveness = made.pools, made.liveness
    await everyone_is_alive(shire)
    deliver = shire.deliver

    async def until_it_goes_well(message: Outgoing) -> None:
        await redelivered(lambda: deliver(message))

    monkeypatch.setattr(shire, "deliver", until_it_goes_well)
    lie = wrong_share(shire, "party-2")
    requests = [ecdsa_request(shire, key, scheme=FROST) for _ in range(6)]
    for request in requests:
        await redelivered(partial(shire.ask, request))
    await shire.run(dropped=lie)
    await redelivered(lambda: pay_what_is_owed(shire))
    await shire.run(dropped=lie)
    for request in requests:
        result = check_success(shire, request, key)
        assert result.session_id == await session_of(shire, request)
        assert result.signers == ["party-1", "party-3"]
    assert faults.happened.keys() == {"before commit", "after commit", "publish", "killed"}
