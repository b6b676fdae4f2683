"""Whatever goes wrong between a delivery and its acknowledgement: one result, and the same one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts import addresses
from contracts.requests import Request
from contracts.results import Result, Status
from tests.workers.crew import (
    Faults,
    FaultyNetwork,
    FaultyStore,
    Together,
    coordinator_worker,
    party_worker,
    redelivered,
)
from tests.workers.doubles import FakePublisher
from tests.workers.simulate import World, world
from workers.consumers.publisher import PublishError
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def only_result(world: World, request: Request) -> Result:
    bodies = {
        message.body
        for message in world.network.sent
        if message.exchange == addresses.RESULTS and message.message_id == request.request_id
    }
    assert len(bodies) == 1, f"{len(bodies)} different results"
    return next(each for each in world.results() if each.request_id == request.request_id)


async def ran(world: World, request: Request) -> Result:
    await redelivered(lambda: _asked(world, request))
    await world.run()
    return only_result(world, request)


async def _asked(world: World, request: Request) -> None:
    await world.ask(request)


def restarting(world: World) -> Any:
    """Every delivery finds processes that were started for it."""

    def restart(message: Outgoing) -> bool:
        for party_id in world.parties:
            world.parties[party_id] = party_worker(world, party_id)
        world.requests, world.reports = coordinator_worker(world)
        return False

    return restart


async def test_workers_that_restart_before_every_delivery_lose_nothing(fresh: World) -> None:
    made = fresh.keygen_request()
    await fresh.ask(made)
    await fresh.run(Random(1), doubled=0.3, dropped=restarting(fresh))
    assert only_result(fresh, made).status is Status.COMPLETED
    for number in range(3):
        signed = fresh.sign_request(key_id=made.key_id)
        await fresh.ask(signed)
        await fresh.run(Random(number), doubled=0.3, dropped=restarting(fresh))
        assert only_result(fresh, signed).status is Status.COMPLETED
    assert not fresh.dead


async def test_two_workers_of_everyone_race_for_every_delivery_and_agree(fresh: World) -> None:
    for party_id in tuple(fresh.parties):
        pair: Any = Together([party_worker(fresh, party_id) for _ in range(2)])
        fresh.parties[party_id] = pair
    coordinators = [coordinator_worker(fresh) for _ in range(2)]
    requests: Any = Together([requests for requests, _ in coordinators])
    reports: Any = Together([reports for _, reports in coordinators])
    fresh.requests, fresh.reports = requests, reports

    made = fresh.keygen_request()
    assert (await ran(fresh, made)).status is Status.COMPLETED
    for _ in range(3):
        signed = fresh.sign_request(key_id=made.key_id)
        assert (await ran(fresh, signed)).status is Status.COMPLETED
    assert not fresh.dead
    for store in fresh.party_stores.values():
        assert len(await store.key_shares()) == 1


async def test_all_messages_at_once_at_two_workers_of_everyone(fresh: World) -> None:
    crews = {
        party_id: [party_worker(fresh, party_id) for _ in range(2)] for party_id in fresh.parties
    }
    coordinators = [coordinator_worker(fresh) for _ in range(2)]
    requests = [fresh.keygen_request() for _ in range(3)]
    for request in requests:
        await fresh.ask(request)
    turn = 0
    while ready := [each for each in fresh.network.waiting if each.exchange != addresses.RESULTS]:
        fresh.network.waiting = []
        turn += 1
        for party_id, crew in crews.items():
            fresh.parties[party_id] = crew[turn % 2]
        fresh.requests, fresh.reports = coordinators[turn % 2]
        await asyncio.gather(*(fresh.deliver(message) for message in ready))
    for request in requests:
        assert only_result(fresh, request).status is Status.COMPLETED
    assert not fresh.dead


@pytest.mark.parametrize("seed", range(5))
async def test_one_result_whatever_goes_wrong_and_how_often(fresh: World, seed: int) -> None:
    faults = Faults(Random(seed))
    network: Any = FaultyNetwork(fresh.network, faults)
    for party_id, store in fresh.party_stores.items():
        fresh.parties[party_id] = party_worker(
            fresh, party_id, store=FaultyStore(store, faults), network=network
        )
    fresh.requests, fresh.reports = coordinator_worker(
        fresh, store=FaultyStore(fresh.coordinator_store, faults), network=network
    )
    deliver = fresh.deliver

    async def until_it_goes_well(message: Outgoing) -> None:
        await redelivered(lambda: deliver(message))

    fresh.deliver = until_it_goes_well  # type: ignore[method-assign]
    made = fresh.keygen_request()
    assert (await ran(fresh, made)).status is Status.COMPLETED
    for _ in range(4):
        signed = fresh.sign_request(key_id=made.key_id)
        assert (await ran(fresh, signed)).status is Status.COMPLETED
    assert faults.happened.keys() == {"before commit", "after commit", "publish", "killed"}
    assert not fresh.dead


class Recorder(FakePublisher):
    """Keeps also what it would not publish."""

    def __init__(self, trouble: BaseException) -> None:
        super().__init__()
        self.refused: list[Outgoing] = []
        self._error = trouble

    async def publish_all(self, messages: Any) -> None:
        self.refused += messages
        raise self._error


@pytest.mark.parametrize("trouble", [PublishError("broker away"), asyncio.CancelledError()])
async def test_what_was_committed_and_not_sent_is_sent_byte_for_byte_on_redelivery(
    fresh: World, trouble: BaseException
) -> None:
    made = fresh.keygen_request()
    await fresh.ask(made)
    compared = 0
    while ready := [each for each in fresh.network.waiting if each.exchange != addresses.RESULTS]:
        message = ready[0]
        fresh.network.waiting.remove(message)
        recorder: Any = Recorder(trouble)
        healthy = dict(fresh.parties), fresh.requests, fresh.reports
        for party_id in fresh.parties:
            fresh.parties[party_id] = party_worker(fresh, party_id, network=recorder)
        fresh.requests, fresh.reports = coordinator_worker(fresh, network=recorder)
        if message.exchange != addresses.CANCEL:
            with pytest.raises(type(trouble)):
                await fresh.deliver(message)
        fresh.parties, fresh.requests, fresh.reports = healthy
        before = len(fresh.network.sent)
        await fresh.deliver(message)
        assert key_of(fresh.network.sent[before:]) == key_of(recorder.refused)
        compared += len(recorder.refused)
    assert compared >= 3 * (2 + 2 + 2 + 2 + 1)
    assert only_result(fresh, made).status is Status.COMPLETED


def key_of(messages: list[Outgoing]) -> set[tuple[str, str, str, bytes]]:
    return {(each.exchange, each.routing_key, each.message_id, each.body) for each in messages}


async def test_a_store_that_fails_before_the_commit_keeps_nothing_and_the_next_try_works(
    fresh: World,
) -> None:
    made = fresh.keygen_request()
    await ran(fresh, made)
    signed = fresh.sign_request(key_id=made.key_id, signers=["party-1", "party-2"])
    await fresh.ask(signed)
    created = []

    def keep(message: Outgoing) -> bool:
        if message.kind == "session_created":
            created.append(message)
        return message in created

    await fresh.run(dropped=keep)
    assert len(created) == 2

    class Away(FaultyStore):
        async def commit(self, change: Any) -> Any:
            raise StoreUnavailableError("away")

    for message in created:
        store = fresh.party_stores[message.routing_key]
        party = fresh.parties[message.routing_key]
        fresh.parties[message.routing_key] = party_worker(
            fresh, message.routing_key, store=Away(store, Faults(Random(0)))
        )
        before = len(fresh.network.sent)
        with pytest.raises(StoreUnavailableError):
            await fresh.deliver(message)
        assert fresh.network.sent[before:] == []
        session_id = bytes.fromhex(message.headers["session_id"])
        assert await store.session(session_id) is None
        fresh.parties[message.routing_key] = party
        await fresh.deliver(message)
    await fresh.run()
    assert only_result(fresh, signed).status is Status.COMPLETED
