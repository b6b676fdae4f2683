"""Where a letter goes that nobody here waits for: the mailbox alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts.client import mailbox as module
from contracts.client.mailbox import LATE_RETURNS, OFFERS, QUICK_OFFERS, Letter, Mailbox
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
        self.mailbox.hold(Letter(content, cast("AbstractIncomingMessage", delivery)))
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
