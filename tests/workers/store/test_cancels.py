"""Cancels and the requests that they name, as the coordinator's store lets in one or the other."""

from __future__ import annotations

import asyncio

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import REFUSED, CoordinatorChange, Outcome

from .conftest import RawDatabase
from .examples import FAR_FUTURE, coordinator_change, outgoing, request, session_id

ROLE = "coordinator"


def cancel(name: str = "cancel", target: str = "request", owner: str = "svcA") -> CoordinatorChange:
    return coordinator_change(
        name,
        protocol="cancel",
        request=request(name, session_id=session_id(name), operation="cancel"),
        cancels=(owner, target),
    )


async def test_what_is_cancelled_is_not_let_in(coordinator: CoordinatorStore) -> None:
    assert await coordinator.commit(cancel()) is Outcome.COMMITTED
    assert await coordinator.commit(coordinator_change(request=request())) is Outcome.CANCELLED
    assert await coordinator.session(session_id()) is None
    assert await coordinator.request("svcA", "request") is None
    other = coordinator_change(request=request(owner="svcA/shop"))
    assert await coordinator.commit(other) is Outcome.COMMITTED


async def test_its_refusal_is_kept_and_its_place_is_not_taken(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.commit(cancel())
    refusal = coordinator_change(
        "refused",
        protocol=REFUSED,
        status="cancelled",
        state=b"",
        cause=REFUSED,
        request=request(session_id=session_id("refused")),
        result=outgoing("refusal"),
    )
    assert await coordinator.commit(refusal) is Outcome.COMMITTED
    others = request(digest=session_id("other bytes"))
    assert await coordinator.commit(coordinator_change(request=others)) is Outcome.CANCELLED
    known = await coordinator.request("svcA", "request")
    assert known is not None
    assert known.refused


async def test_what_is_in_may_be_cancelled_more_than_once(coordinator: CoordinatorStore) -> None:
    assert await coordinator.commit(coordinator_change(request=request())) is Outcome.COMMITTED
    for name in ("cancel-1", "cancel-2"):
        assert await coordinator.commit(cancel(name)) is Outcome.COMMITTED
    assert await coordinator.commit(cancel("cancel-1")) is Outcome.LOST_RACE


async def test_a_cancel_is_nobodys_quota(coordinator: CoordinatorStore) -> None:
    await coordinator.commit(cancel())
    assert await coordinator.unfinished() == {}


async def test_a_cancel_is_forgotten_with_its_session(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(cancel())
    over = coordinator_change(
        "cancel", expected_version=1, protocol="cancel", status="completed", cause="answered"
    )
    assert await coordinator.commit(over) is Outcome.COMMITTED
    assert await coordinator.purge(ended_before=FAR_FUTURE) == 1
    assert await coordinator.commit(coordinator_change(request=request())) is Outcome.COMMITTED


@pytest.mark.parametrize("first", ["request", "cancel"])
async def test_of_one_moment_one_sees_the_other(coordinator: CoordinatorStore, first: str) -> None:
    """Either the request is refused, or the cancel finds it when it looks."""
    for number in range(20):
        name = f"request-{number}"
        asks = coordinator_change(name, request=request(name, session_id=session_id(name)))
        cancels = cancel(f"cancel-{number}", target=name)

        async def look(change: CoordinatorChange = cancels, target: str = name) -> bool:
            await coordinator.commit(change)
            return await coordinator.request("svcA", target) is not None

        asking, looking = coordinator.commit(asks), look()
        if first == "request":
            outcome, found = await asyncio.gather(asking, looking)
        else:
            found, outcome = await asyncio.gather(looking, asking)
        assert found is (outcome is Outcome.COMMITTED)
        assert outcome in {Outcome.COMMITTED, Outcome.CANCELLED}
