"""Batches of presignatures that come to nothing: reports that lie or do not fit, and silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.failures import Failure, FailureCode
from tests.workers.crew import party_worker
from tests.workers.ecdsa import (
    check_failure,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    forged,
    make_key,
    nobody_has_any,
    pools_of,
    sender,
    sent,
    sign,
    swapped,
)
from tests.workers.simulate import World
from workers.session.inbox import cause_of
from workers.settings import PartyLimits
from workers.store.records import KeyShareRecord, Outgoing

FIRST = ["party-1", "party-2"]
LIAR = "party-2"


###
### Reports
###


def as_made(shire: World, change: Callable[[list[bytes]], list[bytes]]) -> Any:
    """The liar's report of what it made, changed."""

    def make(message: Outgoing) -> Outgoing:
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        report = sessions.PresignaturesMade.model_validate_json(claimed.payload)
        wrong = report.model_copy(update={"points": change(report.points)})
        return forged(shire, message, payload=wrong.model_dump_json().encode())

    return make


def is_report(message: Outgoing) -> bool:
    return message.kind == "presignatures_made" and sender(message) == LIAR


async def test_signers_who_made_different_presignatures_have_made_none(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    lies = []

    def lie(points: list[bytes]) -> list[bytes]:
        lies.append(points)
        return [bytes([each[0] ^ 1]) + each[1:] for each in points]

    await shire.run(
        dropped=swapped(shire, lambda m: is_report(m) and not lies, as_made(shire, lie))
    )
    check_success(shire, request, key)
    assert len({message.body for message in sent(shire, "presign_batch")}) == 2
    assert await nobody_has_any(shire, key)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda points: points * 2, "2 presignatures, not 1"),
        (lambda points: [b"\2" + b"\xff" * 32], "point"),
    ],
)
async def test_a_report_that_does_not_fit_is_a_dead_letter(
    shire: World, change: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run(dropped=swapped(shire, is_report, as_made(shire, change)))
    ((_, told),) = shire.dead
    assert reason in told
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.making, pool.waiting) == (0, 1, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epoch": 1}, "epoch 1 in a session of 0"),
        ({"sender": "party-3"}, "party-3 takes no part in this session"),
        (
            {
                "kind": "party_joined",
                "payload": sessions.PartyJoined().model_dump_json().encode(),
            },
            "party_joined in a session to presign",
        ),
    ],
)
async def test_a_report_out_of_place_is_a_dead_letter(
    shire: World, changes: dict[str, Any], reason: str
) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run(dropped=swapped(shire, is_report, lambda m: forged(shire, m, **changes)))
    ((_, told),) = shire.dead
    assert reason in told
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.making, pool.waiting) == (0, 1, 1)


async def test_a_second_and_different_report_names_its_sender(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.kind == "presignatures_made" and sender(m) != LIAR)
    (report,) = [message for message in sent(shire, "presignatures_made") if is_report(message)]
    flipped = as_made(shire, lambda points: [bytes([p[0] ^ 1]) + p[1:] for p in points])
    await shire.deliver(flipped(report))
    await shire.run()
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_FAULT
    assert failure.culprits == [LIAR]
    assert await nobody_has_any(shire, key)


async def test_what_a_party_says_of_strangers_or_itself_is_not_passed_on(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    slander = sessions.SessionFailed(
        failure=Failure.of(
            FailureCode.PARTY_FAULT,
            "they did it",
            culprits=["party-1", "party-2", "party-3"],
            silent=["party-3"],
        ),
    )

    def accuse(message: Outgoing) -> Outgoing:
        payload = slander.model_dump_json().encode()
        return forged(shire, message, kind="session_failed", payload=payload)

    await shire.run(dropped=swapped(shire, is_report, accuse))
    failure = check_failure(shire, request)
    assert (failure.culprits, failure.silent) == (["party-1"], [])
    (quarrel,) = await shire.coordinator_store.quarrels(0)
    assert (quarrel.accuser, quarrel.accused) == (LIAR, "party-1")


###
### Silence
###


async def expire(world: World, *party_ids: str) -> None:
    """The batch's time is over, for these parties and then for the coordinator."""
    batches = {bytes.fromhex(each.headers["session_id"]) for each in sent(world, "presign_batch")}
    world.clock.offset_ms += int(world.pool_limits.batch_seconds * 1000) + 1_000
    for party_id in party_ids:
        for batch in await world.party_stores[party_id].overdue(world.clock(), 10):
            await world.parties[party_id].expire(batch)
    await world.run()
    for session_id in await world.coordinator_store.overdue(world.clock(), 10):
        if session_id in batches:
            await world.outlive(session_id)
            await world.reports.expire(session_id)
    await world.run()


@pytest.mark.parametrize("round_", [1, 2, 3])
async def test_a_party_that_falls_silent_is_named_to_those_who_wait(
    shire: World, round_: int
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.kind == f"presign/{round_}" and sender(m) == LIAR)
    if round_ == 3:  # the silent one itself is done, and says so
        assert len(sent(shire, "presignatures_made")) == 1
    await expire(shire, "party-1")
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.EXPIRED
    assert failure.silent == [LIAR]
    assert failure.retryable
    assert await nobody_has_any(shire, key)
    await check_nothing_is_left(shire)
    assert (await sign(shire, key, signers=FIRST)).signers == FIRST


async def test_a_silent_partys_batch_is_waited_for_no_longer_than_its_time(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.routing_key == LIAR)
    early = shire.clock() + int(shire.pool_limits.batch_seconds * 1000) - 5_000
    assert await shire.coordinator_store.overdue(early, 10) == []
    assert await shire.party_stores["party-1"].overdue(early, 10) == []
    await expire(shire, "party-1")
    assert check_failure(shire, request).silent == [LIAR]


async def test_a_request_that_names_nobody_avoids_the_silent(shire: World) -> None:
    key = await make_key(shire)
    for absent in shire.identities:
        for party_id in shire.identities:
            last = 0 if party_id == absent else shire.clock()
            shire.liveness._last_seen[party_id] = last
        result = await sign(shire, key)
        assert result.signers == [each for each in shire.identities if each != absent]


async def test_a_party_waits_no_longer_than_it_is_willing_to(shire: World) -> None:
    limits = PartyLimits(session_seconds=5)
    shire.parties["party-1"] = party_worker(shire, "party-1", limits=limits)
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=FIRST))
    await shire.run(dropped=lambda m: m.routing_key == LIAR)
    assert len(await shire.party_stores["party-1"].overdue(shire.clock() + 6_000, 10)) == 1


async def test_a_share_that_is_usable_no_more_ends_the_batch(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run(dropped=lambda m: m.kind == "presign/1" and m.routing_key == LIAR)
    store = shire.party_stores[LIAR]
    share = await store.key_share(key.facts.session_id, 0)
    assert share is not None
    inactive = replace(share, active=False)

    async def key_share(*_: Any) -> KeyShareRecord:
        return inactive

    monkeypatch.setattr(store, "key_share", key_share)
    (message,) = [m for m in sent(shire, "presign/1") if m.routing_key == LIAR]
    await shire.deliver(message)
    await shire.run()
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_REFUSED
    assert "the share of the key is gone" in failure.message
    assert await nobody_has_any(shire, key)


async def test_what_was_said_in_a_batch_that_is_done_is_forgotten(shire: World) -> None:
    key = await make_key(shire)
    await sign(shire, key, signers=FIRST)
    store = shire.party_stores["party-1"]
    for message in shire.network.sent:
        if message.exchange == addresses.PRESIGNING and message.routing_key == "party-1":
            batch = bytes.fromhex(message.headers["session_id"])
            if message.kind == "presign_batch":
                assert await store.outgoing(batch, message.kind) == ()
                continue
            claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
            left = await store.outgoing(batch, cause_of(claimed))
            assert [each.kind for each in left] in ([], ["presignatures_made"])


async def test_a_message_of_another_protocol_has_no_place_in_a_session(shire: World) -> None:
    await shire.ask(shire.keygen_request())
    await shire.run(dropped=lambda message: message.kind == "keygen/1")
    message = next(m for m in sent(shire, "keygen/1") if m.routing_key == "party-1")
    stray = forged(shire, message, kind="presign", round=1, recipient="party-1")
    await shire.deliver(replace(stray, exchange=addresses.PRESIGNING, kind="presign/1"))
    ((_, told),) = shire.dead
    assert told == "'presign/1' in a session to keygen"
    session = await shire.party_stores["party-1"].session(
        bytes.fromhex(message.headers["session_id"])
    )
    assert session is not None
    assert session.received == ()
