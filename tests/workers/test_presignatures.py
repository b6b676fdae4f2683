"""Presignatures that were lost, forgotten, or asked for twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import sessions
from contracts.failures import FailureCode
from tests.workers.crew import party_worker
from tests.workers.ecdsa import (
    AHEAD,
    WatchedStore,
    check_failure,
    check_nothing_is_left,
    ecdsa_request,
    look,
    make_key,
    pools_of,
    sent,
    sign,
    stocked,
    swapped,
)
from tests.workers.simulate import World, world
from workers.session.sending import instruction
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

FIRST = ["party-1", "party-2"]
LIAR = "party-2"


async def test_a_party_that_lost_its_presignatures_costs_one_request(tmp_path: Path) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await stocked(shire, signers=FIRST)
        lost = await shire.party_stores[LIAR].trim_presignatures(
            key.facts.session_id, 0, keep=0, keep_in_all=100
        )
        assert lost == AHEAD.high
        refused = ecdsa_request(shire, key, signers=FIRST)
        await shire.ask(refused)
        await shire.run()
        failure = check_failure(shire, refused)
        assert failure.code is FailureCode.PARTY_REFUSED
        assert failure.retryable
        assert "party-2 reports: a presignature was used before" in failure.message
        (pool,) = await pools_of(shire, key)
        assert pool.stock == 0
        for _ in range(2):
            await sign(shire, key, signers=FIRST)
        await look(shire)
        await sign(shire, key, signers=FIRST)
        await check_nothing_is_left(shire)


async def test_other_pools_are_not_forgotten_with_the_one_that_was_lost(tmp_path: Path) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await stocked(shire, signers=FIRST)
        await sign(shire, key, signers=["party-1", "party-3"])
        await look(shire)
        await shire.party_stores[LIAR].trim_presignatures(
            key.facts.session_id, 0, keep=0, keep_in_all=100
        )
        await shire.ask(ecdsa_request(shire, key, signers=FIRST))
        await shire.run()
        stock = {pool.name.signers: pool.stock for pool in await pools_of(shire, key)}
        assert stock == {"1,2": 0, "1,3": AHEAD.high}


async def two_that_name_one_presignature(shire: World) -> tuple[WatchedStore, list[Outgoing]]:
    """Instructions to party-1 by a coordinator that hands a presignature out twice."""
    key = await stocked(shire, signers=FIRST)
    watched = WatchedStore(shire.party_stores["party-1"])
    shire.parties["party-1"] = party_worker(shire, "party-1", store=watched)
    for number in (1, 2):
        await shire.ask(ecdsa_request(shire, key, signers=FIRST, message=bytes([number]) * 32))
    created = [m for m in shire.network.waiting if m.kind == "session_created"]
    shire.network.waiting.clear()
    first, second = [m for m in created if m.routing_key == "party-1"]
    body = json.loads(second.body)
    body["presignatures"] = json.loads(first.body)["presignatures"]
    return watched, [first, replace(second, body=json.dumps(body).encode())]


@pytest.mark.parametrize("together", [False, True])
async def test_a_presignature_answers_one_session_only(tmp_path: Path, together: bool) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        watched, instructions = await two_that_name_one_presignature(shire)
        before = len(shire.network.sent)
        if together:
            await asyncio.gather(*map(shire.deliver, instructions))
        else:
            for instruction in instructions:
                await shire.deliver(instruction)
        kinds = sorted(message.kind for message in shire.network.sent[before:])
        assert kinds == ["session_failed", "share_signed"]
        assert len(watched.answers) == 1
        # Come again, each gets the same answer again.
        for instruction in instructions:
            await shire.deliver(instruction)
        again = {message.body for message in shire.network.sent[before:]}
        assert len(again) == 2
        assert len(watched.answers) == 1
        assert shire.dead == []


async def test_a_presignature_is_not_named_twice_in_one_session(tmp_path: Path) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await stocked(shire, signers=FIRST)
        items = [{"message": bytes([i]) * 32} for i in range(2)]
        request = ecdsa_request(shire, key, signers=FIRST, items=items)
        await shire.ask(request)

        def twice(message: Outgoing) -> Outgoing:
            body = json.loads(message.body)
            (used,) = body["presignatures"]
            used["positions"] = [used["positions"][0]] * 2
            return replace(message, body=json.dumps(body).encode(), message_id="forged")

        await shire.run(dropped=swapped(shire, lambda m: m.kind == "session_created", twice))
        failure = check_failure(shire, request)
        assert failure.code is FailureCode.PARTY_REFUSED
        assert "a presignature signs once" in failure.message


async def test_a_batch_that_a_party_has_forgotten_is_not_made_again(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    batch = next(m for m in sent(shire, "presign_batch") if m.routing_key == "party-1")
    store = shire.party_stores["party-1"]
    assert await store.purge(ended_before=10**15) > 0
    shire.clock.offset_ms = 900_000
    before = len(shire.network.sent)
    await shire.deliver(batch)
    ((_, reason),) = shire.dead
    assert "the instruction is too old" in reason
    assert shire.network.sent[before:] == []
    # The coordinator says anew what it said then.
    said = json.loads(batch.body) | {"issued_at": shire.clock()}
    await shire.deliver(replace(batch, body=json.dumps(said).encode()))
    assert [message.kind for message in shire.network.sent[before:]] == ["session_failed"]
    shire.dead.clear()


async def test_a_batch_that_comes_after_its_end_begins_nothing(shire: World) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    batches = [m for m in shire.network.waiting if m.kind == "presign_batch"]
    shire.network.waiting.clear()
    session_id = bytes.fromhex(batches[0].headers["session_id"])
    over = sessions.SessionCancelled(session_id=session_id, issued_at=shire.clock())
    store = shire.party_stores[batches[0].routing_key]
    await shire.deliver(instruction(over, batches[0].routing_key, session_id))
    before = len(shire.network.sent)
    await shire.deliver(batches[0])
    assert shire.network.sent[before:] == []
    session = await store.session(bytes.fromhex(batches[0].headers["session_id"]))
    assert session is not None
    assert session.status == "cancelled"
