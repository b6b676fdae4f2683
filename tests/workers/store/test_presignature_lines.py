"""Requests that wait for presignatures, and are served in their order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    CoordinatorChange,
    Outcome,
    PooledPresignature,
    WaitingSession,
)

from .conftest import RawDatabase
from .examples import (
    KEY,
    coordinator_change,
    pool,
    pooled,
    request,
    session_id,
    waiter,
)
from .stocks import ask, given, go_on, ids, left, line_up, stock, wait_for

ROLE = "coordinator"
FINAL = ["completed", "failed", "expired", "cancelled"]


###
### Waiting
###


async def test_a_pool_that_somebody_waits_for_is_passed_over(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(2), pooled(2, "1,3", "second"))
    await wait_for(coordinator, "list", 64)

    assert await ask(coordinator, ["1,2"]) == ()
    assert set(await ask(coordinator, ["1,2", "1,3"])) < set(pooled(2, "1,3", "second"))
    assert await left(raw) == 3


async def test_whoever_waits_for_another_pool_is_in_nobody_s_way(
    coordinator: CoordinatorStore,
) -> None:
    await stock(coordinator, pooled(1))
    await wait_for(coordinator, "other signers", signers="1,3")
    for elsewhere in [pool(epoch=1), pool(key_session=session_id("other"))]:
        name = f"waits for {elsewhere}"
        record = replace(waiter(name), pool=elsewhere)
        await coordinator.commit(coordinator_change(name, waiter=record))
    assert await ask(coordinator, ["1,2"]) == pooled(1)


async def test_waiters_come_in_the_order_in_which_they_came(coordinator: CoordinatorStore) -> None:
    names = ["d", "a", "c", "b"]
    for count, name in enumerate(names, start=1):
        await wait_for(coordinator, name, count)
    await wait_for(coordinator, "other", signers="1,3")
    queue = [waiter(name, count) for count, name in enumerate(names, start=1)]

    assert await coordinator.waiters(pool(), 10) == queue
    assert await coordinator.waiters(pool(), 2) == queue[:2]
    assert await coordinator.waiters(pool("2,3"), 10) == []


async def test_whoever_comes_again_is_last(coordinator: CoordinatorStore) -> None:
    for name in ["first", "second"]:
        await wait_for(coordinator, name)
    again = coordinator_change(
        "first", expected_version=1, cause="2", served=True, waiter=waiter("first", 2)
    )
    assert await coordinator.commit(again) is Outcome.COMMITTED
    assert await coordinator.waiters(pool(), 10) == [waiter("second"), waiter("first", 2)]


@pytest.mark.parametrize("status", ["in_progress", *FINAL])
async def test_whoever_is_served_or_over_waits_no_more(
    coordinator: CoordinatorStore, status: str
) -> None:
    for name in ["mine", "theirs"]:
        await wait_for(coordinator, name)
    change = coordinator_change(
        "mine", expected_version=1, cause="2", status=status, served=status == "in_progress"
    )
    await coordinator.commit(change)
    assert await coordinator.waiters(pool(), 10) == [waiter("theirs")]


async def test_whoever_waits_goes_on_waiting_while_its_session_moves_on(
    coordinator: CoordinatorStore,
) -> None:
    await wait_for(coordinator, "mine")
    await coordinator.commit(coordinator_change("mine", expected_version=1, cause="2"))
    assert await coordinator.waiters(pool(), 10) == [waiter("mine")]


async def test_whoever_waited_claims_all_or_nothing_whoever_else_waits(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(3), pooled(9, "1,3", "second"))
    await wait_for(coordinator, "first")
    await wait_for(coordinator, "second")

    assert await coordinator.claim_presignatures(pool(), 4) == ()
    assert await left(raw) == 12
    assert set(await coordinator.claim_presignatures(pool(), 3)) == set(pooled(3))
    assert await coordinator.claim_presignatures(pool(), 1) == ()
    assert await coordinator.claim_presignatures(pool(epoch=1), 1) == ()


async def test_of_many_who_claim_the_same_exactly_one_gets_them(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    await stock(coordinator, pooled(5))
    answers = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).claim_presignatures(pool(), 3)
            for racer in range(10)
        )
    )
    assert sorted(map(len, answers)) == [0] * 9 + [3]


###
### Serving
###


async def test_those_who_wait_are_served_in_their_order_as_far_as_it_goes(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(5))
    await line_up(coordinator, "d", "a", count=2)
    await line_up(coordinator, "c", count=2)
    await line_up(coordinator, "b")
    changes = await coordinator.serve(pool(), 10, go_on)
    # There would be enough for the last one, whose turn it is not.
    assert [change.session_id for change in changes] == ids("d", "a")
    assert len(set(given(changes))) == 4
    assert await left(raw) == 1
    for change in changes:
        session = await coordinator.session(change.session_id)
        assert session is not None
        assert (session.status, session.version) == ("in_progress", 2)
        assert (session.state, session.deadline) == (change.state, change.deadline)
        assert await coordinator.outgoing(change.session_id, "served") == change.outgoing
    assert await coordinator.serve(pool(), 10, go_on) == []
    assert await left(raw) == 1


async def test_whoever_is_served_is_shown_as_it_stands(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2))
    await line_up(coordinator, "mine", count=2)
    moved = coordinator_change("mine", expected_version=1, cause="2", status="waiting")
    await coordinator.commit(moved)
    session = await coordinator.session(session_id("mine"))
    assert session is not None
    seen: list[WaitingSession] = []

    def look(
        waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
    ) -> CoordinatorChange:
        seen.append(waiting)
        assert set(presignatures) == set(pooled(2))
        return go_on(waiting, presignatures)

    await coordinator.serve(pool(), 10, look)
    asked = request("asks for mine")
    expected = WaitingSession(
        session=session, count=2, request=asked.body, signature=asked.signature
    )
    assert seen == [expected]


async def test_so_many_are_served_at_once(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(9))
    await line_up(coordinator, *"abc")
    for names in ["ab", "c", ""]:
        changes = await coordinator.serve(pool(), 2, go_on)
        assert [change.session_id for change in changes] == ids(*names)


async def test_only_that_pool_s_line_is_served(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2), pooled(2, "1,3", "second"))
    await line_up(coordinator, "mine")
    for other in [pool("1,3"), pool(epoch=1), pool(key_session=session_id("other"))]:
        assert await coordinator.serve(other, 10, go_on) == []
    (change,) = await coordinator.serve(pool(), 10, go_on)
    assert given([change])[0][0] == session_id("batch")


async def test_whoever_is_over_is_not_served(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2))
    await line_up(coordinator, "mine", "theirs")
    over = coordinator_change("mine", expected_version=1, cause="2", status="cancelled")
    await coordinator.commit(over)
    (change,) = await coordinator.serve(pool(), 10, go_on)
    assert change.session_id == session_id("theirs")


async def test_nobody_is_served_if_one_of_them_cannot_go_on(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(3))
    await line_up(coordinator, *"abc")
    before = await raw.everything()

    def fails_at_last(
        waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
    ) -> CoordinatorChange:
        if waiting.session.session_id == session_id("c"):
            raise ValueError("unreadable")
        return go_on(waiting, presignatures)

    with pytest.raises(ValueError, match="unreadable"):
        await coordinator.serve(pool(), 10, fails_at_last)
    assert await raw.everything() == before
    assert len(await coordinator.serve(pool(), 10, go_on)) == 3


async def test_whoever_was_served_is_leaving_until_it_says_so(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.use_pool(pool(), "svcA", "treasury", 10)
    await stock(coordinator, pooled(3))
    await line_up(coordinator, *"abcd")
    await line_up(coordinator, "e", count=64)
    assert await coordinator.leaving(pool(), 10) == []
    await coordinator.serve(pool(), 10, go_on)

    assert await coordinator.leaving(pool(), 10) == ids(*"abc")
    assert await coordinator.leaving(pool(), 2) == ids(*"ab")
    assert await coordinator.leaving(pool("1,3"), 2) == []
    (record,) = await coordinator.pools(0)
    assert (record.stock, record.waiting, record.leaving) == (0, 65, 3)
    await coordinator.stop_waiting(ids(*"ac"))
    assert await coordinator.leaving(pool(), 10) == ids("b")
    assert await coordinator.waiters(pool(), 10) == [waiter("b"), waiter("d"), waiter("e", 64)]
    (record,) = await coordinator.pools(0)
    assert (record.waiting, record.leaving) == (65, 1)


async def test_two_who_serve_one_line_give_each_in_it_its_own(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    names = [f"session {number}" for number in range(24)]
    await stock(coordinator, pooled(20))
    await line_up(coordinator, *names)
    answers = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).serve(pool(), 5, go_on)
            for racer in range(6)
        )
    )
    places = given([change for changes in answers for change in changes])
    assert len(places) == len(set(places)) == 20
    served = [[change.session_id for change in changes] for changes in answers if changes]
    assert sorted(map(ids(*names).index, (first for first, *_ in served))) == [0, 5, 10, 15]
    assert {each for several in served for each in several} == set(ids(*names[:20]))


async def test_whoever_comes_while_others_wait_gets_what_they_leave(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(7))
    await wait_for(coordinator, "list", 4)
    await wait_for(coordinator, "another")
    assert await ask(coordinator, ["1,2"], 3) == ()
    assert len(await ask(coordinator, ["1,2"], 2)) == 2
    assert await ask(coordinator, ["1,2"]) == ()
    assert await left(raw) == 5


async def test_the_stock_is_counted_by_key_whether_its_pool_is_in_use_or_not(
    coordinator: CoordinatorStore,
) -> None:
    assert await coordinator.stock() == {}
    other = session_id("other key")
    await stock(
        coordinator,
        pooled(3),
        pooled(2, "1,3", "second"),
        pooled(1, batch="other", key_session=other),
    )
    assert await coordinator.stock() == {KEY: 5, other: 1}
