"""The desk, over a client library that is a double: one coordinator, as many gateways as wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from contracts.client import Begun, Client, ClientClosedError, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme, Status
from contracts.results import SignResult
from gateway import memory, sessions, watching
from gateway.sessions import Desk, Opened, ReferenceConflictError

from ..patience import until
from .coordinators import ClientDouble, Coordinator


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    monkeypatch.setattr(watching, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(watching, "LONGEST_PAUSE_S", 0.01)
    return Coordinator()


def gateway(coordinator: Coordinator) -> Desk:
    return Desk(cast("Client", ClientDouble(coordinator)), timeout_s=30)


@pytest.fixture
async def desk(coordinator: Coordinator) -> AsyncIterator[Desk]:
    async with gateway(coordinator) as opened:
        yield opened


async def begin(desk: Desk, tenant: str = "shop", **changes: Any) -> Opened:
    asked: dict[str, Any] = {
        "key_id": "treasury",
        "message": b"message",
        "scheme": Scheme.ED25519,
        "reference": "wish",
        "request_id": "mine",
    }
    return await desk.begin_signature(tenant, **{**asked, **changes})


async def test_a_session_is_opened_with_what_was_announced(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = await begin(desk)
    (begun,) = coordinator.begun
    assert opened == Opened(session_id=bytes([1]) * 32, announced=begun.announced)
    made = await desk.begin_key(
        "shop",
        key_id="k",
        curve=Curve.ED25519,
        threshold=2,
        party_count=3,
        reference="a key",
        request_id="another",
    )
    assert (made.session_id, made.replayed) == (bytes([2]) * 32, False)


async def test_a_result_that_was_first_is_the_outcome(desk: Desk, coordinator: Coordinator) -> None:
    coordinator.instant = True
    opened = await begin(desk)
    assert (opened.announced, opened.view, opened.replayed) == (None, None, False)
    assert isinstance(opened.outcome, SignResult)


async def test_a_repetition_at_any_gateway_gives_the_same_session(
    desk: Desk, coordinator: Coordinator
) -> None:
    first = await begin(desk)
    async with gateway(coordinator) as another:
        for each in (desk, another):
            again = await begin(each)
            assert (again.session_id, again.replayed) == (first.session_id, True)
            assert again.view is not None
            assert again.view.reference == "wish"
            assert again.outcome is None
        outcome = coordinator.end(first.session_id)
        assert (await begin(another)).outcome == outcome
    assert len(coordinator.begun) == 1


async def test_repetitions_at_the_same_moment_begin_one_session(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = await asyncio.gather(*(begin(desk) for _ in range(5)))
    assert {each.session_id for each in opened} == {bytes([1]) * 32}
    assert sorted(each.replayed for each in opened) == [False, True, True, True, True]


async def test_who_loses_against_another_gateway_finds_its_session(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = [await begin(desk, fresh=True), await begin(desk, fresh=True)]
    assert opened[0].session_id == opened[1].session_id
    assert [each.replayed for each in opened] == [False, True]
    with pytest.raises(ReferenceConflictError):
        await begin(desk, fresh=True, reference="another wish")


async def test_a_conflict_about_nothing_stays_one(desk: Desk, coordinator: Coordinator) -> None:
    coordinator.refusal = FailureCode.CONFLICT
    with pytest.raises(RequestFailedError) as caught:
        await begin(desk)
    assert caught.value.failure.code is FailureCode.CONFLICT


async def test_another_wish_under_the_same_id_is_refused(desk: Desk) -> None:
    await begin(desk)
    with pytest.raises(ReferenceConflictError):
        await begin(desk, reference="another wish")


async def test_what_was_refused_can_be_asked_for_again(
    desk: Desk, coordinator: Coordinator
) -> None:
    coordinator.refusal = FailureCode.OVERLOADED
    with pytest.raises(RequestFailedError, match="overloaded"):
        await begin(desk)
    coordinator.refusal = None
    assert not (await begin(desk)).replayed


async def test_tenants_with_the_same_id_have_sessions_of_their_own(
    desk: Desk, coordinator: Coordinator
) -> None:
    shop, bank = await begin(desk, "shop"), await begin(desk, "bank", reference="another wish")
    assert shop.session_id != bank.session_id
    # Results tell the request id and not the tenant.
    assert len({begun.request_id for begun in coordinator.begun}) == 2
    with pytest.raises(RequestFailedError, match="unknown_request"):
        await desk.look("bank", shop.session_id)


async def test_who_waits_where_it_was_begun_asks_once_when_the_result_is_there(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = await begin(desk)
    coordinator.looks = 0
    waiting = asyncio.create_task(desk.wait("shop", opened.session_id, 60))
    await asyncio.sleep(0.01)
    assert coordinator.looks == 0
    outcome = coordinator.end(opened.session_id)
    coordinator.begun[0].ending.set_result(outcome)
    found = await waiting
    assert found.outcome == outcome
    assert coordinator.looks == 1


async def test_an_outcome_that_came_here_costs_no_question(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = await begin(desk)
    coordinator.looks = 0
    waiting = asyncio.create_task(desk.outcome("shop", opened.session_id, 60))
    await asyncio.sleep(0)
    outcome = coordinator.end(opened.session_id)
    coordinator.begun[0].ending.set_result(outcome)
    assert await waiting == outcome
    assert coordinator.looks == 0
    assert await desk.outcome("shop", opened.session_id, 60) == outcome  # it is no longer here


async def test_many_who_wait_elsewhere_share_one_that_asks(
    coordinator: Coordinator, desk: Desk
) -> None:
    opened = await begin(desk)
    async with gateway(coordinator) as another:
        waiting = [
            asyncio.create_task(another.wait("shop", opened.session_id, 60)) for _ in range(20)
        ]
        await until(lambda: coordinator.looks > 25)
        coordinator.gate.clear()
        held = coordinator.looks
        await asyncio.sleep(0.01)
        assert coordinator.looks <= held + 1
        waiting[0].cancel()  # one less changes nothing
        outcome = coordinator.end(opened.session_id)
        coordinator.gate.set()
        found = await asyncio.gather(*waiting[1:])
        assert {each.outcome == outcome for each in found} == {True}
        assert len(another._watches) == 0


async def test_a_wait_that_is_over_tells_how_it_is(desk: Desk, coordinator: Coordinator) -> None:
    opened = await begin(desk)
    coordinator.move(opened.session_id, status=Status.IN_PROGRESS)
    async with gateway(coordinator) as another:
        for each in (desk, another):
            for seconds in (0, 0.01):
                found = await each.wait("shop", opened.session_id, seconds)
                assert found.session is not None
                assert found.session.status is Status.IN_PROGRESS
            assert await each.outcome("shop", opened.session_id, 0) is None
    assert not coordinator.begun[0].stopped


async def test_a_session_that_nobody_has_is_an_error_for_all_who_wait(desk: Desk) -> None:
    for call in (
        desk.wait("shop", bytes(32), 60),
        anext(desk.follow("shop", bytes(32))),
    ):
        with pytest.raises(RequestFailedError, match="unknown_request"):
            await call


async def test_what_does_not_come_here_is_asked_for(desk: Desk, coordinator: Coordinator) -> None:
    opened = await begin(desk)
    waiting = asyncio.create_task(desk.wait("shop", opened.session_id, 60))
    await asyncio.sleep(0)
    coordinator.begun[0].stop()
    looks = coordinator.looks
    await until(lambda: coordinator.looks > looks + 2)
    assert not waiting.done()
    outcome = coordinator.end(opened.session_id)
    assert (await waiting).outcome == outcome


async def test_who_follows_sees_each_change_once_and_the_end(
    desk: Desk, coordinator: Coordinator
) -> None:
    opened = await begin(desk)
    following = desk.follow("shop", opened.session_id)
    seen = [await anext(following)]
    looks = coordinator.looks
    await until(lambda: coordinator.looks > looks + 3)
    coordinator.move(opened.session_id, joined=["p1"])
    seen.append(await anext(following))
    outcome = coordinator.end(opened.session_id)
    coordinator.begun[0].ending.set_result(outcome)
    seen += [found async for found in following]
    assert [(each.session.status, each.session.joined) for each in seen if each.session] == [
        (Status.WAITING, []),
        (Status.WAITING, ["p1"]),
        (Status.COMPLETED, ["p1"]),
    ]
    assert seen[-1].outcome == outcome
    looks = coordinator.looks
    await asyncio.sleep(0.03)
    assert coordinator.looks == looks


async def test_a_result_that_comes_here_cuts_the_pause_short(
    desk: Desk, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "FIRST_PAUSE_S", 1000)
    opened = await begin(desk)
    following = desk.follow("shop", opened.session_id)
    await anext(following)
    coordinator.begun[0].ending.set_result(coordinator.end(opened.session_id))
    assert (await anext(following)).outcome is not None


async def test_who_stops_following_stops_the_asking(desk: Desk, coordinator: Coordinator) -> None:
    opened = await begin(desk)
    async with contextlib.aclosing(desk.follow("shop", opened.session_id)) as following:
        await anext(following)
    looks = coordinator.looks
    await asyncio.sleep(0.03)
    assert coordinator.looks == looks


async def test_no_more_results_are_awaited_than_there_is_room_for(
    desk: Desk, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "RUNNING", 2)
    opened = [await begin(desk, request_id=f"r{at}") for at in range(3)]
    assert [begun.stopped for begun in coordinator.begun] == [True, False, False]
    coordinator.end(opened[0].session_id)
    assert (await desk.wait("shop", opened[0].session_id, 60)).outcome is not None


async def test_what_is_over_is_not_kept(desk: Desk, coordinator: Coordinator) -> None:
    opened = await begin(desk)
    coordinator.begun[0].ending.set_result(coordinator.end(opened.session_id))
    await until(lambda: not desk._running)


async def test_closing_ends_all_that_waits(coordinator: Coordinator) -> None:
    async with gateway(coordinator) as desk:
        client = cast("ClientDouble", desk._client)
        await client.discarding.wait()
        opened = await begin(desk)
        elsewhere = await begin(desk, request_id="other")
        coordinator.begun[1].stop()
        waiting = [
            asyncio.create_task(desk.wait("shop", each.session_id, 60))
            for each in (opened, elsewhere)
        ]
        await until(lambda: len(desk._watches) == 1)
    assert all(begun.stopped for begun in coordinator.begun)
    for each in (*waiting, anext(desk.follow("shop", opened.session_id))):
        with pytest.raises(ClientClosedError):
            await each


async def test_the_coordinator_is_asked_at_once_and_says_itself_whose_turn_it_is(
    coordinator: Coordinator,
) -> None:
    async with gateway(coordinator) as desk:
        for i in range(40):
            await begin(desk, request_id=f"r{i}")
        coordinator.refusal = FailureCode.OVERLOADED
        with pytest.raises(RequestFailedError):
            await begin(desk, request_id="refused")
        coordinator.refusal, coordinator.instant = None, True
        assert (await begin(desk, request_id="instant")).outcome is not None


async def test_a_desk_that_hangs_up_lets_nobody_wait_on(
    desk: Desk, coordinator: Coordinator
) -> None:
    async with gateway(coordinator) as another:
        opened = await begin(desk)
        waiting = [
            asyncio.create_task(desk.wait("shop", opened.session_id, 60)),
            asyncio.create_task(another.wait("shop", opened.session_id, 60)),
        ]
        result = asyncio.create_task(desk.outcome("shop", opened.session_id, 60))
        await until(lambda: coordinator.looks > 1)
        for each in (desk, another):
            each.hang_up()
        async with asyncio.timeout(10):
            for looked in await asyncio.gather(*waiting):
                assert looked.session is not None
                assert looked.session.status is Status.WAITING
            assert await result is None
            late = await another.wait("shop", opened.session_id, 60)
        assert late.outcome is None


async def test_a_key_is_asked_for_once_in_a_while(
    desk: Desk, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("shop", "shop", "bank"):
        assert (await desk.key(tenant, "treasury")).facts.key_id == "treasury"
    assert coordinator.key_queries == 2
    monkeypatch.setattr(memory, "KEYS", 2)
    for name in ("another", "treasury"):
        await desk.key("shop", name)
    assert coordinator.key_queries == 4
    monkeypatch.setattr(memory, "KEY_FOR_S", 0.0)
    await desk.key("shop", "treasury")
    assert coordinator.key_queries == 5


def test_the_double_has_what_the_desk_uses_of_a_request_that_was_begun() -> None:
    for name in ("announced", "done", "request_id", "result", "stop"):
        assert hasattr(Begun, name)
