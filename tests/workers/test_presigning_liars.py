"""Presigning with a party that lies: who is named, who is banned, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.failures import FailureCode
from tests.workers.ecdsa import (
    AHEAD,
    check_failure,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    forged,
    look,
    make_key,
    nobody_has_any,
    pools_of,
    sender,
    sent,
    sign,
    swapped,
)
from tests.workers.simulate import World, world
from tests.workers.tries import presigned_by
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

FIRST = ["party-1", "party-2"]
LIAR = "party-2"
MATRIX, PRODUCT = 2, 3
"""The round in which a lie is told."""


###
### Liars
###


def lie(truth: bytes, _: Any) -> bytes:
    """All of it, but for one bit in the last byte: that of a matrix or of a product."""
    return truth[:-1] + bytes([truth[-1] ^ 1])


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the liar lie from now on in a round, properly sealed."""

    return lambda round_: presigned_by(monkeypatch, LIAR, lie, {round_})


@pytest.mark.parametrize(
    ("round_", "check"), [(MATRIX, "OT-extension consistency"), (PRODUCT, "multiplier")]
)
async def test_a_liar_is_named_to_those_who_wait_and_is_banned(
    shire: World, lies: Callable[[int], None], round_: int, check: str
) -> None:
    key = await make_key(shire)
    lies(round_)
    requests = [ecdsa_request(shire, key, signers=FIRST) for _ in range(2)]
    for request in requests:
        await shire.ask(request)
    await shire.run()
    for request in requests:
        failure = check_failure(shire, request)
        assert failure.code in {FailureCode.PARTY_FAULT, FailureCode.PARTY_REFUSED}
        assert failure.culprits == [LIAR]
        assert failure.retryable
    first = check_failure(shire, requests[0])
    assert (
        first.message == f"party-1 reports of the presignatures: {LIAR} failed the check {check!r}"
    )
    (ban,) = await shire.party_stores["party-1"].bans()
    assert (ban.party_id, ban.check) == (LIAR, check)
    assert await shire.party_stores[LIAR].bans() == []
    assert await nobody_has_any(shire, key)
    await check_nothing_is_left(shire)
    assert shire.dead == []


async def test_what_the_liar_made_itself_is_deleted_with_the_batch(
    shire: World, lies: Callable[[int], None]
) -> None:
    key = await make_key(shire)
    lies(PRODUCT)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run(dropped=lambda message: message.kind == "session_cancelled")
    store = shire.party_stores[LIAR]
    batch = bytes.fromhex(sent(shire, "presign_batch")[0].headers["session_id"])
    farewell = next(
        message
        for message in sent(shire, "session_cancelled")
        if message.routing_key == LIAR and message.headers["session_id"] == batch.hex()
    )
    session = await store.session(batch)
    assert session is not None
    assert session.status == "completed"
    material = await store.signing_material(
        b"", key_session=key.facts.session_id, epoch=0, presignatures=[(batch, 0)]
    )
    assert material.presignatures[0] is not None
    await shire.deliver(farewell)
    assert await nobody_has_any(shire, key)


async def test_the_next_request_goes_to_a_signer_set_without_the_quarrel(
    shire: World, lies: Callable[[int], None]
) -> None:
    key = await make_key(shire)
    lies(PRODUCT)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run()
    await shire.ask(ecdsa_request(shire, key, signers=[LIAR, "party-3"]))
    await shire.run()
    assert shire.pools.quarrels == {frozenset(FIRST), frozenset([LIAR, "party-3"])}
    for _ in range(2):
        assert (await sign(shire, key)).signers == ["party-1", "party-3"]


async def test_a_party_refuses_a_batch_with_whom_it_has_banned_and_the_quarrel_lives_on(
    shire: World, lies: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    lies(PRODUCT)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run()
    monkeypatch.undo()
    # So long ago that the coordinator has forgotten.
    shire.pools._quarrels = frozenset()
    shire.clock.offset_ms = 20_000
    before = now = shire.clock()
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run()
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_REFUSED
    assert failure.culprits == [LIAR]
    assert "party-1 reports of the presignatures: we make no presignatures with" in failure.message
    assert frozenset(FIRST) in shire.pools.quarrels
    (quarrel,) = await shire.coordinator_store.quarrels(before)
    assert (quarrel.accuser, quarrel.accused) == ("party-1", LIAR)
    assert quarrel.at >= now
    await check_nothing_is_left(shire)

    assert await shire.party_stores["party-1"].lift_ban(LIAR)
    await sign(shire, key, signers=FIRST)


async def test_nothing_is_made_ahead_for_signers_with_a_quarrel(
    tmp_path: Path, lies: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await make_key(shire)
        await sign(shire, key, signers=FIRST)
        lies(PRODUCT)
        await look(shire)
        assert len(await shire.party_stores["party-1"].bans()) == 1
        monkeypatch.undo()
        before = len(sent(shire, "presign_batch"))
        await look(shire)
        assert sent(shire, "presign_batch")[before:] == []
        shire.clock.offset_ms = int(AHEAD.quarrel_seconds * 1000) + 1
        await shire.coordinator_store.use_pool(
            (await pools_of(shire, key))[0].name, "", "", shire.clock()
        )
        await look(shire)
        assert len(sent(shire, "presign_batch")) > before  # in case it was lifted
        assert await nobody_has_any(shire, key)


@pytest.mark.parametrize("round_", [1, 2, 3])
async def test_a_payload_that_does_not_open_costs_a_batch_and_no_request(
    shire: World, round_: int
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    spoilt: list[Outgoing] = []

    def spoil(message: Outgoing) -> Outgoing:
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        payload = claimed.payload[:-1] + bytes([claimed.payload[-1] ^ 1])
        spoilt.append(forged(shire, message, payload=payload))
        return spoilt[-1]

    await shire.run(
        dropped=swapped(
            shire,
            lambda m: m.kind == f"presign/{round_}" and sender(m) == LIAR and not spoilt,
            spoil,
        )
    )
    assert len(spoilt) == 1
    check_success(shire, request, key)
    assert len({message.body for message in sent(shire, "presign_batch")}) == 2
    assert await nobody_has_any(shire, key)
    await check_nothing_is_left(shire)
    for store in shire.party_stores.values():
        assert await store.bans() == []


async def test_two_messages_in_one_place_name_their_sender(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    twice: list[Outgoing] = []

    def remember(message: Outgoing) -> bool:
        if message.kind == "presign/1" and sender(message) == LIAR and not twice:
            twice.append(forged(shire, message, payload=b"something else"))
            shire.network.waiting.insert(0, twice[0])
        return False

    await shire.run(dropped=remember)
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_FAULT
    assert failure.culprits == [LIAR]
    assert await nobody_has_any(shire, key)


async def test_a_fault_that_told_nothing_names_its_sender_and_bans_nobody(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    presigned_by(monkeypatch, LIAR, lambda truth, _: truth[:-1])
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run()
    failure = check_failure(shire, request)
    assert (failure.code, failure.culprits) == (FailureCode.PARTY_FAULT, [LIAR])
    assert await shire.party_stores["party-1"].bans() == []
    (quarrel,) = await shire.coordinator_store.quarrels(0)
    assert (quarrel.accuser, quarrel.accused) == ("party-1", LIAR)
    assert await nobody_has_any(shire, key)
