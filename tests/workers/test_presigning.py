"""ECDSA through real handlers and stores, when all goes well: on demand, warm, lists, lanes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from contracts import addresses, sessions
from contracts.errors import ContractError
from contracts.failures import FailureCode
from tests.workers.ecdsa import (
    AHEAD,
    DIGEST,
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
from tests.workers.simulate import World, world
from workers.delivery.deliveries import Delivery
from workers.session.coordinator.choice import members_of
from workers.store.records import Outgoing, PoolRecord

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
async def shire(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """For sessions that end well; each test has a key of its own."""
    async with world(tmp_path_factory.mktemp("shire")) as made:
        yield made
        assert made.dead == []
        await check_nothing_is_left(made)


@pytest.fixture
async def ready(tmp_path: Path) -> AsyncIterator[World]:
    """One that makes presignatures ahead."""
    async with world(tmp_path, pool_limits=AHEAD) as made:
        yield made
        assert made.dead == []
        await check_nothing_is_left(made)


def exchanges(world: World, *kinds: str) -> set[str]:
    return {message.exchange for message in sent(world, *kinds)}


###
### Cold
###


@pytest.mark.parametrize("seed", range(4))
async def test_a_digest_is_signed_with_a_presignature_made_on_demand(
    shire: World, seed: int
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, derivation_path="m/44/60/0/0/7")
    await shire.ask(request)
    await shire.run(Random(seed), doubled=0.3)
    check_success(shire, request, key)
    assert set((await presignatures_left(shire, key)).values()) == {0}


async def test_a_list_is_one_session_with_its_signatures_in_order(shire: World) -> None:
    key = await make_key(shire)
    items = [
        {"message": bytes([i]) * 32, "derivation_path": path}
        for i, path in enumerate(["m/0", None, "m/44/60/0/0/7"])
    ]
    before = len(sent(shire, "session_created"))
    result = await sign(shire, key, items=items)
    assert result.items is not None
    assert [(each.message, each.derivation_path) for each in result.items] == [
        (each["message"], each["derivation_path"]) for each in items
    ]
    assert len({each.public_key for each in result.items}) == 3
    assert len(sent(shire, "session_created")) - before == 2
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.waiting, pool.making) == (0, 0, 0)


async def test_a_request_is_signed_by_whom_it_names(shire: World) -> None:
    key = await make_key(shire)
    for pair in (["party-1", "party-3"], ["party-2", "party-3"], ["party-1", "party-2"]):
        result = await sign(shire, key, signers=pair)
        assert result.signers == pair
    assert {pool.name.signers for pool in await pools_of(shire, key)} == {"1,3", "2,3", "1,2"}


async def test_three_of_five_sign(tmp_path: Path) -> None:
    async with world(tmp_path, party_count=5) as made:
        key = await make_key(made, threshold=3)
        result = await sign(made, key, signers=["party-1", "party-3", "party-5"])
        assert result.signers == ["party-1", "party-3", "party-5"]
        left = await presignatures_left(made, key)
        assert set(left.values()) == {0}


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    limits = AHEAD.model_copy(update={"low": 0, "high": 0, "batches_per_pool": 1})
    async with world(tmp_path, pool_limits=limits) as made:
        key = await make_key(made)
        requests = [ecdsa_request(made, key, message=bytes([i]) * 32) for i in range(5)]
        for request in requests:
            await made.ask(request)
        assert len(sent(made, "presign_batch")) == 2  # for the first one
        await made.run()
        for request in requests:
            check_success(made, request, key)
        asked = [request.request_id for request in requests]
        assert [each.request_id for each in made.results()[-5:]] == asked
        # And for all the others together, as soon as that was made.
        batches = [each.body for each in sent(made, "presign_batch")]
        counts = [
            sessions.PresignBatch.model_validate_json(body).terms.count
            for body in dict.fromkeys(batches)
        ]
        assert counts == [1, 4]
        await check_nothing_is_left(made)


async def test_nobody_overtakes_a_list_that_waits(ready: World) -> None:
    key = await stocked(ready, signers=["party-1", "party-2"])
    fields = {"signers": ["party-1", "party-2"]}
    items = [{"message": bytes([i]) * 32} for i in range(AHEAD.high + 1)]
    first = ecdsa_request(ready, key, items=items, **fields)
    second = ecdsa_request(ready, key, **fields)
    await ready.ask(first)
    await ready.ask(second)
    (pool,) = await pools_of(ready, key)
    assert (pool.stock, pool.waiting) == (AHEAD.high, AHEAD.high + 2)
    await ready.run()
    await look(ready)
    for request in (first, second):
        check_success(ready, request, key)
    assert [each.request_id for each in ready.results()[-2:]] == [
        first.request_id,
        second.request_id,
    ]


async def test_a_list_longer_than_a_batch_waits_for_several(tmp_path: Path) -> None:
    limits = AHEAD.model_copy(update={"low": 0, "high": 0, "batch": 2})
    async with world(tmp_path, pool_limits=limits) as made:
        key = await make_key(made)
        items = [{"message": bytes([i]) * 32} for i in range(5)]
        request = ecdsa_request(made, key, items=items)
        await made.ask(request)
        await made.run()
        await look(made)
        check_success(made, request, key)
        assert len(sent(made, "presign_batch")) == 2 * 3
        assert set((await presignatures_left(made, key)).values()) == {0}


async def test_an_ed25519_key_does_not_sign_ecdsa(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    wrong = shire.sign_request(key_id=request.key_id, scheme="ecdsa", message=DIGEST)
    await shire.ask(wrong)
    failed = only_result(shire, wrong)
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.INVALID_REQUEST


async def test_a_request_that_waits_and_comes_again_waits_once(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key)
    signed = await shire.ask(request)
    before = len(shire.network.sent)
    await shire.submit(signed)
    assert shire.network.sent[before:] == []
    (pool,) = await pools_of(shire, key)
    assert (pool.waiting, pool.making) == (1, 1)
    await shire.run()
    await shire.submit(signed)
    check_success(shire, request, key)


###
### Warm
###


async def test_a_warm_signature_takes_six_messages_and_none_to_presign(ready: World) -> None:
    key = await stocked(ready)
    for left in (AHEAD.high - 1, AHEAD.high - 2):
        before = len(ready.network.sent)
        await sign(ready, key)
        kinds = [message.kind for message in ready.network.sent[before:]]
        assert kinds == ["session_created"] * 2 + ["share_signed"] * 2 + ["sign"]
        (pool,) = await pools_of(ready, key)
        assert pool.stock == left


async def test_a_warm_list_takes_six_messages_too(ready: World) -> None:
    key = await stocked(ready)
    before = len(ready.network.sent)
    await sign(ready, key, items=[{"message": bytes([i]) * 32} for i in range(AHEAD.high)])
    assert len(ready.network.sent) - before == 5
    left = await presignatures_left(ready, key)
    assert set(left.values()) == {0}


async def test_what_is_in_stock_serves_other_signers_when_the_home_set_has_none(
    shire: World,
) -> None:
    key = await make_key(shire)
    for party_id in shire.identities:
        await shire.liveness.seen(party_id)
    home = (await sign(shire, key)).signers
    other = ["party-1", "party-2"] if home != ["party-1", "party-2"] else ["party-2", "party-3"]
    await sign(shire, key, signers=other)
    (pool,) = [each for each in await pools_of(shire, key) if named(each) == other]
    assert await shire.pools._begin(pool.name, members_of(key.facts, pool.name.signers), 1)
    await shire.run()
    shire.pools._note_stocked(await pools_of(shire, key))
    before = len(sent(shire, "presign_batch"))
    assert (await sign(shire, key)).signers == other
    assert (await sign(shire, key)).signers == home
    assert len(sent(shire, "presign_batch")) == before + 2


def named(pool: PoolRecord) -> list[str]:
    return [f"party-{index}" for index in pool.name.signers.split(",")]


###
### Lanes
###


def presigns(message: Outgoing) -> bool:
    return message.kind.startswith("presign_batch") or message.kind.startswith("presign/")


async def test_presigning_has_its_own_way_to_a_party_and_nothing_else_goes_there(
    shire: World,
) -> None:
    await sign(shire, await make_key(shire))
    for message in shire.network.sent:
        assert (message.exchange == addresses.PRESIGNING) == presigns(message), message.kind
    kinds = {message.kind for message in shire.network.sent if presigns(message)}
    assert kinds == {"presign_batch", "presign/1", "presign/2", "presign/3"}


@pytest.mark.parametrize("kind", ["presign_batch", "presign/1", "presign/2", "presign/3"])
async def test_the_inbox_takes_nothing_that_presigns(shire: World, kind: str) -> None:
    await sign(shire, await make_key(shire))
    message = sent(shire, kind)[-1]
    with pytest.raises(ContractError, match=f"{kind} came to the queue of warren.sessions"):
        await shire.parties[message.routing_key].handle(as_delivery(message))


@pytest.mark.parametrize("kind", ["session_created", "session_cancelled", "keygen/1"])
async def test_the_presigning_queue_takes_nothing_else(shire: World, kind: str) -> None:
    await make_key(shire)
    message = Outgoing(
        exchange=addresses.PRESIGNING,
        routing_key="party-1",
        kind=kind,
        content_type="",
        message_id="",
        body=b"",
    )
    with pytest.raises(ContractError, match=f"{kind} came to the queue of warren.presigning"):
        await shire.parties["party-1"].handle_presigning(as_delivery(message))


def as_delivery(message: Outgoing) -> Delivery:
    return Delivery(
        queue="",
        kind=message.kind,
        body=message.body,
        headers=message.headers,
        routing_key=message.routing_key,
        message_id=message.message_id,
        attempts=0,
    )
