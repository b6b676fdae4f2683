"""Whatever goes wrong between a delivery and its acknowledgement: one result, and the same one."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from contracts import addresses
from contracts.requests import Request
from contracts.results import KeygenResult, Result, Status
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
from tests.workers.ecdsa import only_result
from tests.workers.simulate import World
from workers.delivery.publisher import PublishError
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing


async def ran(world: World, request: Request) -> Result:
    await redelivered(lambda: world.ask(request))
    await world.run()
    return only_result(world, request)


def restarting(world: World) -> Any:
    """Every delivery finds processes that were started for it."""

    def restart(message: Outgoing) -> bool:
        for party_id in world.parties:
            world.parties[party_id] = party_worker(world, party_id)
        world.requests, world.reports = coordinator_worker(world)
        return False

    return restart


async def test_workers_that_restart_before_every_delivery_lose_nothing(shire: World) -> None:
    made = shire.keygen_request()
    await shire.ask(made)
    await shire.run(Random(1), doubled=0.3, dropped=restarting(shire))
    assert only_result(shire, made).status is Status.COMPLETED
    for number in range(3):
        signed = shire.sign_request(key_id=made.key_id)
        await shire.ask(signed)
        await shire.run(Random(number), doubled=0.3, dropped=restarting(shire))
        assert only_result(shire, signed).status is Status.COMPLETED
    assert not shire.dead


async def test_two_workers_of_everyone_race_for_every_delivery_and_agree(shire: World) -> None:
    for party_id in tuple(shire.parties):
        pair: Any = Together([party_worker(shire, party_id) for _ in range(2)])
        shire.parties[party_id] = pair
    coordinators = [coordinator_worker(shire) for _ in range(2)]
    requests: Any = Together([requests for requests, _ in coordinators])
    reports: Any = Together([reports for _, reports in coordinators])
    shire.requests, shire.reports = requests, reports

    made = shire.keygen_request()
    assert (await ran(shire, made)).status is Status.COMPLETED
    for _ in range(3):
        signed = shire.sign_request(key_id=made.key_id)
        assert (await ran(shire, signed)).status is Status.COMPLETED
    assert not shire.dead
    for store in shire.party_stores.values():
        assert len(await store.key_shares()) == 1


async def test_all_messages_at_once_at_two_workers_of_everyone(shire: World) -> None:
    crews = {
        party_id: [party_worker(shire, party_id) for _ in range(2)] for party_id in shire.parties
    }
    coordinators = [coordinator_worker(shire) for _ in range(2)]
    requests = [shire.keygen_request() for _ in range(3)]
    for request in requests:
        await shire.ask(request)
    turn = 0
    while ready := [each for each in shire.network.waiting if each.exchange != addresses.RESULTS]:
        shire.network.waiting = []
        turn += 1
        for party_id, crew in crews.items():
            shire.parties[party_id] = crew[turn % 2]
        shire.requests, shire.reports = coordinators[turn % 2]
        await asyncio.gather(*(shire.deliver(message) for message in ready))
    for request in requests:
        assert only_result(shire, request).status is Status.COMPLETED
    assert not shire.dead


@pytest.mark.parametrize("seed", range(5))
async def test_one_result_whatever_goes_wrong_and_how_often(shire: World, seed: int) -> None:
    faults = Faults(Random(seed))
    network: Any = FaultyNetwork(shire.network, faults)
    for party_id, store in shire.party_stores.items():
        shire.parties[party_id] = party_worker(
            shire, party_id, store=FaultyStore(store, faults), network=network
        )
    shire.requests, shire.reports = coordinator_worker(
        shire, store=FaultyStore(shire.coordinator_store, faults), network=network
    )
    deliver = shire.deliver

    async def until_it_goes_well(message: Outgoing) -> None:
        await redelivered(lambda: deliver(message))

    shire.deliver = until_it_goes_well  # type: ignore[method-assign]
    made = shire.keygen_request()
    result = await ran(shire, made)
    assert isinstance(result, KeygenResult)
    assert result.key is not None
    assert (await ran(shire, shire.reshare_request(result.key.facts))).status is Status.COMPLETED
    for _ in range(4):
        signed = shire.sign_request(key_id=made.key_id)
        assert (await ran(shire, signed)).status is Status.COMPLETED
    assert faults.happened.keys() == {"before commit", "after commit", "publish", "killed"}
    assert not shire.dead


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
    shire: World, trouble: BaseException
) -> None:
    made = shire.keygen_request()
    await shire.ask(made)
    compared = 0
    while ready := [each for each in shire.network.waiting if each.exchange != addresses.RESULTS]:
        message = ready[0]
        shire.network.waiting.remove(message)
        recorder: Any = Recorder(trouble)
        healthy = dict(shire.parties), shire.requests, shire.reports
        for party_id in shire.parties:
            shire.parties[party_id] = party_worker(shire, party_id, network=recorder)
        shire.requests, shire.reports = coordinator_worker(shire, network=recorder)
        if message.exchange != addresses.CANCEL:
            with pytest.raises(type(trouble)):
                await shire.deliver(message)
        shire.parties, shire.requests, shire.reports = healthy
        before = len(shire.network.sent)
        await shire.deliver(message)
        assert key_of(shire.network.sent[before:]) == key_of(recorder.refused)
        compared += len(recorder.refused)
    assert compared >= 3 * (2 + 2 + 2 + 2 + 1)
    assert only_result(shire, made).status is Status.COMPLETED


def key_of(messages: list[Outgoing]) -> set[tuple[str, str, str, bytes]]:
    return {(each.exchange, each.routing_key, each.message_id, each.body) for each in messages}


async def test_a_store_that_fails_before_the_commit_keeps_nothing_and_the_next_try_works(
    shire: World,
) -> None:
    made = shire.keygen_request()
    await ran(shire, made)
    signed = shire.sign_request(key_id=made.key_id, signers=["party-1", "party-2"])
    await shire.ask(signed)
    created = []

    def keep(message: Outgoing) -> bool:
        if message.kind == "session_created":
            created.append(message)
        return message in created

    await shire.run(dropped=keep)
    assert len(created) == 2

    class Away(FaultyStore):
        async def commit(self, change: Any) -> Any:
            raise StoreUnavailableError("away")

    for message in created:
        store = shire.party_stores[message.routing_key]
        party = shire.parties[message.routing_key]
        shire.parties[message.routing_key] = party_worker(
            shire, message.routing_key, store=Away(store, Faults(Random(0)))
        )
        before = len(shire.network.sent)
        with pytest.raises(StoreUnavailableError):
            await shire.deliver(message)
        assert shire.network.sent[before:] == []
        session_id = bytes.fromhex(message.headers["session_id"])
        assert await store.session(session_id) is None
        shire.parties[message.routing_key] = party
        await shire.deliver(message)
    await shire.run()
    assert only_result(shire, signed).status is Status.COMPLETED
