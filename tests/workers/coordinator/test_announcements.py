"""Sessions that are announced to their clients, and go by the announced id ever after."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts import addresses
from contracts.failures import FailureCode
from contracts.results import CancelResult, KeygenResult, SignResult, Status
from contracts.signing import sign_request
from tests.workers.callers import (
    announced,
    announcements,
    answer,
    answered,
    ask,
    refusal,
    seen,
    view,
)
from tests.workers.crew import Together, coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import ecdsa_request, make_key
from tests.workers.simulate import CLIENT, World
from tests.workers.tries import (
    FROST,
    begun,
    deaf,
    everyone_is_alive,
    session_of,
    try_time_is_over,
)
from workers.coordinator.endings import Endings
from workers.delivery.publisher import PublishError


async def test_a_session_is_announced_before_anything_else_is_sent(shire: World) -> None:
    request = shire.keygen_request(announce=True)
    await shire.ask(request)
    first, *others = shire.network.sent
    assert first.exchange == addresses.RESULTS
    assert first.routing_key == addresses.announcement_key(CLIENT, request.request_id)
    assert {message.exchange for message in others} == {addresses.KEYGEN}
    told = announced(shire, request)
    assert told.parties == list(shire.identities)
    assert set(told.join_tokens) == set(told.parties)
    assert told.deadline == request.expires_at
    assert len({*told.join_tokens.values(), told.session_token}) == 4

    await shire.run()
    result = answer(shire, request, KeygenResult)
    assert result.status is Status.COMPLETED
    assert result.session_id == told.session_id
    assert len(announcements(shire, request)) == 1


async def test_an_answer_says_to_which_of_two_requests_of_one_id_it_is(shire: World) -> None:
    asked = sign_request(shire.keygen_request(announce=True), shire.client)
    await shire.submit(asked)
    assert announced(shire, asked.request).request_digest == asked.digest
    other = sign_request(asked.request.model_copy(update={"reference": "other"}), shire.client)
    refused = await answered(shire, other, KeygenResult)
    assert refused.failure is not None
    assert refused.failure.code is FailureCode.CONFLICT
    assert refused.request_digest == other.digest
    await shire.run()
    assert answer(shire, asked.request, KeygenResult).request_digest == asked.digest

    key_id = answer(shire, asked.request, KeygenResult).key_id
    signing = sign_request(shire.sign_request(key_id=key_id), shire.client)
    await shire.submit(signing)
    await shire.run()
    assert answer(shire, signing.request, SignResult).request_digest == signing.digest
    unknown = sign_request(shire.sign_request(key_id="nobody-s"), shire.client)
    assert (await answered(shire, unknown, SignResult)).request_digest == unknown.digest
    ended = sign_request(shire.sign_request(key_id=key_id), shire.client)
    await shire.submit(ended)
    await ask(shire, CancelResult, "cancel", target=ended.request.request_id)
    assert answer(shire, ended.request, SignResult).request_digest == ended.digest


async def test_nothing_is_announced_unasked(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    assert announcements(shire, request) == []
    assert (await view(shire, target=request.request_id)).join_tokens == {}


async def test_the_request_come_again_is_told_the_same_again(shire: World) -> None:
    request = shire.keygen_request(announce=True)
    signed = await shire.ask(request)
    sent = list(shire.network.sent)
    await shire.submit(signed)
    assert shire.network.sent == [*sent, *sent]

    await shire.run()
    before = len(shire.network.sent)
    await shire.submit(signed)
    first, last = shire.network.sent[before:]
    assert first == sent[0]
    assert last.message_id == request.request_id


@pytest.mark.parametrize("lost", [1, 3])
async def test_an_announcement_that_was_committed_and_not_sent_is_sent_with_the_request_again(
    shire: World, lost: int
) -> None:
    away: Any = FakePublisher(trouble=[PublishError("broker away")] * lost)
    healthy = shire.requests
    shire.requests, _ = coordinator_worker(shire, network=away)
    request = shire.keygen_request(announce=True)
    with pytest.raises(PublishError):
        await shire.ask(request)
    shire.requests = healthy
    await shire.ask(request)
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    assert announced(shire, request).session_id == known.session_id
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED


async def test_two_coordinators_announce_one_session(shire: World) -> None:
    pair: Any = Together([coordinator_worker(shire)[0] for _ in range(2)])
    shire.requests = pair
    for request in [shire.keygen_request(announce=True) for _ in range(3)]:
        await shire.ask(request)
        announced(shire, request)


async def test_other_bytes_under_the_same_id_are_told_of_a_conflict_only(shire: World) -> None:
    request = shire.keygen_request(announce=True, reference="first")
    await shire.ask(request)
    before = len(shire.network.sent)
    await shire.ask(request.model_copy(update={"expires_at": request.expires_at + 1}))
    (conflict,) = shire.network.sent[before:]
    failure = answer(shire, request, KeygenResult).failure
    assert failure is not None
    assert failure.code is FailureCode.CONFLICT
    assert conflict.message_id == request.request_id
    assert (await view(shire, target=request.request_id)).reference == "first"


###
### Seen from outside
###


async def test_the_owner_sees_what_was_announced_and_what_came_of_it(shire: World) -> None:
    request = shire.keygen_request(announce=True, reference="a word")
    await shire.ask(request)
    told = announced(shire, request)
    running = await seen(shire, target=request.request_id)
    assert running.session is not None
    assert running.outcome is None
    assert running.session.session_id == told.session_id
    assert running.session.join_tokens == told.join_tokens
    assert running.session.session_token == told.session_token
    assert running.session.reference == "a word"
    assert running.session.curve is request.curve
    assert (running.session.threshold, running.session.party_count) == (2, 3)
    assert running.session.status is Status.WAITING

    await shire.run()
    over = await seen(shire, session_id=told.session_id)
    assert over.outcome == answer(shire, request, KeygenResult)
    signed = shire.sign_request(key_id=request.key_id)
    await shire.ask(signed)
    signing = await view(shire, target=signed.request_id)
    assert (signing.threshold, signing.party_count) == (2, 3)
    assert len(signing.parties) == 2
    assert signing.curve is request.curve


@pytest.mark.parametrize("announce", [True, False])
async def test_a_request_that_others_serve_goes_by_the_first_session(
    shire: World, announce: bool
) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=FROST, announce=announce)
    await shire.run(dropped=deaf(silent))
    await try_time_is_over(shire, first)
    await shire.run()
    second = await session_of(shire, request)
    assert second != first
    result = answer(shire, request, SignResult)
    assert result.status is Status.COMPLETED
    assert result.session_id == (first if announce else second)

    for named in (first, second):
        found = await seen(shire, session_id=named)
        assert found.session is not None
        assert found.session.session_id == named
        assert found.session.status is Status.COMPLETED
        assert found.outcome == result
        assert silent not in found.session.parties
    by_request = await view(shire, target=request.request_id)
    assert by_request.session_id == (first if announce else second)
    if announce:
        told = announced(shire, request)
        assert told.session_id == first
        assert by_request.join_tokens == told.join_tokens
        assert silent in told.parties
        before = len(announcements(shire, request))
        await shire.ask(request)
        assert announced(shire, request) == told
        assert len(announcements(shire, request)) == before + 1


async def test_between_two_sessions_a_request_is_in_progress(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    _, first, silent = await begun(shire, key, scheme=FROST, announce=True)
    await shire.run(dropped=deaf(silent))

    class HalfwayError(Exception):
        pass

    async def die(*_: object) -> None:
        raise HalfwayError

    monkeypatch.setattr(Endings, "tell", die)
    with pytest.raises(HalfwayError):
        await try_time_is_over(shire, first)
    between = await seen(shire, session_id=first)
    assert between.session is not None
    assert between.session.status is Status.IN_PROGRESS
    assert between.outcome is None


###
### Cancelled
###


async def test_a_session_is_cancelled_by_its_request(shire: World) -> None:
    request = shire.keygen_request(announce=True)
    await shire.ask(request)
    told = announced(shire, request)
    for _ in range(2):
        result = await ask(shire, CancelResult, "cancel", target=request.request_id)
        assert result.target_status is Status.CANCELLED
        assert result.session_id == told.session_id
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.CANCELLED
    nothing = await ask(shire, CancelResult, "cancel", target="nothing")
    assert (nothing.session_id, nothing.target_status) == (None, None)


async def test_a_cancel_ends_the_session_that_the_request_went_on_in(
    shire: World,
) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=FROST, announce=True)
    await shire.run(dropped=deaf(silent))
    await try_time_is_over(shire, first)
    result = await ask(shire, CancelResult, "cancel", target=request.request_id)
    assert (result.session_id, result.target_status) == (first, Status.CANCELLED)
    await shire.run()
    over = answer(shire, request, SignResult)
    assert (over.session_id, over.status) == (first, Status.CANCELLED)


async def test_a_batch_is_no_session_of_any_client(shire: World) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key)
    await shire.ask(request)
    batches = [
        message.headers["session_id"]
        for message in shire.network.sent
        if message.exchange == addresses.PRESIGNING
    ]
    assert batches
    code = await refusal(shire, "query_session", session_id=bytes.fromhex(batches[0]))
    assert code is FailureCode.UNKNOWN_REQUEST


async def test_many_cancellations_at_once_agree(shire: World) -> None:
    pair: Any = Together([coordinator_worker(shire)[0] for _ in range(3)])
    request = shire.keygen_request(announce=True)
    await shire.ask(request)
    shire.requests = pair
    results = await asyncio.gather(
        *(ask(shire, CancelResult, "cancel", target=request.request_id) for _ in range(2))
    )
    assert {result.target_status for result in results} == {Status.CANCELLED}
