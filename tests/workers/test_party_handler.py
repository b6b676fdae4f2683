"""A party's handlers where sessions do not go as they should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.requests import KeygenRequest
from contracts.results import Status
from contracts.sessions import SessionCreated
from tests.workers.crew import party_worker
from tests.workers.doubles import FakePublisher
from tests.workers.simulate import World, world
from workers.consumers.publisher import PublishError
from workers.session.sending import instruction
from workers.settings import PartyLimits
from workers.store.records import Outgoing

ME = "party-1"


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def held_back(world: World, kind: str, **how: Any) -> list[Outgoing]:
    """Deliver everything but messages of this kind to us, which are returned."""
    kept: list[Outgoing] = []

    def hold(message: Outgoing) -> bool:
        if message.kind == kind and message.routing_key == ME:
            kept.append(message)
            return True
        return False

    await world.run(dropped=hold, **how)
    return kept


async def made_key(world: World) -> KeygenRequest:
    request = world.keygen_request()
    await world.ask(request)
    await world.run()
    assert world.results()[-1].status is Status.COMPLETED
    return request


async def signing_created(world: World, key_id: str) -> Outgoing:
    """An instruction to us to sign, held back."""
    signers = [ME, "party-2"]
    await world.ask(world.sign_request(key_id=key_id, signers=signers))
    (created,) = await held_back(world, "session_created")
    return created


def session_of(message: Outgoing) -> bytes:
    return bytes.fromhex(message.headers["session_id"])


def failures(sent: list[Outgoing]) -> list[str]:
    reports = [UnverifiedEnvelope.from_bytes(each.body).claimed for each in sent]
    return [
        sessions.SessionFailed.model_validate_json(each.payload).failure.message
        for each in reports
        if each.kind == "session_failed"
    ]


###
### Parking
###


async def early_messages(world: World, count: int) -> tuple[list[Outgoing], list[Outgoing]]:
    """Round 1 of several sessions that we have not heard of, and the instructions for them."""
    created, first = [], []
    for _ in range(count):
        await world.ask(world.keygen_request())
        kept: list[Outgoing] = []

        def hold(message: Outgoing, kept: list[Outgoing] = kept) -> bool:
            if message.routing_key == ME:
                kept.append(message)
            return message.routing_key == ME

        await world.run(dropped=hold)
        created += [message for message in kept if message.kind == "session_created"]
        first += [message for message in kept if message.kind == "keygen/1"]
    assert len(created) == count
    assert len(first) == 2 * count
    return created, first


def sender(message: Outgoing) -> str:
    return UnverifiedEnvelope.from_bytes(message.body).claimed.sender


async def test_a_sender_with_too_many_early_messages_is_refused_and_others_are_not(
    fresh: World,
) -> None:
    _, first = await early_messages(fresh, 3)
    fresh.parties[ME] = party_worker(fresh, ME, limits=PartyLimits(parked_messages=2))
    for message in sorted(first, key=sender):
        await fresh.deliver(message)
    assert [(sender(message), reason[:45]) for message, reason in fresh.dead] == [
        ("party-2", "party-2 has as many messages parked here as i"),
        ("party-3", "party-3 has as many messages parked here as i"),
    ]


async def test_the_bytes_of_early_messages_are_bounded_too(fresh: World) -> None:
    _, first = await early_messages(fresh, 2)
    mine = [message for message in first if sender(message) == "party-2"]
    fresh.parties[ME] = party_worker(
        fresh, ME, limits=PartyLimits(parked_bytes=len(mine[0].body) + 1)
    )
    for message in mine:
        await fresh.deliver(message)
    assert [message for message, _ in fresh.dead] == mine[1:]


async def test_an_early_message_come_again_takes_no_second_place(fresh: World) -> None:
    _, first = await early_messages(fresh, 2)
    mine = [message for message in first if sender(message) == "party-2"]
    fresh.parties[ME] = party_worker(fresh, ME, limits=PartyLimits(parked_messages=2))
    for message in [mine[0], mine[0], mine[0], mine[1]]:
        await fresh.deliver(message)
    assert not fresh.dead


async def test_early_messages_are_played_once(fresh: World) -> None:
    (created,), first = await early_messages(fresh, 1)
    for message in first:
        await fresh.deliver(message)
    before = len(fresh.network.sent)
    await fresh.deliver(created)
    played = fresh.network.sent[before:]
    # Joined, round 1 to two parties; and round 2 to both, since all of round 1 was there.
    assert [each.kind for each in played] == ["party_joined", *["keygen/1"] * 2, *["keygen/2"] * 2]
    assert await fresh.party_stores[ME].parked(session_of(created)) == []
    before = len(fresh.network.sent)
    await fresh.deliver(created)
    assert fresh.network.sent[before:] == played[:3]


async def test_parked_messages_are_played_again_when_the_broker_was_away(fresh: World) -> None:
    (created,), first = await early_messages(fresh, 1)
    for message in first:
        await fresh.deliver(message)

    class LosesRoundTwo(FakePublisher):
        async def publish_all(self, messages: Any) -> None:
            if any(message.kind == "keygen/2" for message in messages):
                raise PublishError("broker away")

    healthy = fresh.parties[ME]
    fresh.parties[ME] = party_worker(fresh, ME, network=LosesRoundTwo())
    with pytest.raises(PublishError):
        await fresh.deliver(created)
    fresh.parties[ME] = healthy
    before = len(fresh.network.sent)
    await fresh.deliver(created)
    assert [each.kind for each in fresh.network.sent[before:]].count("keygen/2") == 2
    assert await fresh.party_stores[ME].parked(session_of(created)) == []


async def test_parked_messages_of_a_session_that_is_refused_are_forgotten(fresh: World) -> None:
    (created,), first = await early_messages(fresh, 1)
    for message in first:
        await fresh.deliver(message)
    fresh.clock.offset_ms = 3_600_000
    await fresh.deliver(created)
    assert failures(fresh.network.sent[-1:]) == ["the request expired; is a clock wrong?"]
    assert await fresh.party_stores[ME].parked(session_of(created)) == []


###
### Coming again
###


async def test_a_signing_session_come_again_sends_the_same_bytes(fresh: World) -> None:
    key = await made_key(fresh)
    created = await signing_created(fresh, key.key_id)
    before = len(fresh.network.sent)
    for _ in range(3):
        await fresh.deliver(created)
    answers = fresh.network.sent[before:]
    assert len(answers) == 3
    assert {each.kind for each in answers} == {"share_signed"}
    assert len({each.body for each in answers}) == 1


def another_session(created: Outgoing) -> Outgoing:
    """The same request, members and commitments under another session id."""
    content = SessionCreated.model_validate_json(created.body)
    terms = content.terms.model_copy(update={"salt": b"\x07" * 32})
    copied = content.model_copy(update={"terms": terms, "session_id": terms.session_id()})
    return instruction(copied, ME, terms.session_id())


async def test_a_nonce_is_used_in_one_session_and_refused_in_the_next(fresh: World) -> None:
    key = await made_key(fresh)
    created = await signing_created(fresh, key.key_id)
    await fresh.deliver(created)
    before = len(fresh.network.sent)
    for _ in range(2):
        await fresh.deliver(another_session(created))
    answers = fresh.network.sent[before:]
    assert failures(answers) == ["the nonce was used before, or was never ours"] * 2
    assert len({each.body for each in answers}) == 1


async def test_of_two_sessions_that_race_for_a_nonce_at_two_workers_one_gets_it(
    fresh: World,
) -> None:
    key = await made_key(fresh)
    created = await signing_created(fresh, key.key_id)
    before = len(fresh.network.sent)

    async def at(message: Outgoing) -> None:
        worker = party_worker(fresh, ME)
        await worker.instruction(message.body)

    await asyncio.gather(at(created), at(another_session(created)))
    answers = fresh.network.sent[before:]
    assert sorted(each.kind for each in answers) == ["session_failed", "share_signed"]
    (reason,) = failures(answers)
    assert "nonce was used" in reason


async def test_a_batch_of_nonces_is_made_once(fresh: World) -> None:
    key = await made_key(fresh)
    await fresh.ask(fresh.sign_request(key_id=key.key_id, signers=[ME, "party-2"]))
    (wanted,) = await held_back(fresh, "nonces_wanted")
    before = len(fresh.network.sent)
    for _ in range(2):
        await fresh.deliver(wanted)
    await asyncio.gather(
        *(party_worker(fresh, ME).instruction(wanted.body) for _ in range(3)),
    )
    answers = fresh.network.sent[before:]
    assert {each.kind for each in answers} == {"nonces_made"}
    assert len(answers) == 5
    assert len({each.body for each in answers}) == 1


async def test_the_tightest_limit_on_nonces_leaves_those_just_made(fresh: World) -> None:
    key = await made_key(fresh)
    fresh.parties[ME] = party_worker(fresh, ME, limits=PartyLimits(nonces_per_key=1))
    for _ in range(4):
        await fresh.ask(fresh.sign_request(key_id=key.key_id, signers=[ME, "party-2"]))
        await fresh.run()
        assert fresh.results()[-1].status is Status.COMPLETED


async def test_a_key_share_is_never_made_twice_in_one_session(fresh: World) -> None:
    request = fresh.keygen_request()
    await fresh.ask(request)
    created = [message for message in fresh.network.waiting if message.kind == "session_created"]
    await fresh.run()
    before = {
        party_id: await store.key_share(session_of(created[0]), 0)
        for party_id, store in fresh.party_stores.items()
    }
    # Long after, as far as the stores remember sessions; somebody kept the instructions.
    for store in fresh.party_stores.values():
        assert await store.purge(ended_before=fresh.clock() + 1_000) > 0
    sent = len(fresh.network.sent)
    fresh.network.waiting += created
    await fresh.run()
    assert {each.kind for each in fresh.network.sent[sent:]} == {"session_failed"}
    for party_id, store in fresh.party_stores.items():
        assert await store.key_share(session_of(created[0]), 0) == before[party_id]


###
### Endings
###


async def expired(world: World, party: Any) -> bytes:
    """A session whose deadline passed here while the others were silent."""
    await world.ask(world.keygen_request())
    kept = [m for m in world.network.waiting if m.routing_key == ME]
    world.network.waiting.clear()
    await world.deliver(kept[0])
    world.clock.offset_ms = 120_000
    (session_id,) = await world.party_stores[ME].overdue(world.clock(), 10)
    await party.expire(session_id)
    return session_id


async def test_the_deadline_names_the_silent_once(fresh: World) -> None:
    before = len(fresh.network.sent)
    session_id = await expired(fresh, fresh.parties[ME])
    await fresh.parties[ME].expire(session_id)
    reports = [each for each in fresh.network.sent[before:] if each.kind == "session_failed"]
    assert failures(reports) == ["no message of party-2, party-3 in round 1"]
    assert await fresh.party_stores[ME].owing(fresh.clock() + 1, 10) == []
    assert len(fresh.parties[ME].scopes) == 0


async def test_a_report_of_the_deadline_that_could_not_leave_is_sent_later(fresh: World) -> None:
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    store = fresh.party_stores[ME]
    with pytest.raises(PublishError):
        await expired(fresh, party_worker(fresh, ME, network=away))
    assert await store.owing(fresh.clock() - 60_000, 10) == []
    (session_id,) = await store.owing(fresh.clock() + 1, 10)
    before = len(fresh.network.sent)
    await fresh.parties[ME].send_owed(session_id)
    assert failures(fresh.network.sent[before:]) == ["no message of party-2, party-3 in round 1"]
    assert await store.owing(fresh.clock() + 1, 10) == []


async def test_a_cancellation_before_its_session_keeps_it_from_starting(fresh: World) -> None:
    (created,), _ = await early_messages(fresh, 1)
    over = sessions.SessionCancelled(session_id=session_of(created))
    await fresh.deliver(instruction(over, ME, over.session_id))
    before = len(fresh.network.sent)
    await fresh.deliver(created)
    assert fresh.network.sent[before:] == []
    assert await fresh.party_stores[ME].key_shares() == []


async def test_a_cancellation_heard_stops_a_handler_at_work(fresh: World) -> None:
    (created,), _ = await early_messages(fresh, 1)
    party = fresh.parties[ME]
    async with party._locks.of(session_of(created)):
        task = asyncio.create_task(fresh.deliver(created))
        await asyncio.sleep(0)
        assert len(party.scopes) == 1
        party.broadcast(
            sessions.SessionCancelled(session_id=session_of(created)).model_dump_json().encode()
        )
        await task
    assert await fresh.party_stores[ME].session(session_of(created)) is None
    assert len(party.scopes) == 0
    assert len(party._locks) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not an instruction"),
        (b"\xff\xfe", "not an instruction"),
        (b'{"instruction": "session_forgotten"}', "not an instruction"),
        (b" " * 600_000, "too many"),
    ],
)
async def test_what_is_no_instruction_is_a_dead_letter(
    fresh: World, body: bytes, reason: str
) -> None:
    message = Outgoing(
        exchange=addresses.SESSIONS,
        routing_key=ME,
        kind="session_created",
        content_type="application/json",
        message_id="m",
        body=body,
    )
    await fresh.deliver(message)
    ((_, told),) = fresh.dead
    assert reason in told


async def test_a_refusal_is_told_to_the_coordinator_and_fails_the_session(fresh: World) -> None:
    request = fresh.keygen_request()
    await fresh.ask(request)

    def expire_here(message: Outgoing) -> bool:
        fresh.clock.offset_ms = 3_600_000 if message.routing_key == ME else 0
        return False

    await fresh.run(dropped=expire_here)
    failed = fresh.results()[-1]
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.PARTY_REFUSED
    assert failed.failure.message.startswith("party-1")
    assert "the request expired" in failed.failure.message
