"""Whose request is taken up next, and whose question asked: never by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send

from contracts.client import Client
from gateway.entry.api_keys import CALLER
from gateway.entry.lines import Lines
from gateway.sessions import Desk
from gateway.turns import AT_ONCE, BESIDE_OTHERS
from tests.patience import settle, until

from .callers import ALICE, BOB
from .coordinators import ClientDouble, Coordinator
from .entrance import OTHER_SECRET, api_key, opened, problem
from .entrance import Coordinator as Keys
from .test_sessions import begin


class Served:
    """Notes whom it is called for, and in which pass of the loop."""

    def __init__(self) -> None:
        self.holders: list[str] = []
        self.passes: list[int] = []
        self.pass_ = 0

    async def count(self) -> None:
        while True:
            self.pass_ += 1
            await asyncio.sleep(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER)
        self.holders.append("nobody" if caller is None else caller.tenant)
        self.passes.append(self.pass_)


async def nothing(*_: object) -> Any:
    raise AssertionError


def ask(line: Lines, caller: object) -> asyncio.Task[None]:
    scope: Any = {"type": "http"} if caller is None else {"type": "http", CALLER: caller}
    return asyncio.create_task(line(scope, nothing, nothing))


async def test_who_asks_for_one_thing_stands_before_most_of_anothers_burst() -> None:
    served = Served()
    line = Lines(served)
    burst = [ask(line, ALICE) for _ in range(100)]
    await asyncio.sleep(0)
    one = ask(line, BOB)
    await asyncio.gather(*burst, one)
    assert len(served.holders) == 101
    assert served.holders.index("bob") <= 3


async def test_bursts_of_several_are_taken_up_in_turn() -> None:
    served = Served()
    line = Lines(served)
    await asyncio.gather(*(ask(line, caller) for caller in (ALICE, BOB) for _ in range(10)))
    assert served.holders == ["alice", "bob"] * 10


async def test_of_a_burst_one_is_taken_up_in_each_pass() -> None:
    served = Served()
    counting = asyncio.create_task(served.count())
    line = Lines(served)
    await asyncio.gather(*(ask(line, ALICE) for _ in range(10)))
    counting.cancel()
    assert len(set(served.passes)) == 10


async def test_who_hangs_up_in_his_line_keeps_nobody_waiting() -> None:
    served = Served()
    line = Lines(served)
    gone, stays = ask(line, ALICE), ask(line, ALICE)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await stays
    await ask(line, BOB)
    assert served.holders[-2:] == ["alice", "bob"]


async def test_who_needs_no_key_stands_in_no_line() -> None:
    served = Served()
    await ask(Lines(served), None)
    assert served.holders == ["nobody"]


async def test_a_holders_questions_wait_for_each_other_and_for_nobody_elses() -> None:
    coordinator = Coordinator()
    async with Desk(cast("Client", ClientDouble(coordinator)), timeout_s=30) as desk:
        ids = {
            tenant: (await begin(desk, tenant, fresh=True)).session_id
            for tenant in ("shop", "bank")
        }
        coordinator.gate.clear()
        coordinator.looks = 0
        burst = [asyncio.create_task(desk.look("shop", ids["shop"])) for _ in range(500)]
        await settle()
        assert coordinator.looks == AT_ONCE
        other = asyncio.create_task(desk.look("bank", ids["bank"]))
        await settle()
        assert coordinator.looks == AT_ONCE + 1
        coordinator.gate.set()
        await other
        assert sum(each.done() for each in burst) < 2 * AT_ONCE
        await asyncio.gather(*burst)


@pytest.mark.parametrize("kind", ["key", "cancel", "join", "accounts", "account", "configure"])
async def test_every_kind_of_question_stands_in_its_holders_line(kind: str) -> None:
    client = Counting()
    desk = Desk(cast("Client", client), timeout_s=30, asking=2)
    asking: Callable[[int], Awaitable[object]] = {
        "key": lambda i: desk.key("shop", f"k{i}"),
        "cancel": lambda _: desk.cancel("shop", bytes(32)),
        "join": lambda _: desk.join("shop", bytes(32), bytes(32), None),
        "accounts": lambda _: desk.accounts("shop"),
        "account": lambda _: desk.account("shop", "a"),
        "configure": lambda _: desk.configure_account("shop", "a", None),
    }[kind]
    tasks = [asyncio.ensure_future(asking(i)) for i in range(5)]
    await settle()
    assert client.asked == 2
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Counting:
    """Of the client library: never answers."""

    def __init__(self) -> None:
        self.asked = 0

    def acting_for(self, tenant: str) -> Counting:
        return self

    async def _never(self, *_: object, **__: object) -> None:
        self.asked += 1
        await asyncio.Event().wait()

    keys = cancel_session = join = accounts = account = configure_account = _never


async def test_beside_others_a_holder_asks_less_at_once() -> None:
    coordinator = Coordinator()
    async with Desk(cast("Client", ClientDouble(coordinator)), timeout_s=30) as desk:
        ids = {
            tenant: (await begin(desk, tenant, fresh=True)).session_id
            for tenant in ("shop", "bank")
        }
        coordinator.gate.clear()
        coordinator.looks = 0
        held = [asyncio.create_task(desk.look("bank", ids["bank"]))]
        await settle()
        held += [asyncio.create_task(desk.look("shop", ids["shop"])) for _ in range(50)]
        await settle()
        assert coordinator.looks == 1 + BESIDE_OTHERS
        coordinator.gate.set()
        await asyncio.gather(*held)


async def test_the_keys_of_one_holder_have_one_bound_together() -> None:
    keys = [api_key(), api_key("shop-2", secret="another secret of shop, quite long")]
    keys.append(api_key("bank-1", secret=OTHER_SECRET, holder="bank"))
    async with (
        opened({"in_flight_per_holder": 2}, coordinator=Keys(keys)) as entrance,
        entrance.caller() as first,
        entrance.caller("another secret of shop, quite long") as second,
        entrance.caller(OTHER_SECRET) as bank,
    ):
        held = [asyncio.create_task(each.get("/slow")) for each in (first, second)]
        await until(lambda: entrance.waiting == 2)
        for each in (first, second):
            refused = await each.get("/who")
            assert refused.status_code == 503
            assert problem(refused)["code"] == "too_many_in_flight"
            assert "the API keys of shop have 2" in refused.json()["detail"]
            assert refused.headers["retry-after"]
        assert (await bank.get("/who")).status_code == 200
        entrance.going.set()
        await asyncio.gather(*held)
        assert (await first.get("/who")).status_code == 200
