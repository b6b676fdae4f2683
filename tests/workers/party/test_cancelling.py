"""A party's handler for cancels: what it states, what it refuses, and what ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.admission import ClientPolicy
from contracts.envelope import UnverifiedEnvelope
from contracts.identity import Identity
from contracts.primitives import Owner
from contracts.requests import ADAPTER, MAX_LIFETIME_MS, CancelRequest, KeygenRequest, SignRequest
from contracts.sessions import (
    CancelAnswered,
    CancelRefusal,
    RequestCancelled,
    SessionCreated,
    cancel_session_id,
)
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement
from tests.workers.crew import party_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import ecdsa_request, make_key
from tests.workers.party.test_party_handler import (
    ME,
    another_session,
    failures,
    held_back,
    made_key,
    session_of,
    signing_created,
)
from tests.workers.simulate import CLIENT, World
from tests.workers.store.examples import party_change
from tests.workers.tries import everyone_is_alive
from workers.delivery.clock import now_ms
from workers.delivery.publisher import PublishError
from workers.party.consumer import PartyConsumer
from workers.session.sending import instruction
from workers.settings import PartyLimits
from workers.store.interface import StoreUnavailableError
from workers.store.records import AnswerRecord, Outgoing

OWNER = Owner(client_id=CLIENT)
DAY_MS = 86_400_000


def cancel_of(
    world: World, target: str, *, by: Identity | None = None, **changes: Any
) -> SignedRequest:
    signer = by or world.client
    fields = {"target": target, "target_issued_at": world.clock(), "key_id": None} | changes
    made = world._request("cancel", fields)
    made = {name: value for name, value in made.items() if name != "key_id"}
    made["signer"] = signer.public.der
    return sign_request(CancelRequest.model_validate(made, strict=False), signer)


def told_of(world: World, signed: SignedRequest, **changes: Any) -> Outgoing:
    told = RequestCancelled(
        session_id=cancel_session_id(signed.digest),
        issued_at=world.clock(),
        request=signed.body,
        request_signature=signed.signature,
    ).model_copy(update=changes)
    return instruction(told, ME, told.session_id)


async def cancelled(world: World, signed: SignedRequest) -> CancelAnswered:
    """What we report of it."""
    before = len(world.network.sent)
    await world.deliver(told_of(world, signed))
    (message,) = world.network.sent[before:]
    return said(message)


def said(message: Outgoing) -> CancelAnswered:
    envelope = UnverifiedEnvelope.from_bytes(message.body).claimed
    assert envelope.kind == "cancel_answered"
    return CancelAnswered.model_validate_json(envelope.payload)


def stated(world: World, answered: CancelAnswered, request: Any) -> Statement:
    """The statement, which is about this request."""
    assert answered.statement is not None
    answered.statement.verify(OWNER, request.request_id, world.identities[ME].public)
    assert answered.statement.covers(request.issued_at)
    return answered.statement


async def held_signing(world: World) -> tuple[SignRequest, Outgoing]:
    """A request, and its instruction to us, which has not arrived."""
    key = await made_key(world)
    created = await signing_created(world, key.key_id)
    return request_of(created), created


def request_of(created: Outgoing) -> Any:
    return request_of_bytes(SessionCreated.model_validate_json(created.body).request)


def request_of_bytes(body: bytes) -> Any:
    return ADAPTER.validate_json(body)


async def signing(world: World) -> SignedRequest:
    """A request that was sent nowhere."""
    key = await made_key(world)
    request = world.sign_request(key_id=key.key_id, signers=[ME, "party-2"])
    return sign_request(request, world.client)


async def replayed(world: World, signed: SignedRequest, salt: int) -> Outgoing:
    """The signed bytes in a session of their own, with nonces that nobody has used."""
    key_id = request_of_bytes(signed.body).key_id
    other = world.sign_request(key_id=key_id, signers=[ME, "party-2"], request_id=f"r-{salt}")
    await world.ask(other)
    (created,) = await held_back(world, "session_created")
    content = SessionCreated.model_validate_json(created.body)
    changes = {"request_digest": signed.digest, "salt": bytes([salt]) * 32}
    terms = content.terms.model_copy(update=changes)
    fields = {
        "terms": terms,
        "session_id": terms.session_id(),
        "request": signed.body,
        "request_signature": signed.signature,
    }
    return instruction(content.model_copy(update=fields), ME, terms.session_id())


async def lose_memory(world: World) -> None:
    await world.party_stores[ME].begin_incarnation("crashed")
    world.clock.offset_ms += now_ms() - world.clock() + 1


async def told_to(worker: PartyConsumer, shire: World, message: Outgoing) -> None:
    """Past the bag, straight to one of a party's workers."""
    await worker.instruction(shire.signature.under(message).body, message.kind)


###
### Cancelled first
###


async def test_what_is_cancelled_before_it_arrives_is_signed_in_no_session(shire: World) -> None:
    request, created = await held_signing(shire)
    stated(shire, await cancelled(shire, cancel_of(shire, request.request_id)), request)
    before = len(shire.network.sent)
    for each in (created, another_session(created)):
        await shire.deliver(each)
    assert failures(shire.network.sent[before:]) == ["the request was cancelled"] * 2
    assert await shire.party_stores[ME].sessions_of(OWNER.name, request.request_id) == []


async def test_a_presigned_signature_is_refused_alike(shire: World) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, signers=[ME, "party-2"])
    stated(shire, await cancelled(shire, cancel_of(shire, request.request_id)), request)
    await shire.ask(request)
    await shire.run()
    assert "the request was cancelled" in str(shire.results()[-1].failure)


async def test_a_key_whose_request_is_cancelled_under_way_is_certified_by_nobody_here(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "keygen/3")
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    stated(shire, answered, request)
    (session_id,) = await shire.party_stores[ME].sessions_of(OWNER.name, request.request_id)
    session = await shire.party_stores[ME].session(session_id)
    assert session is not None
    assert session.status == "cancelled"
    before = len(shire.network.sent)
    shire.network.waiting += [
        each for each in shire.network.sent if (each.kind, each.routing_key) == ("keygen/3", ME)
    ]
    await shire.run()
    assert [each.kind for each in shire.network.sent[before:]] == []
    assert await shire.party_stores[ME].key_shares() == []


async def test_a_handler_at_work_for_the_request_is_stopped(shire: World) -> None:
    await shire.ask(shire.keygen_request())
    (created,) = [
        each
        for each in shire.network.waiting
        if (each.kind, each.routing_key) == ("session_created", ME)
    ]
    await shire.deliver(created)
    party, session_id = shire.parties[ME], session_of(created)
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            with party.scopes.enter(session_id):
                await asyncio.sleep(3600)
        finally:
            stopped.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancelled(shire, cancel_of(shire, request_of(created).request_id))
    await asyncio.wait_for(stopped.wait(), 5)
    await asyncio.gather(task, return_exceptions=True)


###
### Signed first
###


async def test_what_was_signed_is_said_to_be_and_is_not_signed_again(shire: World) -> None:
    signed = await signing(shire)
    first, second = [await replayed(shire, signed, salt) for salt in range(2)]
    await shire.deliver(first)
    answered = await cancelled(shire, cancel_of(shire, signed.request.request_id))
    assert answered == CancelAnswered(refused=CancelRefusal.ALREADY_SIGNED)
    before = len(shire.network.sent)
    await shire.deliver(first)
    await shire.deliver(second)
    again, refused = shire.network.sent[before:]
    assert again.kind == "share_signed"
    assert failures([refused]) == ["the request was cancelled"]


async def test_a_share_that_was_committed_and_not_sent_counts(shire: World) -> None:
    request, created = await held_signing(shire)
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    with pytest.raises(PublishError):
        await told_to(party_worker(shire, ME, network=away), shire, created)
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    assert answered.refused is CancelRefusal.ALREADY_SIGNED


async def test_a_certificate_counts(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda each: (each.kind, each.routing_key) == ("keygen/4", ME))
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    assert answered.refused is CancelRefusal.ALREADY_SIGNED


async def test_a_refused_session_does_not_count(shire: World) -> None:
    request, created = await held_signing(shire)
    shire.clock.offset_ms = 300_000
    await shire.deliver(created)
    assert failures(shire.network.sent[-1:]) == ["the request expired; is a clock wrong?"]
    answered = await cancelled(
        shire, cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    )
    stated(shire, answered, request)


###
### The same again
###


async def test_a_cancel_come_again_sends_the_same_bytes(shire: World) -> None:
    told = told_of(shire, cancel_of(shire, "request-x"))
    before = len(shire.network.sent)
    for _ in range(2):
        await shire.deliver(told)
    await asyncio.gather(*(told_to(party_worker(shire, ME), shire, told) for _ in range(3)))
    answers = shire.network.sent[before:]
    assert len(answers) == 5
    assert len({each.body for each in answers}) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_cancel_that_was_cut_off_is_answered_when_it_comes_again(
    shire: World, when: str
) -> None:
    """Before its commit or after, or between that and its answer."""
    told, store = told_of(shire, cancel_of(shire, "request-x")), shire.party_stores[ME]

    class CutOff:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def commit(self, change: Any) -> Any:
            if when == "after":
                await store.commit(change)
            raise StoreUnavailableError("cut off")

    with pytest.raises(StoreUnavailableError):
        await told_to(party_worker(shire, ME, store=CutOff()), shire, told)
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    with pytest.raises(PublishError):
        await told_to(party_worker(shire, ME, network=away), shire, told)
    before = len(shire.network.sent)
    await shire.deliver(told)
    (answer,) = shire.network.sent[before:]
    assert said(answer).statement is not None


async def test_a_statement_made_before_memory_was_lost_is_given_again(shire: World) -> None:
    request = shire.keygen_request()
    signed = cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    first = stated(shire, await cancelled(shire, signed), request)
    await lose_memory(shire)
    assert stated(shire, await cancelled(shire, signed), request) == first
    # A later cancel asks for more than it says.
    later = cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    assert (await cancelled(shire, later)).refused is CancelRefusal.FORGOTTEN


###
### What is remembered
###


async def test_what_was_asked_for_before_memory_was_lost_is_not_signed(shire: World) -> None:
    """Its cancellation may be lost. The nonces are new ones."""
    old = await signing(shire)
    await lose_memory(shire)
    shire.clock.offset_ms += 1
    await shire.deliver(await replayed(shire, old, 1))
    (reason,) = failures(shire.network.sent[-1:])
    assert "lost its memory" in reason
    young = sign_request(
        old.request.model_copy(update={"issued_at": shire.clock(), "request_id": "young"}),
        shire.client,
    )
    await shire.deliver(await replayed(shire, young, 2))
    assert shire.network.sent[-1].kind == "share_signed"


async def test_whoever_has_forgotten_states_nothing_of_what_is_older(shire: World) -> None:
    await lose_memory(shire)
    memory = await shire.party_stores[ME].memory()
    for at, answer in (
        (memory.begun_at, CancelRefusal.FORGOTTEN),
        (memory.begun_at + 1, None),
        (None, CancelRefusal.FORGOTTEN),
    ):
        signed = cancel_of(shire, f"request-{at}", target_issued_at=at)
        answered = await cancelled(shire, signed)
        assert answered.refused is answer


async def test_what_nothing_is_stated_of_is_refused_all_the_same(shire: World) -> None:
    request, created = await held_signing(shire)
    long_ago = shire.clock() - DAY_MS
    signed = cancel_of(shire, request.request_id, target_issued_at=long_ago)
    assert (await cancelled(shire, signed)).refused is CancelRefusal.FORGOTTEN
    await shire.deliver(created)
    assert failures(shire.network.sent[-1:]) == ["the request was cancelled"]


async def test_answers_are_remembered_for_so_long_and_a_statement_says_since_when(
    shire: World,
) -> None:
    horizon = shire.clock() - DAY_MS
    signed = cancel_of(shire, "old", target_issued_at=horizon)
    assert (await cancelled(shire, signed)).refused is CancelRefusal.FORGOTTEN
    for target, at in (("young", horizon + 1), ("unknown", None)):
        answered = await cancelled(shire, cancel_of(shire, target, target_issued_at=at))
        assert answered.statement is not None
        assert answered.statement.issued_from == horizon + 1


###
### Who may
###


async def test_strangers_cancel_nothing(shire: World) -> None:
    stranger = Identity.generate()
    request, created = await held_signing(shire)
    answered = await cancelled(shire, cancel_of(shire, request.request_id, by=stranger))
    assert answered == CancelAnswered(refused=CancelRefusal.NOT_AUTHORISED)
    await shire.deliver(created)
    assert shire.network.sent[-1].kind == "share_signed"


@pytest.mark.parametrize(
    ("changes", "offset_ms"),
    [
        ({}, 60_001),
        ({"issued_at": -1}, 0),
    ],
)
async def test_a_cancel_of_another_time_is_refused(
    shire: World, changes: dict[str, int], offset_ms: int
) -> None:
    signed = cancel_of(shire, "request-x")
    if changes:
        shire.clock.offset_ms -= 1
    shire.clock.offset_ms += offset_ms
    answered = await cancelled(shire, signed)
    assert answered.refused is CancelRefusal.NOT_AUTHORISED


def with_operator(world: World, operator: Identity, *, operators: bool) -> None:
    policy = ClientPolicy(identity=operator.public, client_id="ops", operator=operators)
    world.parties[ME] = party_worker(world, ME, others=(policy,))


@pytest.mark.parametrize("operators", [True, False])
async def test_operators_of_our_own_list_cancel_what_others_asked_for(
    shire: World, operators: bool
) -> None:
    request, created = await held_signing(shire)
    ops = Identity.generate()
    with_operator(shire, ops, operators=operators)
    signed = cancel_of(shire, request.request_id, by=ops, client_id="ops", of=OWNER, reply_to=REPLY)
    answered = await cancelled(shire, signed)
    before = len(shire.network.sent)
    await shire.deliver(created)
    kinds = [each.kind for each in shire.network.sent[before:]]
    if operators:
        stated(shire, answered, request)
        assert kinds == ["session_failed"]
    else:
        assert answered.refused is CancelRefusal.NOT_AUTHORISED
        assert kinds == ["share_signed"]


REPLY = "mpc.mpc_cancel_result.ops"


async def test_a_client_cancels_its_own_requests_only(shire: World) -> None:
    signed = cancel_of(shire, "request-x", of=Owner(client_id="svcB"))
    assert (await cancelled(shire, signed)).refused is CancelRefusal.NOT_AUTHORISED
    answered = await cancelled(shire, cancel_of(shire, "request-x", of=OWNER))
    assert answered.statement is not None
    # A tenant's request of the same id is another.
    assert await shire.party_stores[ME].statement("svcA/alice", "request-x") is None


async def test_a_request_that_cancels_nothing_is_refused(shire: World) -> None:
    request: KeygenRequest = shire.keygen_request()
    answered = await cancelled(shire, sign_request(request, shire.client))
    assert answered.refused is CancelRefusal.NOT_AUTHORISED


async def test_a_cancel_in_another_session_than_its_own_is_a_dead_letter(shire: World) -> None:
    await shire.deliver(told_of(shire, cancel_of(shire, "request-x"), session_id=bytes(32)))
    ((_, reason),) = shire.dead
    assert "not the one that the cancel gives" in reason


async def test_an_owner_who_cancels_too_much_is_told_so(shire: World) -> None:
    shire.parties[ME] = party_worker(shire, ME, limits=PartyLimits(cancellations_per_owner=1))
    assert (await cancelled(shire, cancel_of(shire, "one"))).statement is not None
    answered = await cancelled(shire, cancel_of(shire, "two"))
    assert answered == CancelAnswered(refused=CancelRefusal.OVERLOADED)
    # There is room again when the first one's requests are too old.
    shire.clock.offset_ms += MAX_LIFETIME_MS + 1
    assert (await cancelled(shire, cancel_of(shire, "three"))).statement is not None


###
### Replays
###


async def test_the_same_bytes_are_answered_in_three_sessions(shire: World) -> None:
    signed = await signing(shire)
    answers = []
    for salt in range(5):
        again = await replayed(shire, signed, salt)
        before = len(shire.network.sent)
        for _ in range(2):
            await shire.deliver(again)
        first, second = shire.network.sent[before:]
        assert second.body == first.body
        answers.append(first)
    assert [each.kind for each in answers] == ["share_signed"] * 3 + ["session_failed"] * 2
    assert failures(answers[3:]) == ["we answered the request in 3 other sessions"] * 2


async def test_a_certificate_too_many_fails_its_session(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "keygen/3")
    store = shire.party_stores[ME]
    digest = sign_request(request, shire.client).digest
    for name in "abc":
        answered = AnswerRecord(
            owner=request.owner, request_id=request.request_id, digest=digest, commits=True
        )
        await store.commit(party_change(name, status="completed", answers=answered, at=1))
    before = len(shire.network.sent)
    shire.network.waiting += [
        each for each in shire.network.sent if (each.kind, each.routing_key) == ("keygen/3", ME)
    ]
    await shire.run()
    told = [each for each in shire.network.sent[before:] if each.kind == "session_failed"]
    assert failures(told) == ["we answered the request in 3 other sessions"]
    assert await store.key_shares() == []


async def test_a_request_id_is_answered_for_the_bytes_that_came_first(shire: World) -> None:
    signed = await signing(shire)
    request = request_of_bytes(signed.body)
    other = sign_request(request.model_copy(update={"message": b"another"}), shire.client)
    for salt, (each, answer) in enumerate(((signed, []), (other, [OTHER]), (signed, []))):
        again = await replayed(shire, each, salt)
        before = len(shire.network.sent)
        await shire.deliver(again)
        assert failures(shire.network.sent[before:]) == answer


OTHER = "another request of the same id came before"
