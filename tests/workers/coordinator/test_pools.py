"""The coordinator's pools: what is made ahead, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.crew import party_worker
from tests.workers.ecdsa import (
    AHEAD,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    limited,
    look,
    make_key,
    pools_of,
    presignatures_left,
    sent,
    sign,
    stock,
    stocked,
)
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive
from workers.delivery.publisher import FullError, UnroutableError
from workers.session.coordinator.choice import members_of
from workers.settings import PartyLimits
from workers.store.records import Outgoing

FIRST = ["party-1", "party-2"]
OTHER = ["party-2", "party-3"]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, pool_limits=AHEAD) as made:
        yield made
        assert made.dead == []


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


@pytest.mark.parametrize("limit", ["per_key", "in_all"])
async def test_what_lies_in_a_pool_that_nobody_uses_any_more_counts(
    shire: World, limit: str
) -> None:
    key = await stocked(shire, signers=FIRST)
    shire.clock.offset_ms += 40_000  # when the request below is not late yet
    await sign(shire, key, signers=OTHER)
    assert await begun(shire, idle_seconds=30, **{limit: AHEAD.high}) == []
    assert await begun(shire, idle_seconds=30, **{limit: AHEAD.high + 1}) == [AHEAD.high]


async def test_signers_who_do_not_live_leave_others_a_place(shire: World) -> None:
    key, healthy = await make_key(shire), await make_key(shire)
    limited(shire, batches=4, batches_per_pool=4, batch=1, low=0)
    for _ in range(4):
        await shire.ask(ecdsa_request(shire, key, signers=OTHER))
    (pool,) = await pools_of(shire, key)
    assert (pool.waiting, pool.making) == (4, 2)
    for party_id in FIRST:
        await shire.liveness.seen(party_id)
    for _ in range(4):
        await shire.ask(ecdsa_request(shire, healthy, signers=FIRST))
    (pool,) = await pools_of(shire, healthy)
    assert (pool.waiting, pool.making) == (4, 2)


async def test_signers_who_live_may_have_every_place(shire: World) -> None:
    key = await make_key(shire)
    limited(shire, batches=4, batches_per_pool=4, batch=1, low=0)
    await everyone_is_alive(shire)
    for _ in range(5):
        await shire.ask(ecdsa_request(shire, key, signers=OTHER))
    (pool,) = await pools_of(shire, key)
    assert (pool.waiting, pool.making) == (5, 4)


async def test_the_only_place_is_for_everybody(shire: World) -> None:
    key = await make_key(shire)
    limited(shire, batches=1)
    await sign(shire, key)


async def test_the_limit_of_one_key_is_not_anothers(shire: World) -> None:
    await stocked(shire, signers=FIRST)
    other = await make_key(shire)
    await sign(shire, other, signers=FIRST)
    assert await begun(shire, per_key=AHEAD.high) == [AHEAD.high]


async def test_what_is_in_the_making_counts(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    assert await begun(shire) == [AHEAD.high]
    assert await begun(shire) == [AHEAD.high]
    await shire.ask(ecdsa_request(shire, key, signers=OTHER))
    await shire.run()
    for limit in ("per_key", "in_all"):
        before = dict.fromkeys(("per_key", "in_all"), 1024)
        assert await begun(shire, **before | {limit: AHEAD.high}) == [AHEAD.high]
    assert await begun(shire, per_key=1024, in_all=1024) == [AHEAD.high] * 2


async def test_so_many_batches_are_in_the_making_for_a_pool_and_in_all(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    assert await begun(shire, low=9, high=9, batch=2, batches_per_pool=3) == [6]
    assert await begun(shire, batches_per_pool=4, batches=4) == [8]
    assert await begun(shire, batches_per_pool=9, batches=4) == [8]


async def test_those_who_wait_are_served_before_anything_is_made_ahead(shire: World) -> None:
    ahead, wanted = await make_key(shire), await make_key(shire)
    limited(shire, batches=0)
    requests = [ecdsa_request(shire, wanted) for _ in range(3)]
    for request in requests:
        await shire.ask(request)
    limited(shire, batches=1, batch=1)
    # Used after it, so that nothing but its need puts the other one first.
    shire.pools.use(ahead.facts, members_of(ahead.facts, "1,2"))
    await everyone_is_alive(shire)
    await shire.pools.tend()
    await shire.run()
    for request in requests:
        check_success(shire, request, wanted)
    assert await stock(shire, ahead) == 0
    await look(shire)
    assert await stock(shire, ahead) + await stock(shire, wanted) == 1


@pytest.mark.parametrize(
    ("waiting", "limits", "expected"),
    [
        (1, {}, 1),
        (2, {}, 2 + AHEAD.high),
        (2, {"low": 0}, 2),
        (2, {"per_key": 0}, 2),
        (2, {"in_all": 0}, 2),
    ],
)
async def test_where_several_wait_more_is_made_than_they_want(
    shire: World, waiting: int, limits: dict[str, int], expected: int
) -> None:
    key = await make_key(shire)
    limited(shire, batches=0)
    for _ in range(waiting):
        await shire.ask(ecdsa_request(shire, key))
    assert await begun(shire, batches=4, **limits) == [expected]


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


async def test_nothing_is_made_ahead_while_somebody_waits(shire: World) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    await shire.ask(ecdsa_request(shire, key))
    await shire.pools.tend()
    (pool,) = await pools_of(shire, key)
    assert (pool.waiting, pool.making) == (1, 1)


async def test_a_look_is_no_use_of_a_pool(shire: World) -> None:
    key = await stocked(shire)
    (before,) = await pools_of(shire, key)
    shire.clock.offset_ms += 5_000
    await look(shire)
    assert await pools_of(shire, key) == [before]


async def test_a_party_keeps_so_many_of_a_key_and_the_oldest_go_first(shire: World) -> None:
    limits = PartyLimits().model_copy(update={"presignatures_per_key": 3})
    shire.parties["party-2"] = party_worker(shire, "party-2", limits=limits)
    key = await stocked(shire, signers=["party-1", "party-2"])
    left = await presignatures_left(shire, key)
    assert left == {"party-1": AHEAD.high, "party-2": 3, "party-3": 0}


async def test_a_party_keeps_so_many_of_all_keys(shire: World) -> None:
    limits = PartyLimits().model_copy(update={"presignatures": 5})
    shire.parties["party-2"] = party_worker(shire, "party-2", limits=limits)
    first, second = [await stocked(shire, signers=["party-1", "party-2"]) for _ in range(2)]
    assert (await presignatures_left(shire, first))["party-2"] == 1
    assert (await presignatures_left(shire, second))["party-2"] == AHEAD.high
