"""Where a letter goes that nobody here waits for: the mailbox alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts.client import mailbox as module
from contracts.client.letters import Letter
from contracts.client.mailbox import LATE_RETURNS, OFFERS, QUICK_OFFERS, Mailbox
from contracts.deliveries import returns_of
from contracts.hand import Hand
from contracts.primitives import Curve
from contracts.results import Delivered

from .samples import SingleKey, announcement, sign_request, sign_result

RESULT = sign_result(sign_request(), SingleKey(Curve.ED25519))
ANNOUNCED = announcement(sign_request())
SLEEP = asyncio.sleep


@dataclass
class Delivery:
    headers: dict[str, Any]
    done: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        self.done.append("acked")

    async def nack(self, *, requeue: bool) -> None:
        assert requeue
        self.done.append("given back")


class Queue:
    """
    Attributes:
        consumers: How many the mailbox is told of.
        pauses: How long it was to sleep, each time that it did.
    """

    def __init__(self) -> None:
        self.consumers = 2
        self.pauses: list[float] = []
        self.mailbox = Mailbox(self.count)

    async def count(self) -> int:
        return self.consumers

    async def hold(self, content: Delivered, returns: int) -> Delivery:
        delivery = Delivery({"x-delivery-count": returns} if returns else {})
        self.mailbox.hold(Letter.opened(content, cast("AbstractIncomingMessage", delivery)))
        await self.go_on()
        return delivery

    async def go_on(self) -> None:
        for _ in range(50):
            await SLEEP(0)


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    found = Queue()

    async def pause(seconds: float) -> None:
        found.pauses.append(seconds)
        await SLEEP(0)

    monkeypatch.setattr("contracts.client.mailbox.asyncio.sleep", pause)
    monkeypatch.setattr("contracts.client.mailbox.random.expovariate", lambda rate: 1 / rate)
    yield found
    found.mailbox.close()


@pytest.mark.parametrize("content", [RESULT, ANNOUNCED])
async def test_what_others_may_wait_for_is_given_back_at_once_at_first(
    queue: Queue, content: Delivered
) -> None:
    delivery = await queue.hold(content, QUICK_OFFERS * 2 - 1)
    assert (delivery.done, queue.pauses) == (["given back"], [])
    delivery = await queue.hold(content, QUICK_OFFERS * 2)
    assert (delivery.done, queue.pauses) == (["given back"], [module.FIRST_HOLD_S])


async def test_the_more_consumers_there_are_the_longer_a_letter_goes_around(queue: Queue) -> None:
    queue.consumers = 4
    with queue.mailbox.reading():
        delivery = await queue.hold(RESULT, OFFERS * 2)
        assert delivery.done == ["given back"]
        delivery = await queue.hold(RESULT, OFFERS * 4)
        assert delivery.done == []
        letter = await queue.mailbox.next()
        assert letter is not None
        assert cast("Any", letter.delivery) is delivery


async def test_without_a_reader_it_goes_around_ever_more_slowly_and_then_stays(
    queue: Queue,
) -> None:
    for late in range(LATE_RETURNS):
        delivery = await queue.hold(RESULT, OFFERS * 2 + late)
        assert delivery.done == ["given back"]
    assert queue.pauses == sorted(set(queue.pauses))
    delivery = await queue.hold(RESULT, OFFERS * 2 + LATE_RETURNS)
    assert delivery.done == []
    assert await queue.mailbox.next() is not None


@pytest.mark.parametrize(("consumers", "returns"), [(1, 0), (2, OFFERS * 2)])
async def test_an_announcement_that_nobody_wants_is_acked_and_never_read(
    queue: Queue, consumers: int, returns: int
) -> None:
    queue.consumers = consumers
    with queue.mailbox.reading():
        delivery = await queue.hold(ANNOUNCED, returns)
        assert delivery.done == ["acked"]
        reading = asyncio.create_task(queue.mailbox.next())
        await queue.go_on()
        assert not reading.done()
        queue.mailbox.close()
        assert await reading is None


@pytest.mark.parametrize("content", [RESULT, ANNOUNCED])
async def test_while_there_is_no_telling_who_consumes_a_letter_stays(
    queue: Queue, content: Delivered
) -> None:
    queue.consumers = 0
    with queue.mailbox.reading():
        delivery = await queue.hold(content, 0)
        reading = asyncio.create_task(queue.mailbox.next())
        await queue.go_on()
        assert (delivery.done, reading.done()) == ([], False)
        queue.consumers = 2
        await queue.go_on()
        assert delivery.done == ["given back"]
        reading.cancel()


async def test_alone_on_the_queue_a_reader_gets_a_result_at_its_first_delivery(
    queue: Queue,
) -> None:
    queue.consumers = 1
    with queue.mailbox.reading():
        delivery = await queue.hold(RESULT, 0)
        assert await queue.mailbox.next() is not None
        assert delivery.done == []


###
### What is held for long
###


@dataclass
class Numbered:
    """A delivery of a channel; all that was said about any stands in one list."""

    delivery_tag: int
    said: list[tuple[str, int]]
    headers: dict[str, Any] = field(default_factory=dict)

    async def ack(self) -> None:
        self.said.append(("ack", self.delivery_tag))

    async def reject(self, *, requeue: bool) -> None:
        assert not requeue
        self.said.append(("reject", self.delivery_tag))

    async def nack(self, *, requeue: bool, multiple: bool = False) -> None:
        assert requeue
        self.said.append(("nack up to" if multiple else "nack", self.delivery_tag))


class Pile:
    """A mailbox that is alone on its queue, with a clock of its own, and ticks when it is told.

    Attributes:
        wanted: Whether some call waits.
        rested: How often it stopped consuming.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "FIRST_HOLD_S", 0.0001)
        monkeypatch.setattr(module, "TICK_S", 0.001)
        self.now = 100.0
        self.wanted = True
        self.rested = 0
        self.said: list[tuple[str, int]] = []
        self.hand = Hand()
        self.mailbox = Mailbox(
            self._alone,
            wanted=lambda: self.wanted,
            rest=self._rest,
            hand=self.hand,
            clock=lambda: self.now,
        )
        self._tags = itertools.count(1)

    async def _alone(self) -> int:
        return 1

    async def _rest(self, wanted: Callable[[], bool]) -> bool:
        if wanted():
            return False
        self.rested += 1
        return True

    def comes(self) -> Letter:
        """A delivery, in hand."""
        delivery = cast("AbstractIncomingMessage", Numbered(next(self._tags), self.said))
        self.hand.take(delivery)
        return Letter.opened(RESULT, delivery, self.hand)

    def hold(self, count: int) -> list[Letter]:
        letters = [self.comes() for _ in range(count)]
        for letter in letters:
            self.mailbox.hold(letter)
        return letters

    async def pass_(self, seconds: float) -> None:
        """And the mailbox looks a dozen times, however slow the machine: each of these is longer
        than a tick of its."""
        self.now += seconds
        for _ in range(25):
            await asyncio.sleep(0.002)


@pytest.fixture
async def pile(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pile]:
    found = Pile(monkeypatch)
    yield found
    found.mailbox.close()


async def test_what_nobody_waits_for_goes_back_in_time_though_others_are_waited_for(
    pile: Pile,
) -> None:
    pile.hold(3)
    await pile.pass_(module.HELD_FOR_S - 0.1)
    assert pile.said == []
    pile.hold(1)
    await pile.pass_(0.2)
    assert pile.said == [("nack up to", 3)]  # the fourth has its time yet
    await pile.pass_(module.HELD_FOR_S)
    assert pile.said == [("nack up to", 3), ("nack", 4)]
    assert pile.rested == 0


async def test_a_pile_goes_back_by_the_page(pile: Pile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    pile.hold(5)
    await pile.pass_(module.HELD_FOR_S)
    assert pile.said == [("nack up to", 2), ("nack up to", 4), ("nack", 5)]


async def test_whoever_waits_for_nothing_leaves_the_queue_alone(pile: Pile) -> None:
    pile.hold(2)
    pile.wanted = False
    await pile.pass_(module.HELD_FOR_S - 1)
    pile.hold(1)
    assert (pile.rested, pile.said) == (0, [])
    await pile.pass_(1)
    assert (pile.rested, pile.said) == (1, [("nack up to", 3)])


async def test_a_reader_keeps_a_process_at_the_queue(pile: Pile) -> None:
    pile.wanted = False
    with pile.mailbox.reading():
        pile.hold(2)
        await pile.pass_(module.HELD_FOR_S)
        assert (pile.rested, pile.said) == (0, [("nack up to", 2)])


async def test_what_is_being_looked_at_is_not_given_back_with_the_others(pile: Pile) -> None:
    in_hand = pile.comes()
    pile.hold(2)
    await pile.pass_(module.HELD_FOR_S)
    assert pile.said == [("nack", 2), ("nack", 3)]
    await in_hand.ack()
    pile.hold(2)
    await pile.pass_(module.HELD_FOR_S)
    assert pile.said[2:] == [("ack", 1), ("nack up to", 5)]


async def test_a_reader_s_own_letter_stays_with_it(pile: Pile) -> None:
    with pile.mailbox.reading():
        pile.hold(2)
        read = await pile.mailbox.next()
        assert read is not None
        await pile.pass_(module.HELD_FOR_S)
        assert pile.said == [("nack", 2)]
        await read.ack()
        assert pile.said == [("nack", 2), ("ack", 1)]


async def test_a_pile_is_complained_about_and_not_all_the_time(
    pile: Pile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CROWDED", 3)
    pile.hold(2)
    assert caplog.messages == []
    pile.hold(3)
    (complaint,) = caplog.messages
    assert complaint.startswith("3 results on this queue that nobody waits for")
    assert "`warren results list`" in complaint


def test_the_pace_goes_by_all_returns_where_the_broker_counts_them() -> None:
    assert returns_of({}) == 0
    assert returns_of({"x-delivery-count": 4}) == 4
    assert returns_of({"x-delivery-count": 1, "x-acquired-count": 7}) == 7
    assert returns_of({"x-acquired-count": "many", "x-delivery-count": 2}) == 2
    assert returns_of({"x-acquired-count": True}) == 0
    assert returns_of({"x-delivery-count": -3}) == 0
