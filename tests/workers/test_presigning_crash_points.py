"""ECDSA whatever is delivered twice, out of order, or cut off before its acknowledgement."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts import addresses
from contracts.keys import CertifiedKey
from contracts.requests import MAX_LIFETIME_MS
from tests.workers.crew import (
    Faults,
    FaultyNetwork,
    FaultyStore,
    Together,
    coordinator,
    coordinator_worker,
    party_worker,
    redelivered,
)
from tests.workers.ecdsa import (
    WatchedStore,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    look,
    make_key,
    pools_of,
    presignatures_left,
    sent,
    sign,
)
from tests.workers.simulate import World, world
from workers.delivery.publisher import PublishError
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing

FIRST = ["party-1", "party-2"]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
        assert made.dead == []


def watched(world: World) -> list[WatchedStore]:
    """Every party's store, telling what each presignature was used for."""
    stores = [WatchedStore(store) for store in world.party_stores.values()]
    for party_id, store in zip(world.party_stores, stores, strict=True):
        world.parties[party_id] = party_worker(world, party_id, store=store)
    return stores


async def check_each_was_used_once(
    world: World, key: CertifiedKey, stores: list[WatchedStore]
) -> None:
    for store in stores:
        assert set(Counter(place for place, _ in store.answers).values()) <= {1}
    left = await presignatures_left(world, key)
    (pool,) = await pools_of(world, key)
    assert max(left.values()) == pool.stock


@pytest.mark.parametrize("seed", range(3))
async def test_every_message_comes_twice_and_in_any_order(shire: World, seed: int) -> None:
    stores = watched(shire)
    key = await make_key(shire)
    shire.network.copies = 2
    items = [{"message": bytes([i]) * 32, "derivation_path": f"m/{i}"} for i in range(2)]
    requests = [
        ecdsa_request(shire, key, signers=FIRST),
        ecdsa_request(shire, key, signers=FIRST, items=items),
    ]
    for request in requests:
        signed = await shire.ask(request)
        await shire.submit(signed)
    await shire.run(Random(seed), doubled=0.2)
    for request in requests:
        check_success(shire, request, key)
    assert len({each.body for each in sent(shire, "session_created")}) == 1 + 2
    await check_each_was_used_once(shire, key, stores)
    await check_nothing_is_left(shire)


async def test_round_messages_that_come_before_their_batch_are_played_when_it_begins(
    shire: World,
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(late=lambda m: m.kind == "presign_batch" and m.routing_key == "party-2")
    check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_workers_that_restart_before_every_delivery_lose_nothing(shire: World) -> None:
    key = await make_key(shire)

    def restart(_: Outgoing) -> bool:
        for party_id in shire.parties:
            shire.parties[party_id] = party_worker(shire, party_id)
        shire.requests, shire.reports = coordinator_worker(shire)
        return False

    requests = [ecdsa_request(shire, key, signers=FIRST) for _ in range(3)]
    for request in requests:
        await shire.ask(request)
    await shire.run(Random(1), doubled=0.3, dropped=restart)
    await look(shire)
    for request in requests:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_two_workers_of_everyone_race_for_every_delivery(shire: World) -> None:
    key = await make_key(shire)
    stores = [WatchedStore(store) for store in shire.party_stores.values()]
    for (party_id, _), store in zip(shire.party_stores.items(), stores, strict=True):
        pair: Any = Together([party_worker(shire, party_id, store=store) for _ in range(2)])
        shire.parties[party_id] = pair
    crew = [coordinator(shire) for _ in range(2)]
    requests: Any = Together([each.requests for each in crew])
    reports: Any = Together([each.reports for each in crew])
    shire.requests, shire.reports = requests, reports
    for _ in range(2):
        request = ecdsa_request(shire, key, signers=FIRST)
        await shire.ask(request)
        await shire.run()
        await asyncio.gather(*(each.pools.tend() for each in crew))
        await shire.run()
        check_success(shire, request, key)
    await check_each_was_used_once(shire, key, stores)
    await check_nothing_is_left(shire)


@pytest.mark.parametrize("seed", range(3))
async def test_one_result_whatever_goes_wrong_and_how_often(shire: World, seed: int) -> None:
    key = await make_key(shire)
    faults = Faults(Random(seed))
    network: Any = FaultyNetwork(shire.network, faults)
    stores = [WatchedStore(store) for store in shire.party_stores.values()]
    for (party_id, _), store in zip(shire.party_stores.items(), stores, strict=True):
        shire.parties[party_id] = party_worker(
            shire, party_id, store=FaultyStore(store, faults), network=network
        )
    dying = coordinator(shire, store=FaultyStore(shire.coordinator_store, faults), network=network)
    shire.requests, shire.reports, shire.pools = dying.requests, dying.reports, dying.pools
    deliver = shire.deliver

    async def until_it_goes_well(message: Outgoing) -> None:
        await redelivered(lambda: deliver(message))

    async def asked() -> None:
        await shire.ask(request)

    shire.deliver = until_it_goes_well  # type: ignore[method-assign]
    for _ in range(3):
        expires_at = shire.clock() + MAX_LIFETIME_MS
        request = ecdsa_request(shire, key, signers=FIRST, expires_at=expires_at)
        await redelivered(asked)
        await shire.run()
        await finish(shire)
        check_success(shire, request, key)
    assert faults.happened.keys() == {"before commit", "after commit", "publish", "killed"}
    for watched_store in stores:
        places = Counter(place for place, _ in watched_store.answers)
        assert set(places.values()) <= {1}
    await check_nothing_is_left(shire)


async def finish(world: World) -> None:
    """The chores of as many seconds as it takes until nobody waits and nothing is in the making:
    a batch that was committed and never announced ends by its deadline, and another one begins."""
    store = world.coordinator_store
    for _ in range(20):
        await redelivered(world.pools.tend)
        await world.run()
        for session_id in await store.overdue(10**15, 100):
            await redelivered(partial(expire_batch, world, session_id))
        for session_id in await store.owing(10**15, 100):
            await redelivered(partial(world.reports.send_owed, session_id))
        await world.run()
        if not any(pool.making or pool.waiting for pool in await store.pools(0)):
            return
    raise AssertionError("one batch after another comes to nothing")


async def expire_batch(world: World, session_id: bytes) -> None:
    session = await world.coordinator_store.session(session_id)
    if session is not None and session.protocol == "presign":
        await world.outlive(session_id)
        await world.reports.expire(session_id)


###
### Byte for byte
###


@dataclass
class Recorder:
    """Publishes nothing, and keeps what it would not publish."""

    error: BaseException
    refused: list[Outgoing] = field(default_factory=list)

    async def publish(self, message: Outgoing) -> None:
        await self.publish_all([message])

    async def publish_all(self, messages: Any) -> None:
        self.refused += messages
        if messages:
            raise self.error


@pytest.mark.parametrize("error", [PublishError("broker away"), asyncio.CancelledError()])
async def test_what_was_committed_and_not_sent_is_sent_byte_for_byte_on_redelivery(
    shire: World, error: BaseException
) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)  # a pool that is known, so that only messages differ
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    compared: Counter[str] = Counter()
    while ready := [each for each in shire.network.waiting if each.exchange != addresses.RESULTS]:
        message = ready[0]
        shire.network.waiting.remove(message)
        recorder: Any = Recorder(error)
        healthy = dict(shire.parties), shire.requests, shire.reports
        for party_id in shire.parties:
            shire.parties[party_id] = party_worker(shire, party_id, network=recorder)
        shire.requests, shire.reports = coordinator_worker(shire, network=recorder)
        try:
            await shire.deliver(message)
        except type(error):
            assert recorder.refused
        else:
            assert not recorder.refused
        shire.parties, shire.requests, shire.reports = healthy
        before = len(shire.network.sent)
        await shire.deliver(message)
        again = shire.network.sent[before:]
        assert identities(again) >= identities(recorder.refused), message.kind
        if message.kind not in {"presignatures_made", "session_created"}:
            assert identities(again) == identities(recorder.refused), message.kind
        compared.update(each.kind for each in recorder.refused)
    assert compared.keys() == {
        "presign/1",
        "presign/2",
        "presign/3",
        "presignatures_made",
        "session_created",
        "share_signed",
        "sign",
    }
    check_success(shire, request, key)
    await check_nothing_is_left(shire)


def identities(messages: list[Outgoing]) -> set[tuple[str, str, str, bytes]]:
    return {(each.exchange, each.routing_key, each.message_id, each.body) for each in messages}


async def test_a_store_that_fails_before_the_commit_keeps_nothing_and_the_next_try_works(
    shire: World,
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    tried: Counter[str] = Counter()

    class Away(FaultyStore):
        async def commit(self, change: Any) -> Any:
            raise StoreUnavailableError("away")

    while ready := [each for each in shire.network.waiting if each.exchange != addresses.RESULTS]:
        message = ready[0]
        shire.network.waiting.remove(message)
        healthy = dict(shire.parties), shire.requests, shire.reports
        faults = Faults(Random(0))
        for party_id, store in shire.party_stores.items():
            shire.parties[party_id] = party_worker(shire, party_id, store=Away(store, faults))
        shire.requests, shire.reports = coordinator_worker(
            shire, store=Away(shire.coordinator_store, faults)
        )
        before = len(shire.network.sent)
        with pytest.raises(StoreUnavailableError):
            await shire.deliver(message)
        assert shire.network.sent[before:] == []
        shire.parties, shire.requests, shire.reports = healthy
        await shire.deliver(message)
        tried[message.kind] += 1
    assert tried.keys() == {
        "presign_batch",
        "presign/1",
        "presign/2",
        "presign/3",
        "presignatures_made",
        "session_created",
        "share_signed",
    }
    check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_a_batch_that_was_never_announced_fails_nobody_and_another_one_is_made(
    shire: World,
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    recorder: Any = Recorder(PublishError("broker away"))
    healthy = shire.requests
    shire.requests, _ = coordinator_worker(shire, network=recorder)
    with pytest.raises(PublishError):
        await shire.ask(request)
    assert [each.kind for each in recorder.refused] == ["presign_batch"] * 2
    shire.requests = healthy
    await shire.ask(request)  # it comes again, and cannot know
    assert sent(shire, "presign_batch") == []
    (session_id,) = [
        each
        for each in await shire.coordinator_store.overdue(10**15, 10)
        if await shire.coordinator_store.request_of(each) is None
    ]
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    await shire.run()
    check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_those_who_fail_with_their_batch_hear_of_it_when_the_broker_is_back(
    shire: World,
) -> None:
    key = await make_key(shire)
    requests = [ecdsa_request(shire, key, signers=FIRST) for _ in range(2)]
    for request in requests:
        await shire.ask(request)
    await shire.run(dropped=lambda message: message.routing_key == "party-2")
    (batch, *_) = {bytes.fromhex(m.headers["session_id"]) for m in sent(shire, "presign_batch")}
    shire.clock.offset_ms = 25_000
    await shire.parties["party-1"].expire(batch)
    await shire.run()

    class Away:
        async def publish(self, message: Outgoing) -> None:
            if message.exchange == addresses.RESULTS:
                raise PublishError("broker away")

        async def publish_all(self, messages: Any) -> None:
            for message in messages:
                await self.publish(message)

    network: Any = Away()
    _, dying = coordinator_worker(shire, network=network)
    with pytest.raises(PublishError):
        await dying.expire(batch)
    before = len(sent(shire, "session_cancelled"))
    owed = await shire.coordinator_store.owing(10**15, 10)
    assert batch in owed
    for session_id in owed:
        await shire.reports.send_owed(session_id)
    assert await shire.coordinator_store.owing(10**15, 10) == []
    assert len(sent(shire, "session_cancelled")) - before >= 3
    failed = [each for each in shire.results() if each.failure is not None]
    assert len(failed) == 1
    assert failed[0].failure is not None
    assert failed[0].failure.silent == ["party-2"]


async def test_the_farewells_of_a_batch_that_could_not_leave_are_sent_with_the_report_come_again(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(shire.party_stores["party-2"], "key_share", nothing)
    await shire.run(dropped=lambda message: message.kind == "session_failed")
    (report,) = sent(shire, "session_failed")
    recorder: Any = Recorder(PublishError("broker away"))
    healthy = shire.reports
    _, shire.reports = coordinator_worker(shire, network=recorder)
    with pytest.raises(PublishError):
        await shire.deliver(report)
    shire.reports = healthy
    before = len(shire.network.sent)
    await shire.deliver(report)
    assert identities(shire.network.sent[before:]) == identities(recorder.refused)
    assert [each.kind for each in recorder.refused] == ["session_cancelled"] * 3


class LateLook:
    """A store whose first look at a session comes just before another worker's commit."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def session(self, session_id: bytes) -> Any:
        self._looks += 1
        return None if self._looks == 1 else await self._store.session(session_id)


async def test_who_loses_the_race_to_begin_a_batch_sends_what_the_winner_may_not_have_sent(
    shire: World,
) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    batch = next(m for m in shire.network.waiting if m.routing_key == "party-1")
    recorder: Any = Recorder(PublishError("broker away"))
    shire.parties["party-1"] = party_worker(shire, "party-1", network=recorder)
    with pytest.raises(PublishError):
        await shire.deliver(batch)
    late: Any = LateLook(shire.party_stores["party-1"])
    shire.parties["party-1"] = party_worker(shire, "party-1", store=late)
    before = len(shire.network.sent)
    await shire.deliver(batch)
    assert [message.kind for message in recorder.refused] == ["presign/1"]
    assert identities(shire.network.sent[before:]) == identities(recorder.refused)


async def test_a_message_whose_batch_begins_while_it_is_looked_for_is_played(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.kind == "presign/1" and m.routing_key == "party-1")
    (message,) = [m for m in sent(shire, "presign/1") if m.routing_key == "party-1"]
    late: Any = LateLook(shire.party_stores["party-1"])
    shire.parties["party-1"] = party_worker(shire, "party-1", store=late)
    await shire.deliver(message)
    await shire.run()
    check_success(shire, request, key)
