"""A party's handler for cancels: what it has forgotten, whom it does not heed, and replays."""

from __future__ import annotations

import pytest

from contracts.admission import ClientPolicy
from contracts.identity import Identity
from contracts.primitives import Owner
from contracts.requests import MAX_LIFETIME_MS, KeygenRequest
from contracts.sessions import (
    CancelAnswered,
    CancelRefusal,
)
from contracts.signing import sign_request
from tests.workers.crew import party_worker
from tests.workers.party.test_party_handler import (
    ME,
    failures,
)
from tests.workers.simulate import World
from tests.workers.store.examples import party_change
from workers.settings import PartyLimits
from workers.store.records import AnswerRecord

from .cancels import (
    DAY_MS,
    OWNER,
    cancel_of,
    cancelled,
    held_signing,
    lose_memory,
    replayed,
    request_of_bytes,
    signing,
    stated,
    told_of,
)

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


async def test_what_was_issued_within_a_clocks_tolerance_after_the_loss_is_not_signed(
    shire: World,
) -> None:
    """Its clock may be ahead, so that it came before the loss."""
    tolerance_ms = 15_000
    shire.parties[ME] = party_worker(shire, ME, tolerance_ms=tolerance_ms)
    old = await signing(shire)
    await lose_memory(shire)
    begun_at = (await shire.party_stores[ME].memory()).begun_at
    shire.clock.offset_ms += begun_at + tolerance_ms + 1 - shire.clock()
    for salt, (at, answer) in enumerate(
        ((begun_at + tolerance_ms, "session_failed"), (begun_at + tolerance_ms + 1, "share_signed"))
    ):
        changes = {"issued_at": at, "expires_at": at + 60_000, "request_id": f"issued-{at}"}
        signed = sign_request(old.request.model_copy(update=changes), shire.client)
        await shire.deliver(await replayed(shire, signed, salt))
        assert shire.network.sent[-1].kind == answer


async def test_a_request_that_expired_by_the_stores_clock_is_not_signed(shire: World) -> None:
    """Our own clock, by which it was accepted, may have stood still meanwhile."""
    signed = await signing(shire)
    shire.clock.offset_ms -= 61_000
    at = shire.clock()
    changes = {"issued_at": at, "expires_at": at + 60_000}
    late = sign_request(signed.request.model_copy(update=changes), shire.client)
    await shire.deliver(await replayed(shire, late, 1))
    (reason,) = failures(shire.network.sent[-1:])
    assert reason == "the request expired before we could answer it; is a clock wrong?"
    assert await shire.party_stores[ME].sessions_of(OWNER.name, late.request.request_id) == []


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


async def test_a_statement_made_before_is_given_again_if_it_says_all_that_is_asked_for(
    shire: World,
) -> None:
    horizon = shire.clock() - DAY_MS
    first = await cancelled(shire, cancel_of(shire, "request-x"))
    for at, answer in ((horizon + 1, first), (horizon, None)):
        signed = cancel_of(shire, "request-x", target_issued_at=at)
        answered = await cancelled(shire, signed)
        assert answered == (answer or CancelAnswered(refused=CancelRefusal.FORGOTTEN))


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
    ("offset_ms", "of_its_time"), [(-1, False), (60_000, True), (60_001, False)]
)
async def test_a_cancel_of_another_time_is_refused(
    shire: World, offset_ms: int, of_its_time: bool
) -> None:
    signed = cancel_of(shire, "request-x")
    shire.clock.offset_ms += offset_ms
    answered = await cancelled(shire, signed)
    assert answered.refused is (None if of_its_time else CancelRefusal.NOT_AUTHORISED)


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


async def test_an_operator_is_a_key_for_its_client_and_neither_alone(shire: World) -> None:
    ops, clerk = Identity.generate(), Identity.generate()
    policies = (
        ClientPolicy(identity=ops.public, client_id="ops", operator=True),
        ClientPolicy(identity=clerk.public, client_id="ops"),
        ClientPolicy(identity=ops.public, client_id="elsewhere"),
    )
    shire.parties[ME] = party_worker(shire, ME, others=policies)
    for by, client_id in ((clerk, "ops"), (ops, "elsewhere")):
        reply_to = f"mpc.mpc_cancel_result.{client_id}"
        signed = cancel_of(
            shire, "request-x", by=by, client_id=client_id, of=OWNER, reply_to=reply_to
        )
        answered = await cancelled(shire, signed)
        assert answered.refused is CancelRefusal.NOT_AUTHORISED


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
            owner=request.owner,
            request_id=request.request_id,
            digest=digest,
            commits=True,
            counts_until=request.expires_at,
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
