"""What becomes at the real broker of deliveries that are taken without faststream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest

from contracts import addresses
from contracts.errors import ContractError, UnauthenticatedError
from tests.patience import until
from tests.workers.delivery.conftest import PARTY
from workers.delivery.consuming import (
    make_broker,
    not_consumed,
    stop_consuming,
    subscribe,
    taker,
)
from workers.delivery.deliveries import Deliver, Delivery, Ended
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import Publisher

INBOX = addresses.inbox_queue(PARTY)


class FailsOnce(Middleware):
    """Outside of the handler."""

    def __init__(self) -> None:
        self.failures = 1

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        async def failing(delivery: Delivery) -> Ended:
            if self.failures:
                self.failures -= 1
                raise RuntimeError(queue)
            return await deliver(delivery)

        return failing


class Desk:
    """Attributes: handled: Deliveries that reached the handler, in their order."""

    def __init__(self, broker: str, publisher: Publisher) -> None:
        self.handled: list[Delivery] = []
        self.publisher = publisher
        self._broker = broker

    async def handle(self, delivery: Delivery) -> None:
        self.handled.append(delivery)
        match delivery.body:
            case b"unfit":
                raise ContractError("does not fit")
            case b"stranger":
                raise UnauthenticatedError("nobody's", kind="stranger")

    async def send(self, *bodies: bytes, count: int = 1) -> None:
        async with await aio_pika.connect(self._broker) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            for body in bodies * count:
                message = aio_pika.Message(
                    body, type="sign/1", message_id=body.decode(), content_type="text/x"
                )
                rounds = await channel.get_exchange(addresses.ROUNDS, ensure=False)
                await rounds.publish(message, PARTY)

    async def depth(self, queue: str) -> int | None:
        async with await aio_pika.connect(self._broker) as connection:
            told = await (await connection.channel()).declare_queue(queue, passive=True)
            return told.declaration_result.message_count

    async def take(self, count: int, middleware: Middleware | None = None) -> None:
        """Until the handler has had so many; then all that was not settled goes back."""
        take = taker(self.publisher, INBOX, self.handle, middleware=middleware or Middleware())
        async with await aio_pika.connect(self._broker) as connection:
            channel = await connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=10)
            inbox = await channel.get_queue(INBOX, ensure=True)
            tag = await inbox.consume(take)
            await until(lambda: len(self.handled) >= count)
            await inbox.cancel(tag)
            await until(lambda: _settled(self, count))

    async def dead(self) -> list[bytes]:
        async with await aio_pika.connect(self._broker) as connection:
            queue = await (await connection.channel()).get_queue(addresses.DEAD, ensure=True)
            bodies = []
            while (letter := await queue.get(fail=False)) is not None:
                bodies.append(letter.body)
                await letter.ack()
            return bodies


async def _settled(desk: Desk, count: int) -> bool:
    return len(desk.handled) >= count and await desk.depth(INBOX) == 0


@pytest.fixture
async def desk(broker: str) -> AsyncIterator[Desk]:
    async with Publisher(broker, name="test") as publisher:
        yield Desk(broker, publisher)


async def test_a_handler_is_told_all_of_a_delivery(desk: Desk) -> None:
    await desk.send(b"one", b"two")
    await desk.take(2)
    (one, two) = desk.handled
    assert (one.queue, one.kind, one.body, one.message_id) == (INBOX, "sign/1", b"one", "one")
    assert (one.exchange, one.routing_key, one.content_type) == (addresses.ROUNDS, PARTY, "text/x")
    assert (one.attempts, two.body) == (0, b"two")
    assert await desk.depth(INBOX) == 0


async def test_what_does_not_fit_becomes_a_dead_letter(desk: Desk) -> None:
    await desk.send(b"unfit", b"fine")
    await desk.take(2)
    assert await desk.dead() == [b"unfit"]
    assert await desk.depth(INBOX) == 0


async def test_of_many_from_strangers_few_are_kept_and_none_comes_again(desk: Desk) -> None:
    await desk.send(b"stranger", count=20)
    await desk.take(20)
    assert set(await desk.dead()) == {b"stranger"}
    assert len(desk.handled) == 20
    assert await desk.depth(INBOX) == 0


async def test_what_a_middleware_fails_at_comes_again(desk: Desk) -> None:
    await desk.send(b"one")
    await desk.take(1, FailsOnce())
    assert [(each.body, each.attempts) for each in desk.handled] == [(b"one", 1)]
    assert await desk.dead() == []


async def test_a_queue_that_nobody_has_begun_to_consume_is_not_missed(
    desk: Desk, broker: str
) -> None:
    worker = make_broker(broker)
    subscribe(worker, desk.publisher, INBOX, desk.handle, prefetch=1, middleware=Middleware())
    assert await not_consumed(worker) == []
    await stop_consuming(worker)  # no harm
