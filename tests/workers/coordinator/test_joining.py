"""Callers that join parties: what their tokens are good for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.results import JoinSessionResult, KeygenResult, Status
from tests.workers.callers import (
    PARTIES,
    announced,
    answer,
    answered,
    instructions,
    join,
    joining,
    making,
    refused,
    view,
)
from tests.workers.crew import coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import make_key
from tests.workers.simulate import World
from tests.workers.tries import FROST, begun, conduct_of, deaf, history, try_time_is_over
from workers.coordinator.endings import Endings
from workers.delivery.publisher import PublishError
from workers.session.coordinator import announcing
from workers.store.interface import StoreUnavailableError

###
### Who joins which party
###


async def test_each_token_joins_its_party(shire: World) -> None:
    request, told = await making(shire)
    for number, party_id in enumerate(PARTIES, start=1):
        result = await join(shire, told, party_id)
        assert result.party_id == party_id
        assert result.session_id == told.session_id
        assert result.session is not None
        assert result.session.joined == PARTIES[:number]
    seen = await view(shire, target=request.request_id)
    assert seen.joined == PARTIES
    events = [event.party_id for event in seen.events if event.event == "caller_joined"]
    assert events == PARTIES
    assert len(instructions(shire, told.session_id, "session_created")) == 3
    assert "begun" not in {event.event for event in seen.events}
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED


async def test_whoever_joins_a_party_does_not_see_the_tokens_of_others(shire: World) -> None:
    _, told = await making(shire)
    result = await join(shire, told, "party-1")
    assert result.session is not None
    assert result.session.join_tokens == {}
    assert result.session.session_token is None
    for token in [told.session_token, *told.join_tokens.values()]:
        assert token.hex() not in result.model_dump_json()


async def test_the_sessions_token_joins_each_party_by_name(shire: World) -> None:
    _, told = await making(shire)
    token = told.session_token
    nameless = joining(shire, told, None, join_token=token)
    assert await refused(shire, nameless) is FailureCode.INVALID_REQUEST
    for party_id in PARTIES:
        wanted = joining(shire, told, None, join_token=token, party_id=party_id)
        result = await answered(shire, wanted, JoinSessionResult)
        assert (result.failure, result.party_id) == (None, party_id)
    stranger = joining(shire, told, None, join_token=token, party_id="party-9")
    assert await refused(shire, stranger) is FailureCode.TOKEN_REFUSED


async def test_a_party_is_joined_once_whichever_token_is_shown(shire: World) -> None:
    _, told = await making(shire)
    await join(shire, told, "party-1")
    again = joining(shire, told, "party-1")
    by_session = joining(shire, told, None, join_token=told.session_token, party_id="party-1")
    for request in (again, by_session):
        result = await answered(shire, request, JoinSessionResult)
        assert (result.failure, result.party_id) == (None, "party-1")
        assert result.session is not None
        assert result.session.joined == ["party-1"]
    assert (await view(shire, session_id=told.session_id)).joined == ["party-1"]


async def test_many_who_show_one_token_at_once_join_one_party_once(shire: World) -> None:
    _, told = await making(shire)
    workers = [coordinator_worker(shire)[0] for _ in range(2)]
    wishes = [joining(shire, told, "party-1") for _ in range(6)]

    async def show(number: int) -> None:
        crew = World(**{**vars(shire), "requests": workers[number % 2]})
        await crew.submit(wishes[number])

    await asyncio.gather(*(show(number) for number in range(6)))
    results: list[Any] = [answer(shire, each.request, JoinSessionResult) for each in wishes]
    assert [each.failure for each in results] == [None] * 6
    seen = await view(shire, session_id=told.session_id)
    assert seen.joined == ["party-1"]
    assert [each.event for each in seen.events].count("caller_joined") == 1


###
### Who is refused
###


async def test_a_token_of_another_party_session_or_nobody_is_refused(shire: World) -> None:
    _, told = await making(shire)
    _, other = await making(shire)
    wrong = [
        joining(shire, told, "party-1", party_id="party-2"),
        joining(shire, told, None, join_token=other.join_tokens["party-1"]),
        joining(shire, told, None, join_token=other.session_token, party_id="party-1"),
        joining(shire, told, None, join_token=bytes(32)),
    ]
    for request in wrong:
        assert await refused(shire, request) is FailureCode.TOKEN_REFUSED
    assert (await view(shire, session_id=told.session_id)).joined == []


async def test_a_session_that_was_not_announced_cannot_be_joined(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    session = await view(shire, target=request.request_id)
    conduct = await conduct_of(shire, session.session_id)
    as_if = conduct.model_copy(update={"request": request.model_copy(update={"announce": True})})
    told = announcing.announced(as_if)
    assert await refused(shire, joining(shire, told, "party-1")) is FailureCode.TOKEN_REFUSED


async def test_a_token_is_of_no_use_to_another_tenant(shire: World) -> None:
    _, told = await making(shire, tenant="shop")
    for tenant in (None, "other"):
        request = joining(shire, told, "party-1", tenant=tenant)
        assert await refused(shire, request) is FailureCode.UNKNOWN_REQUEST
    own = joining(shire, told, "party-1", tenant="shop")
    assert (await answered(shire, own, JoinSessionResult)).failure is None


async def test_who_is_late_is_told_how_the_session_ended_and_nobody_else_is(shire: World) -> None:
    _, told = await making(shire)
    await shire.run()
    late = await join(shire, told, "party-1")
    assert late.session is not None
    assert (late.session.status, late.session.joined) == (Status.COMPLETED, [])
    wrong = joining(shire, told, None, join_token=bytes(32))
    assert await refused(shire, wrong) is FailureCode.TOKEN_REFUSED
    other = joining(shire, told, "party-1", party_id="party-2")
    assert await refused(shire, other) is FailureCode.TOKEN_REFUSED
    nowhere = joining(shire, told, "party-1", session_id=bytes(32))
    assert await refused(shire, nowhere) is FailureCode.UNKNOWN_REQUEST


async def test_a_request_to_join_that_comes_too_late_joins_nobody(shire: World) -> None:
    _, told = await making(shire)
    now = shire.clock()
    request = joining(shire, told, "party-1", issued_at=now - 2_000, expires_at=now - 1_000)
    assert await refused(shire, request) is FailureCode.EXPIRED


###
### Requests that come again
###


async def test_the_same_request_to_join_is_answered_alike_however_often_it_comes(
    shire: World,
) -> None:
    _, told = await making(shire)
    request = joining(shire, told, "party-1")
    first = await answered(shire, request, JoinSessionResult)
    await join(shire, told, "party-2")
    assert await answered(shire, request, JoinSessionResult) == first
    await shire.run()
    assert await answered(shire, request, JoinSessionResult) == first


async def test_another_request_to_join_is_another_one_whatever_its_id(shire: World) -> None:
    _, told = await making(shire)
    await answered(shire, joining(shire, told, "party-1", request_id="mine"), JoinSessionResult)
    other = joining(shire, told, "party-2", request_id="mine", party_id="party-3")
    assert await refused(shire, other) is FailureCode.TOKEN_REFUSED
    assert (await view(shire, session_id=told.session_id)).joined == ["party-1"]


async def test_a_join_that_was_committed_and_not_answered_is_answered_when_it_comes_again(
    shire: World,
) -> None:
    _, told = await making(shire)
    request = joining(shire, told, "party-1")
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    healthy = shire.requests
    shire.requests, _ = coordinator_worker(shire, network=away)
    with pytest.raises(PublishError):
        await shire.submit(request)
    shire.requests = healthy
    assert (await answered(shire, request, JoinSessionResult)).failure is None
    await join(shire, told, "party-1")
    assert (await view(shire, session_id=told.session_id)).joined == ["party-1"]


###
### Other signers
###


async def test_who_was_joined_stays_so_when_other_signers_serve_the_request(shire: World) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=FROST, announce=True)
    told = announced(shire, request)
    await join(shire, told, silent)
    await shire.run(dropped=deaf(silent))
    await try_time_is_over(shire, first)
    await join(shire, told, silent)
    (other,) = set(told.parties) - {silent}
    await join(shire, told, other)
    assert (await view(shire, session_id=first)).joined == [silent, other]


async def test_nobody_joins_between_two_sessions_of_a_request(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_key(shire)
    request, first, silent = await begun(shire, key, scheme=FROST, announce=True)
    told = announced(shire, request)
    await shire.run(dropped=deaf(silent))

    async def dies(*_: object) -> None:
        raise PublishError("before it has begun the next one")

    with monkeypatch.context() as worker:
        worker.setattr(Endings, "tell", dies)
        with pytest.raises(PublishError):
            await try_time_is_over(shire, first)
    joins = joining(shire, told, silent)
    with pytest.raises(StoreUnavailableError):
        await shire.submit(joins)
    assert [event for event, _ in await history(shire, first)][-1] == "expired"
    await shire.reports.send_owed(first)
    assert (await answered(shire, joins, JoinSessionResult)).failure is None
    assert (await view(shire, session_id=first)).joined == [silent]
