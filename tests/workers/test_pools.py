"""The coordinator's pools: what is made ahead and what is not, who waits, and two processes."""

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
from contracts.requests import CancelRequest
from contracts.results import Status
from contracts.signing import sign_request
from tests.workers.crew import coordinator
from tests.workers.ecdsa import (
    AHEAD,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    look,
    make_key,
    only_result,
    pools_of,
    presignatures_left,
    sent,
    sign,
    stocked,
)
from tests.workers.simulate import CLIENT, World, world
from workers.consumers import pools as pools_module
from workers.consumers.clock import now_ms
from workers.consumers.publisher import FullError, UnroutableError
from workers.session.choice import members_of
from workers.settings import PoolLimits
from workers.store.interface import StoreUnavailableError
from workers.store.records import Outgoing

FIRST = ["party-1", "party-2"]
OTHER = ["party-2", "party-3"]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, pool_limits=AHEAD) as made:
        yield made
        assert made.dead == []


def limited(world: World, **changes: Any) -> None:
    """Other limits from now on, below what a configuration may say, so that little is made."""
    limits = world.pool_limits.model_copy(update=changes)
    world.pool_limits = limits
    made = coordinator(world)
    world.requests, world.reports, world.pools = made.requests, made.reports, made.pools
    world.liveness = made.liveness


async def everyone_is_alive(world: World) -> None:
    for party_id in world.identities:
        await world.liveness.seen(party_id)


async def begun(world: World, **limits: Any) -> list[int]:
    """How large the batches are that a look begins, none of which is made."""
    limited(world, **limits)
    await everyone_is_alive(world)
    before = len(sent(world, "presign_batch"))
    await world.pools.tend()
    world.network.waiting.clear()
    bodies = {message.body for message in sent(world, "presign_batch")[before:]}
    pools = await world.coordinator_store.pools(0)
    assert len(bodies) == 0 or sum(pool.making for pool in pools) > 0
    return [pool.making for pool in pools if pool.making]


async def stock(world: World, key: CertifiedKey) -> int:
    return sum(pool.stock for pool in await pools_of(world, key))


###
### Ahead of time
###


async def test_a_pool_in_use_is_filled_to_its_high_mark_when_it_is_below_the_low_one(
    shire: World,
) -> None:
    key = await stocked(shire)
    await look(shire)
    assert await stock(shire, key) == AHEAD.high
    for expected in (3, 2):
        await sign(shire, key)
        await look(shire)
        assert await stock(shire, key) == expected  # at the low mark, not below it
    await sign(shire, key)
    await look(shire)
    assert await stock(shire, key) == AHEAD.high
    left = await presignatures_left(shire, key)
    assert sorted(left.values()) == [0, AHEAD.high, AHEAD.high]
    await check_nothing_is_left(shire)


async def test_nothing_is_made_ahead_when_the_low_mark_is_zero(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key)
    assert await begun(shire, low=0) == []
    assert await begun(shire) == []
    assert await begun(shire, low=1) == [AHEAD.high]


async def test_a_pool_that_is_not_used_any_more_is_not_filled(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key)
    await shire.pools.note_used()
    shire.clock.offset_ms += int(AHEAD.idle_seconds * 1000) + 1
    assert await begun(shire) == []
    shire.clock.offset_ms -= 2_000
    assert await begun(shire) == [AHEAD.high]


async def test_a_warm_signature_keeps_its_pool_in_use(shire: World) -> None:
    key = await stocked(shire)
    shire.clock.offset_ms += 40_000  # when the request below is not late yet
    assert await begun(shire, low=5, high=5, idle_seconds=30) == []
    await sign(shire, key)
    await look(shire)
    assert await stock(shire, key) == 5


async def test_nothing_is_made_ahead_with_a_silent_party(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    limited(shire)
    await shire.pools.tend()
    assert sent(shire, "presign_batch")[2:] == []
    await shire.liveness.seen("party-1")
    await shire.liveness.seen("party-3")
    await shire.pools.tend()
    assert sent(shire, "presign_batch")[2:] == []
    await shire.liveness.seen("party-2")
    await shire.pools.tend()
    assert len(sent(shire, "presign_batch")[2:]) == 2


@pytest.mark.parametrize("limit", ["per_key", "in_all"])
async def test_nothing_is_made_ahead_beyond_a_limit(shire: World, limit: str) -> None:
    key = await stocked(shire, signers=FIRST)
    await sign(shire, key, signers=OTHER)
    assert await begun(shire, **{limit: AHEAD.high}) == []
    assert await begun(shire, **{limit: AHEAD.high + 1}) == [AHEAD.high]


async def test_the_limit_of_one_key_is_not_anothers(shire: World) -> None:
    await stocked(shire, signers=FIRST)
    other = await make_key(shire)
    await sign(shire, other, signers=FIRST)
    assert await begun(shire, per_key=AHEAD.high) == [AHEAD.high]


async def test_what_is_in_the_making_counts(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key)
    assert await begun(shire) == [AHEAD.high]
    assert await begun(shire) == [AHEAD.high]
    assert await begun(shire, in_all=AHEAD.high) == [AHEAD.high]


async def test_so_many_batches_are_in_the_making_for_a_pool_and_in_all(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    assert await begun(shire, low=9, high=9, batch=2, batches_per_pool=3) == [6]
    assert await begun(shire, batches_per_pool=4, batches=4) == [8]
    assert await begun(shire, batches_per_pool=9, batches=4) == [8]


async def test_those_who_wait_are_served_before_anything_is_made_ahead(shire: World) -> None:
    ahead, wanted = await make_key(shire), await make_key(shire)
    await sign(shire, ahead)
    limited(shire, batches=1, batch=1)
    await everyone_is_alive(shire)
    requests = [ecdsa_request(shire, wanted) for _ in range(3)]
    for request in requests:
        await shire.ask(request)
    for request in requests:
        await shire.run()
        check_success(shire, request, wanted)
        assert await stock(shire, ahead) == 0
        await shire.pools.tend()
    await shire.run()
    assert await stock(shire, ahead) + await stock(shire, wanted) == 1


async def test_a_waiting_request_is_served_beyond_the_limits_of_what_is_made_ahead(
    shire: World,
) -> None:
    key = await make_key(shire)
    limited(shire, per_key=0, in_all=0)
    await sign(shire, key)


@pytest.mark.parametrize("error", [FullError("full"), UnroutableError("missing")])
async def test_a_party_whose_queue_takes_no_more_does_not_hold_up_the_other_pools(
    shire: World, error: Exception
) -> None:
    keys = [await make_key(shire) for _ in range(2)]
    for key, signers in zip(keys, (OTHER, FIRST), strict=True):
        await sign(shire, key, signers=signers)
    await everyone_is_alive(shire)

    network: Any = shire.network
    ordinary = network.publish

    async def publish(message: Outgoing) -> None:
        if message.routing_key == "party-3":
            raise error
        await ordinary(message)

    network.publish = publish
    await shire.pools.tend()
    network.publish = ordinary
    await shire.run()
    assert await stock(shire, keys[1]) == AHEAD.high
    assert await stock(shire, keys[0]) == 0


###
### Those who wait
###


async def waiting(shire: World) -> tuple[CertifiedKey, Any, bytes]:
    key = await make_key(shire)
    request = ecdsa_request(shire, key)
    await shire.ask(request)
    shire.network.waiting.clear()
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    (pool,) = await pools_of(shire, key)
    assert pool.waiting == 1
    return key, request, known.session_id


async def test_a_request_that_is_cancelled_waits_no_more(shire: World) -> None:
    key, request, _ = await waiting(shire)
    now = now_ms()
    cancel = CancelRequest(
        request_id="cancel-it",
        client_id=CLIENT,
        signer=shire.client.public.der,
        issued_at=now,
        expires_at=now + 10_000,
        reply_to=f"mpc.mpc_cancel_result.{CLIENT}.cancel-it",
        target=request.request_id,
    )
    await shire.submit(sign_request(cancel, shire.client))
    assert only_result(shire, request).status is Status.CANCELLED
    (pool,) = await pools_of(shire, key)
    assert pool.waiting == 0


async def test_a_request_whose_time_runs_out_while_it_waits_blames_nobody(shire: World) -> None:
    key, request, session_id = await waiting(shire)
    assert await shire.coordinator_store.overdue(request.expires_at + 1, 1) != []
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
    bodies = {message.body for message in sent(shire, "session_created")}
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
            shire.reports.broadcast(message.body)
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
