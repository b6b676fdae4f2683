"""Whoever was let in and stays, as a wait or a stream does, stays no longer than they may enter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import Request

from contracts.primitives import Scope
from gateway.app import described, doors
from gateway.entry import api_keys, stays
from gateway.entry.api_keys import ApiKeys, digest
from gateway.entry.networks import Networks
from gateway.entry.waits import BEGINS
from gateway.metrics import Metrics
from gateway.settings import Limits
from tests.contracts.chains import now_ms
from tests.gateway.desks import DeskDouble
from tests.gateway.entrance import (
    OTHER_SECRET,
    SECRET,
    Coordinator,
    api_key,
    opened,
    problem,
    settings,
)
from tests.gateway.test_events import Endless, parsed
from tests.patience import until

KEYS = [api_key(), api_key("bank-1", secret=OTHER_SECRET, holder="bank")]


@dataclass
class Ending:
    """What ends a stay of shop-1's, and what it is then told."""

    come: Callable[[Coordinator, pytest.MonkeyPatch], None]
    code: str
    sentence: str


def revoked(coordinator: Coordinator, _: pytest.MonkeyPatch) -> None:
    coordinator.scribe.revoke("shop-1")


def expired(_: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    """shop-1's time is shorter than bank-1's."""
    monkeypatch.setattr(api_keys, "_now_ms", lambda: now_ms() + SOON_MS)


def less_allowed(coordinator: Coordinator, _: pytest.MonkeyPatch) -> None:
    coordinator.scribe.put(
        "shop-1", holder="shop", key_digest=digest(SECRET.encode()), scopes=[Scope.SIGN]
    )


def banned(_: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stays.Stays,
        "refusal",
        _banning(stays.Stays.refusal),
    )


def _banning(refusal: Any) -> Any:
    def banning(self: stays.Stays, caller: Any, address: Any) -> Any:
        if caller.api_key_id == "shop-1":
            self._networks = Networks([])
        return refusal(self, caller, address)

    return banning


SOON_MS = 10_000_000
ENDINGS = {
    "revoked": Ending(revoked, "unauthenticated", "API key shop-1 was revoked meanwhile."),
    "expired": Ending(expired, "unauthenticated", "API key shop-1 has expired meanwhile."),
    "less": Ending(less_allowed, "scope_missing", "has lost the scope cancel, "),
    "banned": Ending(banned, "address_refused", "Your address 127.0.0.1 is allowed no longer."),
}
each_ending = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stays, "LOOK_S", 0.01)


def coordinator() -> Coordinator:
    soon = api_key(valid_until=now_ms() + SOON_MS // 2)
    return Coordinator([soon, KEYS[1]])


@each_ending
async def test_a_wait_ends_with_a_sentence(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    knowing = coordinator()
    async with (
        opened(coordinator=knowing, refresh_s=0.01) as entrance,
        entrance.caller() as shop,
        entrance.caller(OTHER_SECRET) as bank,
    ):
        waiting = asyncio.create_task(shop.get("/slow", params={"wait": 60}))
        await until(lambda: entrance.waiting == 1)
        if ending.come is not banned:  # an address is that of both
            staying = asyncio.create_task(bank.get("/slow", params={"wait": 60}))
            await until(lambda: entrance.waiting == 2)
        ending.come(knowing, monkeypatch)
        refused = await waiting
        assert problem(refused)["code"] == ending.code
        assert ending.sentence in refused.json()["detail"]
        if ending.come is not banned:
            assert not staying.done()
            entrance.going.set()
            assert (await staying).status_code == 200


@asynccontextmanager
async def whole(knowing: Coordinator, desk: DeskDouble) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with a double of its desk."""
    keys = ApiKeys(knowing.page, knowing.ledger(), refresh_s=0.01, out_of_turn_s=0)
    app = described(middleware=doors(settings(), keys, Metrics()))
    app.state.desk = desk
    app.state.connected = lambda: True
    app.state.party_names = {}
    app.state.limits = Limits()
    app.state.join_window_ms = 1000
    transport = httpx.ASGITransport(app)
    async with (
        keys.kept_fresh(),
        httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers={"X-API-Key": SECRET}
        ) as caller,
    ):
        yield caller


@each_ending
async def test_a_stream_ends_with_a_sentence(
    ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing, desk = coordinator(), Endless()
    async with whole(knowing, desk) as shop:
        wish = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2}
        begun = (await shop.post("/api/v1/sessions", json=wish)).json()
        path = f"/api/v1/sessions/{begun['session_id']}/events"
        following = asyncio.create_task(shop.get(path))
        await desk.following.wait()
        ending.come(knowing, monkeypatch)
        first, last = parsed((await following).text)
        await desk.left.wait()
    assert first["event"] == "session"
    assert (last["event"], "id" in last) == ("problem", False)
    told = json.loads(last["data"])
    assert told["code"] == ending.code
    assert ending.sentence in told["detail"]


async def test_what_was_begun_before_the_end_may_come_to_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    knowing = coordinator()
    async with opened(coordinator=knowing, refresh_s=0.01) as entrance, entrance.caller() as shop:

        @entrance.app.post("/begin")
        async def begins(request: Request, wait: float = 0) -> None:
            request.scope[BEGINS] = True
            entrance.waiting += 1
            await asyncio.Event().wait()

        waiting = asyncio.create_task(shop.post("/begin", params={"wait": 60}))
        await until(lambda: entrance.waiting == 1)
        revoked(knowing, monkeypatch)
        assert problem(await waiting)["signature_may_exist"] is True


async def test_who_may_stay_is_not_looked_after_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as entrance, entrance.caller() as shop:
        entrance.going.set()
        for _ in range(3):
            assert (await shop.get("/slow")).status_code == 200
        await until(
            lambda: (
                not any(task.get_name() == "warren gateway stays" for task in asyncio.all_tasks())
            )
        )


async def test_whose_caller_is_not_known_is_not_ended() -> None:
    async with stays.stay_of({}) as stay:
        stay.look()
        await asyncio.sleep(0)


async def test_a_time_limit_inside_is_its_own() -> None:
    async def hurried() -> None:
        async with stays.stay_of({}), asyncio.timeout(0):
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        await hurried()
