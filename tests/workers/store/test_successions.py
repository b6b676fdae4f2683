"""A session that takes over the request of an ended one: at most one does, and nothing is half."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import CoordinatorChange, Event, Outcome

from .conftest import RawDatabase
from .examples import (
    commitment,
    coordinator_change,
    outgoing,
    pooled,
    quarrel,
    received,
    request,
    session_id,
    waiter,
)

ROLE = "coordinator"


async def asked(store: CoordinatorStore, **ending: Any) -> None:
    """A request whose session has begun, and ended as told."""
    await store.commit(coordinator_change(request=request()))
    await ended(store, **ending)


async def ended(store: CoordinatorStore, name: str = "session", **ending: Any) -> None:
    change = coordinator_change(
        name, **({"expected_version": 1, "cause": "end", "status": "failed"} | ending)
    )
    assert await store.commit(change) is Outcome.COMMITTED


def successor(name: str = "second", of: str = "session", **other: Any) -> CoordinatorChange:
    return coordinator_change(name, **({"status": "waiting", "succeeds": session_id(of)} | other))


def full(**other: Any) -> CoordinatorChange:
    """One that writes wherever a change can write."""
    return successor(
        received=(received(),),
        outgoing=(outgoing(),),
        events=(Event(event="session_created"),),
        commitments=(commitment(),),
        presignatures=pooled(2),
        quarrels=(quarrel(),),
        waiter=waiter("second"),
        **other,
    )


@pytest.mark.parametrize("status", ["failed", "expired"])
async def test_a_session_takes_over_the_request_of_an_ended_one(
    coordinator: CoordinatorStore, status: str
) -> None:
    await asked(coordinator, status=status)
    assert await coordinator.commit(full()) is Outcome.COMMITTED

    taken = request(session_id=session_id("second"))
    assert await coordinator.request("svcA", "request") == taken
    assert await coordinator.request_of(session_id("second")) == taken
    assert await coordinator.request_of(session_id()) is None
    assert (await coordinator.admit("svcA", "request", request().digest)).request == taken
    begun = await coordinator.session(session_id("second"))
    assert begun is not None
    assert (begun.version, begun.status) == (1, "waiting")
    before = await coordinator.session(session_id())
    assert before is not None
    assert (before.version, before.status) == (2, status)
    assert await coordinator.outgoing(session_id("second"), "created") == (outgoing(),)
    assert await coordinator.waiters(waiter("second").pool, 10) == [waiter("second")]


async def test_a_request_goes_on_as_often_as_it_must_and_has_its_last_sessions_result(
    coordinator: CoordinatorStore,
) -> None:
    await asked(coordinator)
    assert await coordinator.commit(successor("second")) is Outcome.COMMITTED
    await ended(coordinator, "second")
    assert await coordinator.commit(successor("third", of="second")) is Outcome.COMMITTED
    await ended(coordinator, "third", status="completed", result=outgoing("result"))

    answered = request(session_id=session_id("third"), result=outgoing("result"))
    assert await coordinator.request("svcA", "request") == answered


async def test_only_the_request_of_that_session_moves(coordinator: CoordinatorStore) -> None:
    other = request("other", session_id=session_id("other"))
    await coordinator.commit(coordinator_change("other", request=other))
    await asked(coordinator)
    assert await coordinator.commit(successor()) is Outcome.COMMITTED
    assert await coordinator.request("svcA", "other") == other


async def test_who_waits_in_a_failed_pool_may_wait_in_another(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(
        coordinator_change(request=request(), status="waiting", waiter=waiter())
    )
    await ended(coordinator)
    wait = waiter("second", signers="1,3")
    assert await coordinator.commit(successor(waiter=wait)) is Outcome.COMMITTED
    assert await coordinator.waiters(waiter().pool, 10) == []
    assert await coordinator.waiters(wait.pool, 10) == [wait]


async def test_a_request_with_a_result_is_not_taken_over(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await asked(coordinator, result=outgoing("result"))
    before = await raw.everything()
    assert await coordinator.commit(full()) is Outcome.LOST_RACE
    assert await raw.everything() == before


async def test_a_request_that_has_gone_on_already_is_not_taken_over(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await asked(coordinator)
    assert await coordinator.commit(successor("faster")) is Outcome.COMMITTED
    before = await raw.everything()
    assert await coordinator.commit(full()) is Outcome.LOST_RACE
    assert await raw.everything() == before
    taken = request(session_id=session_id("faster"))
    assert await coordinator.request("svcA", "request") == taken


async def test_nobody_succeeds_a_session_that_nobody_asked_for(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change())
    before = await raw.everything()
    for predecessor in ("session", "unheard of"):
        assert await coordinator.commit(full(succeeds=session_id(predecessor))) is Outcome.LOST_RACE
    assert await raw.everything() == before


async def test_a_session_that_is_there_already_takes_nothing_over(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await asked(coordinator)
    await coordinator.commit(coordinator_change("second"))
    before = await raw.everything()
    assert await coordinator.commit(full()) is Outcome.LOST_RACE
    assert await raw.everything() == before


async def test_of_many_successors_exactly_one_takes_over(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore, raw: RawDatabase
) -> None:
    await asked(coordinator)
    names = [f"racer {racer}" for racer in range(10)]
    outcomes = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).commit(
                successor(name, outgoing=(outgoing(name),), waiter=waiter(name))
            )
            for racer, name in enumerate(names)
        )
    )
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == 9
    winner = names[outcomes.index(Outcome.COMMITTED)]
    taken = await coordinator.request("svcA", "request")
    assert taken == request(session_id=session_id(winner))
    for name in names:
        session = await coordinator.session(session_id(name))
        assert (session is not None) == (name == winner)
    assert await coordinator.waiters(waiter().pool, 10) == [waiter(winner)]
    assert await raw.query("SELECT count(*) FROM outbox") == [(1,)]
