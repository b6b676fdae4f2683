"""Cancels: what is cancelled stays so, whenever it comes; whom they ask, and what they answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.requests import CancelRequest
from contracts.results import CancelResult, KeygenResult, SignResult, Status
from contracts.sessions import (
    CancelAnswered,
    CancelRefusal,
    PartyJoined,
    Report,
    cancel_session_id,
)
from contracts.statements import Statement
from tests.workers.callers import PARTIES, answer, answered, ask, asked, refused, state, wish
from tests.workers.crew import coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import make_key, only_result
from tests.workers.simulate import World
from workers.delivery.publisher import PublishError
from workers.session.coordinator.cancellation import PATIENCE_MS
from workers.session.sending import report


def results_of(shire: World, request_id: str) -> list[bytes]:
    return [each.body for each in shire.network.sent if each.message_id == request_id]


async def test_a_request_that_comes_after_its_cancel_is_refused(shire: World) -> None:
    key = await make_key(shire)
    for _ in range(2):
        request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
        result = await ask(shire, CancelResult, "cancel", target=request.request_id)
        assert result.target_status is None
        assert [each.party_id for each in result.statements] == PARTIES
        await shire.ask(request)
        await shire.run()
        refusal = only_result(shire, request)
        assert (refusal.status, refusal.session_id) == (Status.CANCELLED, None)
        assert refusal.failure is not None
        assert refusal.failure.code is FailureCode.CANCELLED
    later = await ask(shire, CancelResult, "cancel", target=request.request_id)
    assert later.target_status is Status.CANCELLED


async def test_nobody_is_asked_nor_silent_about_what_has_completed(shire: World) -> None:
    key = await make_key(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
    await shire.ask(request)
    await shire.run()
    result = await ask(shire, CancelResult, "cancel", target=request.request_id)
    assert result.target_status is Status.COMPLETED
    assert (result.statements, result.already_signed, result.silent) == ([], [], [])


async def test_a_key_generation_that_comes_after_its_cancel_is_refused(shire: World) -> None:
    request = shire.keygen_request()
    await ask(shire, CancelResult, "cancel", target=request.request_id)
    await shire.ask(request)
    assert only_result(shire, request).status is Status.CANCELLED
    assert (await shire.coordinator_store.unfinished()) == {}


async def test_other_bytes_under_a_cancelled_id_are_refused_as_well(shire: World) -> None:
    request = shire.keygen_request()
    await ask(shire, CancelResult, "cancel", target=request.request_id)
    for party_count in (2, 3):
        other = request.model_copy(update={"party_count": party_count})
        await shire.ask(other)
        assert answer(shire, other, KeygenResult).status is Status.CANCELLED


@pytest.mark.parametrize("first", ["request", "cancel"])
async def test_a_cancel_of_the_same_moment_in_another_process_is_heard(
    shire: World, first: str
) -> None:
    key = await make_key(shire)
    here, there = coordinator_worker(shire)[0], coordinator_worker(shire)[0]
    for _ in range(10):
        request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
        cancel = wish(shire, "cancel", target=request.request_id)
        shire.requests = here
        asking = shire.ask(request)
        shire.requests = there
        cancelling = shire.submit(cancel)
        both = [asking, cancelling] if first == "request" else [cancelling, asking]
        await asyncio.gather(*both)
        await state(shire, cancel)
        result = answer(shire, cancel.request, CancelResult)
        assert result.target_status in {None, Status.CANCELLED}
        await shire.run(dropped=lambda message: message.kind == "request_cancelled")
        assert only_result(shire, request).status is Status.CANCELLED


async def test_the_same_bytes_have_the_same_answer(shire: World) -> None:
    cancel = wish(shire, "cancel", target="anything")
    first = await answered(shire, cancel, CancelResult)
    shire.clock.offset_ms += 1_000
    await shire.submit(cancel)
    assert len({*results_of(shire, cancel.request.request_id)}) == 1
    assert len(results_of(shire, cancel.request.request_id)) == 2
    assert first.target == "anything"
    other = wish(shire, "cancel", target="else", request_id=cancel.request.request_id)
    assert await refused(shire, other) is FailureCode.CONFLICT


async def test_a_cancelled_requests_result_is_sent_though_the_cancel_never_comes_again(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    healthy = shire.requests
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    shire.requests = coordinator_worker(shire, network=away)[0]
    with pytest.raises(PublishError):
        await shire.submit(wish(shire, "cancel", target=request.request_id))
    shire.requests = healthy
    assert results_of(shire, request.request_id) == []
    for owed in await shire.coordinator_store.owing(shire.clock() + 1, 10):
        await shire.reports.send_owed(owed)
    assert only_result(shire, request).status is Status.CANCELLED
    assert await shire.coordinator_store.owing(shire.clock() + 1, 10) == []


async def test_an_old_cancel_is_not_obeyed(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    cancel = wish(shire, "cancel", target=request.request_id)
    shire.clock.offset_ms += 60_001
    assert await refused(shire, cancel) is FailureCode.EXPIRED
    assert asked(shire, cancel) == []


async def test_it_asks_those_who_could_answer_the_request(shire: World) -> None:
    key = await make_key(shire, party_count=2, parties=PARTIES[1:])
    request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
    named, any_two = (
        shire.keygen_request(party_count=2, parties=PARTIES[:2]),
        shire.keygen_request(party_count=2),
    )
    for each, expected in ((request, PARTIES[1:]), (named, PARTIES[:2]), (any_two, PARTIES)):
        await shire.ask(each)
        cancel = wish(shire, "cancel", target=each.request_id)
        await shire.submit(cancel)
        assert sorted(message.routing_key for message in asked(shire, cancel)) == expected


async def test_what_completed_is_told_at_once_and_nobody_is_asked(shire: World) -> None:
    key = await make_key(shire)
    request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
    await shire.ask(request)
    await shire.run()
    cancel = wish(shire, "cancel", target=request.request_id)
    await shire.submit(cancel)
    result = answer(shire, cancel.request, CancelResult)
    assert (result.target_status, result.statements) == (Status.COMPLETED, [])
    assert result.session_id == answer(shire, request, SignResult).session_id
    assert asked(shire, cancel) == []


async def test_what_expired_is_asked_about_all_the_same(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    shire.network.waiting.clear()
    (session_id,) = await shire.coordinator_store.overdue(10**15, 10)
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    result = await ask(shire, CancelResult, "cancel", target=request.request_id)
    assert result.target_status is Status.EXPIRED
    assert len(result.statements) == 3


async def test_who_does_not_answer_in_time_is_silent(shire: World) -> None:
    cancel = wish(shire, "cancel", target="anything")
    await shire.submit(cancel)
    await state(shire, cancel, parties=["party-1"])
    await state(shire, cancel, parties=["party-2"], refused=CancelRefusal.ALREADY_SIGNED)
    assert results_of(shire, cancel.request.request_id) == []
    shire.clock.offset_ms += PATIENCE_MS + 1
    session_id = cancel_session_id(cancel.digest)
    for _ in range(2):
        await shire.reports.expire(session_id)
    result = answer(shire, cancel.request, CancelResult)
    assert [each.party_id for each in result.statements] == ["party-1"]
    assert (result.already_signed, result.silent) == (["party-2"], ["party-3"])
    await state(shire, cancel, parties=["party-3"])  # nobody hears of it any more
    assert len(results_of(shire, cancel.request.request_id)) == 1


async def test_a_cancel_that_was_remembered_and_not_begun_ends_its_target_in_time(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    cancel = wish(shire, "cancel", target=request.request_id)
    with monkeypatch.context() as dying:
        dying.setattr(
            "workers.coordinator.cancellations.Cancellations.go_on", lambda *_: asyncio.sleep(0)
        )
        await shire.submit(cancel)
    shire.clock.offset_ms += PATIENCE_MS + 1
    await shire.reports.expire(cancel_session_id(cancel.digest))
    result = answer(shire, cancel.request, CancelResult)
    assert (result.target_status, result.silent) == (Status.CANCELLED, PARTIES)


@pytest.mark.parametrize(
    ("content", "party_id", "reason"),
    [
        (PartyJoined(), "party-1", "party_joined in a session to cancel"),
        (CancelAnswered(refused=CancelRefusal.FORGOTTEN), "party-3", "party-3 was not asked"),
    ],
)
async def test_answers_that_nobody_asked_for_are_dead_letters(
    shire: World, content: Report, party_id: str, reason: str
) -> None:
    request = shire.keygen_request(party_count=2, parties=["party-1", "party-2"])
    await shire.ask(request)
    cancel = wish(shire, "cancel", target=request.request_id)
    await shire.submit(cancel)
    session_id = cancel_session_id(cancel.digest)
    before = await shire.coordinator_store.session(session_id)
    identity = shire.identities[party_id]
    await shire.deliver(
        report(content, identity=identity, party_id=party_id, session_id=session_id)
    )
    ((_, told),) = shire.dead
    assert told == reason
    assert await shire.coordinator_store.session(session_id) == before


@pytest.mark.parametrize("lie", ["another's", "of another request", "by a stranger"])
async def test_statements_that_are_none_are_dead_letters(shire: World, lie: str) -> None:
    cancel = wish(shire, "cancel", target="anything")
    await shire.submit(cancel)
    request, ours = cancel.request, shire.identities["party-1"]
    assert isinstance(request, CancelRequest)
    party_id = "party-2" if lie == "another's" else "party-1"
    statement = Statement.signed(
        Identity.generate() if lie == "by a stranger" else ours,
        party_id,
        request.target_owner,
        "else" if lie == "of another request" else "anything",
        issued_from=0,
        issued_until=request.issued_at,
    )
    said = report(
        CancelAnswered(statement=statement),
        identity=ours,
        party_id="party-1",
        session_id=cancel_session_id(cancel.digest),
    )
    await shire.deliver(said)
    assert len(shire.dead) == 1
    session = await shire.coordinator_store.session(cancel_session_id(cancel.digest))
    assert session is not None
    assert session.received == ()


async def test_cancels_are_nobodys_quota_and_no_session_to_look_at(shire: World) -> None:
    cancel = wish(shire, "cancel", target="anything")
    await shire.submit(cancel)
    assert await shire.coordinator_store.unfinished() == {}
    for named in (
        {"target": cancel.request.request_id},
        {"session_id": cancel_session_id(cancel.digest)},
    ):
        looking = wish(shire, "query_session", **named)
        assert await refused(shire, looking) is FailureCode.UNKNOWN_REQUEST
