"""One tenant's questions wait for each other, and for nobody else's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.turns import Turns
from tests.patience import settle


@pytest.fixture
def line() -> Turns:
    return Turns(2, 2)


async def test_the_next_begins_when_one_is_over(line: Turns) -> None:
    leave, _ = await line.take("shop"), await line.take("shop")
    waiting = asyncio.create_task(line.take("shop"))
    await settle()
    assert not waiting.done()
    leave()
    await waiting


async def test_another_tenant_does_not_wait(line: Turns) -> None:
    held = [await line.take("shop") for _ in range(2)]
    await line.take("bank")
    assert len(held) == 2


async def test_who_goes_away_while_he_waits_takes_no_place(line: Turns) -> None:
    held = [await line.take("shop") for _ in range(2)]
    waiting = asyncio.create_task(line.take("shop"))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    held.pop()()
    await line.take("shop")


@dataclass
class Shared:
    """Three at once alone, one beside others."""

    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.line = Turns(3, 1, clock=lambda: self.now_s)

    async def waits(self, tenant: str) -> bool:
        waiting = asyncio.create_task(self.line.take(tenant))
        await settle()
        waits = not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return waits


@pytest.fixture
def shared() -> Shared:
    return Shared()


async def test_alone_a_tenant_has_more_at_once_than_beside_others(shared: Shared) -> None:
    await shared.line.take("shop")
    await shared.line.take("shop")
    leave = await shared.line.take("bank")
    assert await shared.waits("shop")
    assert await shared.waits("bank")
    leave()
    assert await shared.waits("shop"), "the bank was here a moment ago"
    shared.now_s += 2
    assert not await shared.waits("shop")


async def test_those_who_waited_beside_another_all_begin_when_he_is_gone(shared: Shared) -> None:
    mine, _ = await shared.line.take("shop"), (await shared.line.take("bank"))()
    waiting = [asyncio.create_task(shared.line.take("shop")) for _ in range(4)]
    await settle()
    shared.now_s += 2
    mine()
    await settle()
    assert [each.done() for each in waiting] == [True, True, True, False]
    waiting[0].result()()
    await settle()
    assert waiting[3].done()


async def test_a_turn_that_is_given_to_one_who_just_went_away_is_passed_on(line: Turns) -> None:
    held = [await line.take("shop") for _ in range(2)]
    first, second = (asyncio.create_task(line.take("shop")) for _ in range(2))
    await settle()
    held.pop()()
    first.cancel()
    await second
    assert first.cancelled()


async def test_nobody_is_remembered_for_ever(shared: Shared) -> None:
    for i in range(100):
        (await shared.line.take(f"tenant-{i}"))()
    shared.now_s += 2
    (await shared.line.take("shop"))()
    assert list(shared.line._lines) == ["shop"]
