"""One tenant's sessions wait for each other, and for nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from gateway import turns
from gateway.turns import Turns


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Turns:
    monkeypatch.setattr(turns, "PATIENCE_S", 60)
    return Turns(2)


async def test_the_next_begins_when_one_is_over(line: Turns) -> None:
    leave, _ = await line.take("shop"), await line.take("shop")
    waiting = asyncio.create_task(line.take("shop"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    leave()
    async with asyncio.timeout(10):
        await waiting


async def test_another_tenant_does_not_wait(line: Turns) -> None:
    held = [await line.take("shop") for _ in range(2)]
    async with asyncio.timeout(10):
        await line.take("bank")
    assert len(held) == 2


async def test_who_waited_long_enough_goes_without_and_makes_no_room(
    line: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [await line.take("shop") for _ in range(2)]
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)
    async with asyncio.timeout(10):
        (await line.take("shop"))()
    monkeypatch.setattr(turns, "PATIENCE_S", 60)
    waiting = asyncio.create_task(line.take("shop"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    held.pop()()
    async with asyncio.timeout(10):
        await waiting


async def test_who_goes_away_while_he_waits_takes_no_place(line: Turns) -> None:
    held = [await line.take("shop") for _ in range(2)]
    waiting = asyncio.create_task(line.take("shop"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    held.pop()()
    async with asyncio.timeout(10):
        await line.take("shop")
