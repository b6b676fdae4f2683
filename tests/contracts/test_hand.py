"""What is in hand, and settled in one word only where nothing else is open."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError

from contracts import hand as module
from contracts.hand import Hand
from tests.patience import until

Said = list[tuple[str, int]]


class Incoming:
    def __init__(self, tag: int, said: Said) -> None:
        self.delivery_tag = tag
        self.said = said
        self.gone = False

    async def ack(self, multiple: bool = False) -> None:
        await self._say("ack up to" if multiple else "ack")

    async def nack(self, *, requeue: bool, multiple: bool = False) -> None:
        assert requeue
        await self._say("nack up to" if multiple else "nack")

    async def _say(self, word: str) -> None:
        if self.gone:
            raise ChannelInvalidStateError
        await asyncio.sleep(0)
        self.said.append((word, self.delivery_tag))


def taken(hand: Hand, count: int, said: Said) -> list[Any]:
    found = [cast("AbstractIncomingMessage", Incoming(tag + 1, said)) for tag in range(count)]
    for each in found:
        hand.take(each)
    return found


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(module, "PATIENCE_S", 0.001)
    return []


async def test_what_is_dropped_is_acknowledged_in_one_word(said: Said) -> None:
    hand = Hand()
    for each in taken(hand, 5, said):
        hand.drop(each)
    await until(lambda: bool(said))
    assert said == [("ack up to", 5)]


async def test_what_somebody_works_on_is_not_acknowledged_with_it(said: Said) -> None:
    hand = Hand()
    one, two, three, four, five = taken(hand, 5, said)
    for each in (five, two, one, four):
        hand.drop(each)
    await until(lambda: len(said) == 3)
    assert said == [("ack up to", 2), ("ack", 4), ("ack", 5)]
    await hand.ack(three)
    assert said[3:] == [("ack", 3)]


async def test_a_word_that_is_being_said_still_counts_as_open(said: Said) -> None:
    """Else the broker would hear of one delivery twice, and close the channel."""
    hand = Hand()
    first, *others = taken(hand, 3, said)
    acking = asyncio.create_task(hand.ack(first))
    await asyncio.sleep(0)
    await hand.give_back(others)
    await acking
    assert sorted(said) == [("ack", 1), ("nack", 2), ("nack", 3)]


async def test_what_was_settled_elsewhere_is_not_open(said: Said) -> None:
    hand = Hand()
    first, *others = taken(hand, 3, said)
    hand.settled(first)
    await hand.give_back(others)
    assert said == [("nack up to", 3)]


async def test_a_channel_that_is_gone_takes_no_word_and_troubles_nobody(said: Said) -> None:
    hand = Hand()
    found = taken(hand, 3, said)
    for each in found:
        each.gone = True
    await hand.give_back(found)
    hand.drop(found[0])
    await asyncio.sleep(0.05)
    hand.forget()
    assert said == []
    (again,) = taken(hand, 1, said)
    hand.drop(again)
    await until(lambda: bool(said))
    assert said == [("ack", 1)]
