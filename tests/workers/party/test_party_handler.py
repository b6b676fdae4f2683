"""A party's handlers where sessions do not go as they should."""

from __future__ import annotations

import asyncio
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
from tests.workers.ecdsa import sender
from tests.workers.simulate import World
from workers.delivery.publisher import PublishError
from workers.session.sending import cancellation, instruction
from workers.settings import PartyLimits
from workers.store.records import Outgoing

ME = "party-1"


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


async def test_a_sender_with_too_many_early_messages_is_refused_and_others_are_not(
    shire: World,
) -> None:
    _, first = await early_messages(shire, 3)
    shire.parties[ME] = party_worker(shire, ME, limits=PartyLimits(parked_messages=2))
    for message in sorted(first, key=sender):
        await shire.deliver(message)
    assert [(sender(message), reason[:45]) for message, reason in shire.dead] == [
        ("party-2", "party-2 has as many messages parked here as i"),
        ("party-3", "party-3 has as many messages parked here as i"),
    ]


async def test_the_bytes_of_early_messages_are_bounded_too(shire: World) -> None:
    _, first = await early_messages(shire, 2)
    mine = [message for message in first if sender(message) == "party-2"]
    shire.parties[ME] = party_worker(
        shire, ME, limits=PartyLimits(parked_bytes=len(mine[0].body) + 1)
    )
    for message in mine:
        await shire.deliver(message)
    assert [message for message, _ in shire.dead] == mine[1:]


async def test_an_early_message_come_again_takes_no_second_place(shire: World) -> None:
    _, first = await early_messages(shire, 2)
    mine = [message for message in first if sender(message) == "party-2"]
    shire.parties[ME] = party_worker(shire, ME, limits=PartyLimits(parked_messages=2))
    for message in [mine[0], mine[0], mine[0], mine[1]]:
        await shire.deliver(message)
    assert not shire.dead


async def test_early_messages_are_played_once(shire: World) -> None:
    (created,), first = await early_messages(shire, 1)
    for message in first:
        await shire.deliver(message)
    before = len(shire.network.sent)
    await shire.deliver(created)
    played = shire.network.sent[before:]
    # Joined, round 1 to two parties; and round 2 to both, since all of round 1 was there.
    assert [each.kind for each in played] == ["party_joined", *["keygen/1"] * 2, *["keygen/2"] * 2]
    assert await shire.party_stores[ME].parked(session_of(created)) == []
    before = len(shire.network.sent)
    await shire.deliver(created)
    assert shire.network.sent[before:] == played[:3]


async def test_parked_messages_are_played_again_when_the_broker_was_away(shire: World) -> None:
    (created,), first = await early_messages(shire, 1)
    for message in first:
        await shire.deliver(message)

    class LosesRoundTwo(FakePublisher):
        async def publish_all(self, messages: Any) -> None:
            if any(message.kind == "keygen/2" for message in messages):
                raise PublishError("broker away")

    healthy = shire.parties[ME]
    shire.parties[ME] = party_worker(shire, ME, network=LosesRoundTwo())
    with pytest.raises(PublishError):
        await shire.deliver(created)
    shire.parties[ME] = healthy
    before = len(shire.network.sent)
    await shire.deliver(created)
    assert [each.kind for each in shire.network.sent[before:]].count("keygen/2") == 2
    assert await shire.party_stores[ME].parked(session_of(created)) == []


async def test_parked_messages_of_a_session_that_is_refused_are_forgotten(shire: World) -> None:
    (created,), first = await early_messages(shire, 1)
    for message in first:
        await shire.deliver(message)
    shire.clock.offset_ms = 120_000
    await shire.deliver(created)
    assert failures(shire.network.sent[-1:]) == ["the request expired; is a clock wrong?"]
    assert await shire.party_stores[ME].parked(session_of(created)) == []


###
### Coming again
###


async def test_a_signing_session_come_again_sends_the_same_bytes(shire: World) -> None:
    key = await made_key(shire)
    created = await signing_created(shire, key.key_id)
    before = len(shire.network.sent)
    for _ in range(3):
        await shire.deliver(created)
    answers = shire.network.sent[before:]
    assert len(answers) == 3
    assert {each.kind for each in answers} == {"share_signed"}
    assert len({each.body for each in answers}) == 1


def another_session(created: Outgoing) -> Outgoing:
    """The same request, members and commitments under another session id."""
    content = SessionCreated.model_validate_json(created.body)
    terms = content.terms.model_copy(update={"salt": b"\x07" * 32})
    copied = content.model_copy(update={"terms": terms, "session_id": terms.session_id()})
    return instruction(copied, ME, terms.session_id())


async def test_a_nonce_is_used_in_one_session_and_refused_in_the_next(shire: World) -> None:
    key = await made_key(shire)
    created = await signing_created(shire, key.key_id)
    await shire.deliver(created)
    before = len(shire.network.sent)
    for _ in range(2):
        await shire.deliver(another_session(created))
    answers = shire.network.sent[before:]
    assert failures(answers) == ["the nonce was used before, or was never ours"] * 2
    assert len({each.body for each in answers}) == 1


async def test_of_two_sessions_that_race_for_a_nonce_at_two_workers_one_gets_it(
    shire: World,
) -> None:
    key = await made_key(shire)
    created = await signing_created(shire, key.key_id)
    before = len(shire.network.sent)

    async def at(message: Outgoing) -> None:
        worker = party_worker(shire, ME)
        await worker.instruction(shire.signature.under(message).body, message.kind)

    await asyncio.gather(at(created), at(another_session(created)))
    answers = shire.network.sent[before:]
    assert sorted(each.kind for each in answers) == ["session_failed", "share_signed"]
    (reason,) = failures(answers)
    assert "nonce was used" in reason


async def test_a_batch_of_nonces_is_made_once(shire: World) -> None:
    key = await made_key(shire)
    await shire.ask(shire.sign_request(key_id=key.key_id, signers=[ME, "party-2"]))
    (wanted,) = await held_back(shire, "nonces_wanted")
    before = len(shire.network.sent)
    for _ in range(2):
        await shire.deliver(wanted)
    await asyncio.gather(
        *(
            party_worker(shire, ME).instruction(shire.signature.under(wanted).body, wanted.kind)
            for _ in range(3)
        ),
    )
    answers = shire.network.sent[before:]
    assert {each.kind for each in answers} == {"nonces_made"}
    assert len(answers) == 5
    assert len({each.body for each in answers}) == 1


async def test_the_tightest_limit_on_nonces_leaves_those_just_made(shire: World) -> None:
    key = await made_key(shire)
    shire.parties[ME] = party_worker(shire, ME, limits=PartyLimits(nonces_per_key=1))
    for _ in range(4):
        await shire.ask(shire.sign_request(key_id=key.key_id, signers=[ME, "party-2"]))
        await shire.run()
        assert shire.results()[-1].status is Status.COMPLETED


async def test_a_key_share_is_never_made_twice_in_one_session(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    created = [message for message in shire.network.waiting if message.kind == "session_created"]
    await shire.run()
    before = {
        party_id: await store.key_share(session_of(created[0]), 0)
        for party_id, store in shire.party_stores.items()
    }
    # Long after, as far as the stores remember sessions; somebody kept the instructions.
    for store in shire.party_stores.values():
        assert await store.purge(ended_before=10**15) > 0
    sent = len(shire.network.sent)
    shire.network.waiting += created
    await shire.run()
    assert {each.kind for each in shire.network.sent[sent:]} == {"session_failed"}
    for party_id, store in shire.party_stores.items():
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


async def test_the_deadline_names_the_silent_once(shire: World) -> None:
    before = len(shire.network.sent)
    session_id = await expired(shire, shire.parties[ME])
    await shire.parties[ME].expire(session_id)
    reports = [each for each in shire.network.sent[before:] if each.kind == "session_failed"]
    assert failures(reports) == ["no message of party-2, party-3 in round 1"]
    assert await shire.party_stores[ME].owing(shire.clock() + 1, 10) == []
    assert len(shire.parties[ME].scopes) == 0


async def test_a_report_of_the_deadline_that_could_not_leave_is_sent_later(shire: World) -> None:
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    store = shire.party_stores[ME]
    with pytest.raises(PublishError):
        await expired(shire, party_worker(shire, ME, network=away))
    assert await store.owing(shire.clock() - 60_000, 10) == []
    (session_id,) = await store.owing(shire.clock() + 1, 10)
    before = len(shire.network.sent)
    await shire.parties[ME].send_owed(session_id)
    assert failures(shire.network.sent[before:]) == ["no message of party-2, party-3 in round 1"]
    assert await store.owing(shire.clock() + 1, 10) == []


async def test_a_cancellation_before_its_session_keeps_it_from_starting(shire: World) -> None:
    (created,), _ = await early_messages(shire, 1)
    over = sessions.SessionCancelled(session_id=session_of(created), issued_at=shire.clock())
    await shire.deliver(instruction(over, ME, over.session_id))
    before = len(shire.network.sent)
    await shire.deliver(created)
    assert shire.network.sent[before:] == []
    assert await shire.party_stores[ME].key_shares() == []


async def test_a_cancellation_heard_stops_a_handler_at_work(shire: World) -> None:
    (created,), _ = await early_messages(shire, 1)
    party = shire.parties[ME]
    async with party._locks.of(session_of(created)):
        task = asyncio.create_task(shire.deliver(created))
        await asyncio.sleep(0)
        assert len(party.scopes) == 1
        over = sessions.SessionCancelled(session_id=session_of(created), issued_at=shire.clock())
        party.broadcast(shire.signature.under(cancellation(over)).body)
        await task
    assert await shire.party_stores[ME].session(session_of(created)) is None
    assert len(party.scopes) == 0
    assert len(party._locks) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "not an instruction"),
        (b"\xff\xfe", "not an instruction"),
        (b'{"instruction": "session_forgotten"}', "not an instruction"),
        (
            b'{"instruction":"session_cancelled","version":1,"issued_at":1,'
            b'"session_id":"%b","session_id":"%b"}' % (b"00" * 32, b"11" * 32),
            "not an instruction: field 'session_id' stands twice",
        ),
        (b" " * 600_000, "too many"),
    ],
)
async def test_what_is_no_instruction_is_a_dead_letter(
    shire: World, body: bytes, reason: str
) -> None:
    message = Outgoing(
        exchange=addresses.SESSIONS,
        routing_key=ME,
        kind="session_created",
        content_type="application/json",
        message_id="m",
        body=body,
        headers={"session_id": "00" * 32},
    )
    await shire.deliver(message)
    ((_, told),) = shire.dead
    assert reason in told


async def test_a_refusal_is_told_to_the_coordinator_and_fails_the_session(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)

    def expire_here(message: Outgoing) -> bool:
        shire.clock.offset_ms = 120_000 if message.routing_key == ME else 0
        return False

    await shire.run(dropped=expire_here)
    failed = shire.results()[-1]
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.PARTY_REFUSED
    assert failed.failure.message.startswith("party-1")
    assert "the request expired" in failed.failure.message
