from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest

from contracts.client import BrokerUnavailableError
from contracts.primitives import Scope
from contracts.results import QueryApiKeysResult
from gateway.entry.api_keys import ApiKeys
from gateway.problems import Problem
from tests.contracts.chains import now_ms
from tests.gateway.callers import gateway
from tests.gateway.desks import DeskDouble
from tests.gateway.entrance import OTHER_SECRET, SECRET, Coordinator, api_key, opened, problem
from tests.patience import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_opens_its_holders_world() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.get("/who")
    assert answer.status_code == 200
    assert answer.json() == {"api_key": "shop-1", "tenant": "shop"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "guess"},
        {"X-API-Key": SECRET[:-1]},
        {"X-API-Key": hashlib.sha256(SECRET.encode()).hexdigest()},
        {"X-API-Key": "x" * 600},
        {"Authorization": f"Bearer {SECRET}"},
    ],
)
async def test_without_a_valid_key_nobody_enters(headers: dict[str, str]) -> None:
    async with opened() as entrance, entrance.client() as stranger:
        answer = await stranger.get("/who", headers=headers)
    assert answer.status_code == 401
    assert problem(answer)["code"] == "unauthenticated"
    assert "X-API-Key" in answer.headers["www-authenticate"]
    assert SECRET not in answer.text


async def test_two_keys_in_one_request_are_none() -> None:
    async with opened() as entrance, entrance.client() as stranger:
        answer = await stranger.get("/who", headers=[("X-API-Key", SECRET), ("X-API-Key", "b")])
    assert answer.status_code == 401


async def test_a_path_that_does_not_exist_needs_a_key_too() -> None:
    async with opened() as entrance, entrance.client() as stranger:
        for path in ("/nothing", "/health/", "/health/more", "/metrics/more", "//health"):
            assert (await stranger.get(path)).status_code == 401


async def test_an_operation_behind_no_door_is_shut() -> None:
    transport = httpx.ASGITransport(gateway(DeskDouble()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as stranger:
        answer = await stranger.get("/api/v1/accounts")
    assert answer.status_code == 401


async def test_a_key_without_the_scope_is_told_which_one_it_lacks() -> None:
    coordinator = Coordinator([api_key(scopes=[Scope.READ])])
    async with opened(coordinator=coordinator) as entrance, entrance.caller() as caller:
        answer = await caller.post("/notes", json={"text": "x"})
        assert (await caller.get("/who")).status_code == 200
    assert answer.status_code == 403
    assert problem(answer)["code"] == "scope_missing"
    assert "sign" in answer.json()["detail"]


async def test_an_expired_or_revoked_key_does_not_open() -> None:
    coordinator = Coordinator(
        [
            api_key(issued_at=now_ms() - 5, valid_until=now_ms() - 1),
            api_key("bank-1", secret=OTHER_SECRET),
        ]
    )
    coordinator.scribe.revoke("bank-1")
    async with opened(coordinator=coordinator) as entrance:
        for secret in (SECRET, OTHER_SECRET):
            async with entrance.caller(secret) as caller:
                assert (await caller.get("/who")).status_code == 401


async def test_a_key_is_changed_without_a_moment_in_between() -> None:
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), out_of_turn_s=0)
    async with keys.kept_fresh():
        assert await keys.find(SECRET.encode())

        coordinator.scribe.put(**api_key("shop-2", secret=OTHER_SECRET))
        second = await keys.find(OTHER_SECRET.encode())
        assert second is not None
        assert second.tenant == "shop"
        assert await keys.find(SECRET.encode())

        coordinator.scribe.revoke()
        await keys.find(b"unknown, so it is asked again")
        assert await keys.find(SECRET.encode()) is None
        assert await keys.find(OTHER_SECRET.encode())


async def test_a_new_key_works_from_the_first_request_on_however_fresh_the_snapshot() -> None:
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), out_of_turn_s=0.1)
    async with keys.kept_fresh():
        await until(lambda: keys.fresh)
        coordinator.scribe.put(**api_key("shop-2", secret=OTHER_SECRET))
        assert await keys.find(OTHER_SECRET.encode())


async def test_unknown_keys_have_the_coordinator_asked_once_for_all_who_wait() -> None:
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), out_of_turn_s=0.1)
    async with keys.kept_fresh():
        await until(lambda: keys.fresh)
        for asked in (2, 3):
            found = await asyncio.gather(*(keys.find(b"guess %d" % i) for i in range(50)))
            assert found == [None] * 50
            assert coordinator.asked == asked


async def test_who_waits_for_a_silent_coordinator_is_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.entry.api_keys.PATIENCE_S", 0.05)
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), out_of_turn_s=0)
    async with keys.kept_fresh():
        await until(lambda: keys.fresh)
        coordinator.silent = True
        assert await keys.find(b"guess") is None
        assert keys.known(SECRET.encode())


async def test_a_revoked_key_is_shut_out_by_the_next_refresh() -> None:
    coordinator = Coordinator()
    async with (
        opened(coordinator=coordinator, refresh_s=0.01) as entrance,
        entrance.caller() as caller,
    ):
        assert (await caller.get("/who")).status_code == 200
        coordinator.scribe.revoke()
        asked = coordinator.asked
        await until(lambda: coordinator.asked >= asked + 2)
        assert (await caller.get("/who")).status_code == 401


async def test_a_snapshot_outlives_a_short_absence_of_the_coordinator_and_no_long_one() -> None:
    clock = Clock()
    coordinator = Coordinator()
    keys = ApiKeys(coordinator.page, coordinator.ledger(), clock=clock)
    async with keys.kept_fresh():
        assert await keys.find(SECRET.encode())
        coordinator.error = BrokerUnavailableError("away")
        clock.now += 9
        assert await keys.find(SECRET.encode())
        clock.now += 2
        with pytest.raises(Problem) as refused:
            await keys.find(SECRET.encode())
        assert keys.known(SECRET.encode()) is None
    assert refused.value.status == 503


async def test_a_snapshot_is_as_old_as_the_question_and_not_as_the_answer() -> None:
    clock = Clock()

    coordinator = Coordinator()

    async def slow(after: int) -> QueryApiKeysResult:
        clock.now += 7
        return await coordinator.page(after)

    keys = ApiKeys(slow, coordinator.ledger(), clock=clock)
    async with keys.kept_fresh():
        assert await keys.find(SECRET.encode())
        assert keys.age_s == 7


async def test_before_the_first_snapshot_nobody_is_told_that_his_key_is_wrong() -> None:
    coordinator = Coordinator(error=BrokerUnavailableError("away"))
    limits = {"failed_keys": 1}
    async with opened(limits, coordinator=coordinator) as entrance, entrance.caller() as caller:
        for _ in range(3):
            answer = await caller.get("/who")
            assert answer.status_code == 503
    assert problem(answer)["code"] == "keys_unknown"
    assert "retry-after" in answer.headers


async def test_an_error_that_nobody_foresaw_does_not_end_the_refreshing() -> None:
    coordinator = Coordinator(error=RuntimeError("nobody foresaw it"))
    async with opened(coordinator=coordinator, refresh_s=0.01) as entrance:
        await until(lambda: entrance.keys.last_error is not None)
        coordinator.error = None
        await until(lambda: entrance.keys.fresh)
        assert await entrance.keys.find(SECRET.encode())
