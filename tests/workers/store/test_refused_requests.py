"""Requests that were refused, as the coordinator's store keeps them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import REFUSED, AccountRecord, Outcome

from .conftest import RawDatabase
from .examples import FAR_FUTURE, account, coordinator_change, outgoing, request, session_id

ROLE = "coordinator"


async def refused(coordinator: CoordinatorStore, session: str = "refused", **other: Any) -> Outcome:
    return await coordinator.commit(
        coordinator_change(
            session,
            protocol=REFUSED,
            status="failed",
            state=b"",
            cause=REFUSED,
            request=request(session_id=session_id(session), **other),
            result=outgoing("refusal"),
        )
    )


async def test_a_refused_request_is_known_with_its_refusal(coordinator: CoordinatorStore) -> None:
    assert await refused(coordinator) is Outcome.COMMITTED
    known = request(session_id=session_id("refused"), result=outgoing("refusal"), refused=True)
    assert await coordinator.request("svcA", "request") == known
    assert await coordinator.request("svcA", "request", known.digest) == known
    assert (await coordinator.admit("svcA", "request", known.digest)).request == known
    assert await coordinator.commit(coordinator_change(request=request())) is (
        Outcome.DUPLICATE_REQUEST
    )
    assert await coordinator.session(session_id()) is None
    assert await coordinator.unfinished() == {}
    assert await coordinator.purge(ended_before=FAR_FUTURE) == 1
    assert await coordinator.request("svcA", "request") is None


@pytest.mark.parametrize("account", [None, account()])
async def test_other_bytes_take_the_place_of_a_refused_request(
    coordinator: CoordinatorStore, account: AccountRecord | None
) -> None:
    await refused(coordinator, digest=session_id("other bytes"))
    new = request()
    assert await coordinator.request("svcA", "request", new.digest) is None
    assert (await coordinator.admit("svcA", "request", new.digest)).request is None
    change = coordinator_change(request=new, account=account)
    assert await coordinator.commit(change) is Outcome.COMMITTED
    assert await coordinator.request("svcA", "request") == new
    assert await coordinator.request("svcA", "request", session_id("other bytes")) == new
    assert (await coordinator.accounts("svcA", after="", limit=9) != []) is (account is not None)
    # And there they stay.
    late = await refused(coordinator, "late", digest=session_id("other bytes"))
    assert late is Outcome.DUPLICATE_REQUEST
    assert await coordinator.request("svcA", "request") == new


async def test_a_refused_request_makes_room_only_together_with_what_takes_its_place(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await refused(coordinator, digest=session_id("other bytes"))
    await coordinator.commit(coordinator_change("a key", reserve_key=("svcA", "treasury")))
    before = await raw.everything()
    change = coordinator_change(request=request(), reserve_key=("svcA", "treasury"))
    assert await coordinator.commit(change) is Outcome.KEY_EXISTS
    assert await raw.everything() == before


async def test_of_a_refusal_and_a_session_at_once_one_comes_first(
    coordinator: CoordinatorStore,
) -> None:
    for attempt in range(20):
        name = f"request-{attempt}"
        begun, no = session_id(f"begun {attempt}"), f"refused {attempt}"
        outcomes = await asyncio.gather(
            refused(coordinator, no, request_id=name),
            coordinator.commit(
                coordinator_change(
                    f"begun {attempt}", request=request(request_id=name, session_id=begun)
                )
            ),
        )
        assert sorted(each.name for each in outcomes) == ["COMMITTED", "DUPLICATE_REQUEST"]
        known = await coordinator.request("svcA", name)
        assert known is not None
        assert known.refused is (outcomes[0] is Outcome.COMMITTED)
        assert known.session_id == (session_id(no) if known.refused else begun)


async def test_of_two_that_would_take_a_refused_requests_place_one_does(
    coordinator: CoordinatorStore,
) -> None:
    for attempt in range(300):  # so many that two who wait for each other are found
        name = f"request-{attempt}"
        await refused(coordinator, f"refused {attempt}", request_id=name)
        outcomes = await asyncio.gather(
            *(
                coordinator.commit(
                    coordinator_change(
                        f"{which} {attempt}",
                        request=request(
                            request_id=name,
                            digest=session_id(which),
                            session_id=session_id(f"{which} {attempt}"),
                        ),
                    )
                )
                for which in ("first", "second")
            )
        )
        assert sorted(each.name for each in outcomes) == ["COMMITTED", "DUPLICATE_REQUEST"]
