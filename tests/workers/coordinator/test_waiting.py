"""Requests that wait for presignatures, and the coordinator processes that serve them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import addresses
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.results import Status
from tests.workers.callers import wish
from tests.workers.crew import coordinator
from tests.workers.ecdsa import (
    AHEAD,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    limited,
    look,
    make_key,
    only_result,
    pools_of,
    sent,
    sign,
    stock,
)
from tests.workers.simulate import CLIENT, World, world
from workers.coordinator import pools as pools_module
from workers.pool_limits import PoolLimits
from workers.session.coordinator.choice import members_of
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

FIRST = ["party-1", "party-2"]
OTHER = ["party-2", "party-3"]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, pool_limits=AHEAD) as made:
        yield made
        assert made.dead == []


###
### Those who wait
###


async def waiting(shire: World) -> tuple[CertifiedKey, Any, bytes]:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    shire.network.waiting.clear()
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    (pool,) = await pools_of(shire, key)
    assert pool.waiting == 1
    return key, request, known.session_id


async def test_a_request_that_is_cancelled_waits_no_more(shire: World) -> None:
    key, request, _ = await waiting(shire)
    await shire.submit(wish(shire, "cancel", target=request.request_id))
    assert only_result(shire, request).status is Status.CANCELLED
    (pool,) = await pools_of(shire, key)
    assert pool.waiting == 0


async def test_a_request_whose_time_runs_out_while_it_waits_blames_nobody(shire: World) -> None:
    key, request, session_id = await waiting(shire)
    assert await shire.coordinator_store.overdue(request.expires_at + 1, 1) != []
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    result = only_result(shire, request)
    assert result.status is Status.EXPIRED
    assert result.failure is not None
    assert result.failure.message == "the deadline passed before presignatures were made"
    assert (result.failure.silent, result.failure.culprits) == ([], [])
    assert result.failure.retryable
    (pool,) = await pools_of(shire, key)
    assert pool.waiting == 0


async def test_a_request_that_was_served_and_expires_names_who_was_silent(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.kind == "session_created" and m.routing_key == "party-2")
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    await shire.outlive(known.session_id)
    await shire.reports.expire(known.session_id)
    failure = only_result(shire, request).failure
    assert failure is not None
    assert failure.silent == ["party-2"]


async def test_a_request_waits_in_no_pool_that_the_store_does_not_know(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key)
    store = shire.coordinator_store

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def use_pool(self, *_: Any) -> None:
            raise StoreUnavailableError("away")

    shire.requests = coordinator(shire, store=Away()).requests
    with pytest.raises(StoreUnavailableError):
        await shire.ask(request)
    assert await store.request(CLIENT, request.request_id) is None
    limited(shire)
    await shire.ask(request)
    await shire.run()
    check_success(shire, request, key)


async def test_the_use_of_a_pool_is_not_forgotten_while_the_store_is_away(shire: World) -> None:
    key = await make_key(shire)
    store: Any = shire.coordinator_store
    away = True

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def use_pool(self, *values: Any) -> None:
            if away:
                raise StoreUnavailableError("away")
            await store.use_pool(*values)

    pools = coordinator(shire, store=Away()).pools
    names = {pools.use(key.facts, members_of(key.facts, signers)) for signers in ("1,2", "1,3")}
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await pools.tend()
    away = False
    await pools.tend()
    assert {pool.name for pool in await pools_of(shire, key)} == names


async def test_another_process_makes_what_one_that_died_had_no_time_to(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key)

    async def dies(_: Any) -> None:
        raise asyncio.CancelledError

    dying = coordinator(shire)
    dying.pools.make = dies  # type: ignore[assignment,method-assign]
    shire.requests = dying.requests
    with pytest.raises(asyncio.CancelledError):
        await shire.ask(request)
    assert sent(shire, "presign_batch") == []
    await look(shire)
    check_success(shire, request, key)


async def test_facts_of_keys_are_kept_for_some_keys_only(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools_module, "KEPT_KEYS", 2)
    keys = [await make_key(shire) for _ in range(3)]
    for key in keys:
        await sign(shire, key)
        assert len(shire.pools._facts) <= 2
    await look(shire)
    assert len(shire.pools._facts) <= 2
    for key in keys:
        assert await stock(shire, key) == AHEAD.high


###
### Two processes
###


async def test_two_coordinators_begin_no_more_batches_than_one(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key)
    limited(shire, batches_per_pool=1, batches=1)
    crew = [coordinator(shire) for _ in range(2)]
    for each in crew:
        for party_id in shire.identities:
            await each.liveness.seen(party_id)
    before = len(sent(shire, "presign_batch"))
    await asyncio.gather(*(each.pools.tend() for each in crew))
    await asyncio.gather(*(each.pools.tend() for each in crew))
    assert len(sent(shire, "presign_batch")) - before == 2
    await shire.run()
    assert await stock(shire, key) == AHEAD.high


async def test_two_coordinators_serve_each_request_once(shire: World) -> None:
    key = await make_key(shire)
    limited(shire, low=0, high=0, batches_per_pool=1)
    crew = [coordinator(shire) for _ in range(2)]
    requests = [ecdsa_request(shire, key) for _ in range(4)]
    for place, request in enumerate(requests):
        shire.requests = crew[place % 2].requests
        await shire.ask(request)
    for _ in range(4):
        await shire.run(dropped=lambda message: message.kind == "presignatures_made")
        reports = sent(shire, "presignatures_made")
        for message in reports:
            for each in crew:
                shire.reports = each.reports
                await shire.deliver(message)
        await asyncio.gather(*(each.pools.tend() for each in crew))
    await shire.run()
    for request in requests:
        check_success(shire, request, key)
    sessions = Counter(
        (message.routing_key, message.headers["session_id"])
        for message in sent(shire, "session_created")
    )
    bodies = {(message.routing_key, message.body) for message in sent(shire, "session_created")}
    assert len(bodies) == len(sessions)  # sent again perhaps, but never with other presignatures
    await check_nothing_is_left(shire)


async def test_what_one_coordinator_waits_for_another_has_in_its_looks(tmp_path: Path) -> None:
    async with world(tmp_path, pool_limits=PoolLimits(low=0, high=0)) as made:
        key = await make_key(made)
        first, second = coordinator(made), coordinator(made)
        request = ecdsa_request(made, key)
        made.requests = first.requests
        await made.ask(request)
        made.reports, made.pools = second.reports, second.pools
        await made.run()
        check_success(made, request, key)


async def test_a_batchs_failure_comes_back_to_us_and_stops_nothing(shire: World) -> None:
    """The farewells' broadcast reaches the process that sends them while it is still at work."""
    key = await make_key(shire)
    requests = [ecdsa_request(shire, key, signers=FIRST) for _ in range(4)]
    for request in requests:
        await shire.ask(request)
    network: Any = shire.network
    ordinary = network.publish

    async def publish(message: Outgoing) -> None:
        if message.exchange == addresses.CANCEL:
            shire.reports.broadcast(shire.signature.under(message).body)
        await ordinary(message)
        await asyncio.sleep(0)

    network.publish = publish
    store: Any = shire.party_stores["party-2"]

    async def nothing(*_: Any) -> None:
        return None

    store.key_share = nothing
    await shire.run()
    for request in requests:
        failure = only_result(shire, request).failure
        assert failure is not None
        assert failure.code is FailureCode.PARTY_REFUSED
        assert "party-2 reports of the presignatures: we hold no usable share" in failure.message
    await check_nothing_is_left(shire)


async def test_who_was_served_waits_no_more(shire: World) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key))
    await shire.run(dropped=lambda message: message.kind == "session_created")
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.making, pool.waiting) == (0, 0, 0)


async def test_who_waits_for_what_is_there_is_served_by_the_next_look(shire: World) -> None:
    """The process that counted the batch in died before it served anybody."""
    key = await make_key(shire)
    request = ecdsa_request(shire, key)
    await shire.ask(request)
    dying = coordinator(shire)

    async def dies(_: Any) -> None:
        raise asyncio.CancelledError

    dying.pools._line.serve = dies  # type: ignore[assignment,method-assign]
    healthy, shire.reports = shire.reports, dying.reports
    with pytest.raises(asyncio.CancelledError):
        await shire.run()
    shire.reports = healthy
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.making, pool.waiting) == (1, 0, 1)
    await look(shire, alive=False)
    check_success(shire, request, key)
