"""What becomes at the real broker of deliveries that are taken without faststream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aio_pika
import pytest

from contracts import addresses
from contracts.bundles import unpack
from contracts.errors import ContractError, UnauthenticatedError
from tests.patience import until
from tests.workers.delivery.conftest import PARTY
from workers.delivery import deliveries
from workers.delivery.consuming import (
    make_broker,
    not_consumed,
    stop_consuming,
    subscribe,
    taker,
)
from workers.delivery.deliveries import GIVEN_ON, Deliver, Delivery, Ended
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import Publisher
from workers.store.records import Outgoing

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


###
### Bundles at the broker
###


async def test_what_is_published_at_once_comes_in_fewer_messages_and_each_part_is_handled(
    broker: str,
) -> None:
    names = [f"{number}" for number in range(40)]
    handled: list[str | None] = []
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish_all(map(message, names))
        counted = await in_the_inbox(broker)
        assert counted < 10
        async with consumed(broker, publisher, handled):
            await until(lambda: len(handled) == 40)
    assert sorted(handled, key=str) == sorted(names)
    assert await in_the_inbox(broker) == 0


async def test_who_is_to_send_none_sends_none(broker: str) -> None:
    async with Publisher(broker, name="test", bundles=False) as publisher:
        await publisher.publish_all(map(message, "abcdefgh"))
    assert await in_the_inbox(broker) == 8


async def test_a_worker_that_knows_nothing_of_bundles_loses_none(broker: str) -> None:
    """It refuses what it cannot read: the dead letter is the bundle, to be sent again."""
    handled: list[str | None] = []
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish_all(map(message, "abc"))
        async with consumed(broker, publisher, handled, bundles=False):
            await until(lambda: len(handled) == 2)
    async with await aio_pika.connect(broker) as connection:
        dead = await (await connection.channel()).get_queue(addresses.DEAD_QUEUE)
        letter = await dead.get()
    assert [part.message_id for part in unpack(letter.body)] == ["b", "c"]


async def test_a_part_that_fails_each_time_dies_alone_before_the_broker_ends_them_all(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "FIRST_DELAY_S", 0.0)
    handled: list[str | None] = []
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish_all(map(message, ["a", "b", "poison", "c"]))
        async with consumed(broker, publisher, handled):
            await until(lambda: letters_are(broker, 1))
            await until(lambda: inbox_is_empty(broker))
    async with await aio_pika.connect(broker) as connection:
        dead = await (await connection.channel()).get_queue(addresses.DEAD_QUEUE)
        letter = await dead.get()
    assert (letter.message_id, letter.body) == ("poison", b"poison")
    assert "in one bundle" in str(letter.headers["warren-reason"])
    assert {name: handled.count(name) for name in "abc"} == {"a": 1, "b": 1, "c": 1}
    assert handled.count("poison") == GIVEN_ON + 1


def message(name: str) -> Outgoing:
    return Outgoing(
        exchange=addresses.ROUNDS,
        routing_key=PARTY,
        kind="sign/1",
        content_type="text/x",
        message_id=name,
        body=name.encode(),
    )


@contextlib.asynccontextmanager
async def consumed(
    broker: str, publisher: Publisher, handled: list[str | None], *, bundles: bool = True
) -> AsyncIterator[None]:
    async def handle(delivery: Delivery) -> None:
        handled.append(delivery.message_id)
        if delivery.body == b"poison":
            raise KeyError("field")
        if delivery.content_type != "text/x":
            raise ContractError("no envelope")

    consuming = make_broker(broker)
    subscribe(
        consuming,
        publisher,
        INBOX,
        handle,
        prefetch=8,
        middleware=Middleware(),
        bundles=bundles,
    )
    await consuming.start()
    try:
        yield
    finally:
        await stop_consuming(consuming)
        await consuming.stop()


async def depth(broker: str, queue: str) -> int:
    async with await aio_pika.connect(broker) as connection:
        told = await (await connection.channel()).declare_queue(queue, passive=True)
        return told.declaration_result.message_count or 0


async def in_the_inbox(broker: str) -> int:
    return await depth(broker, INBOX)


async def inbox_is_empty(broker: str) -> bool:
    return await in_the_inbox(broker) == 0


async def letters_are(broker: str, count: int) -> bool:
    return await depth(broker, addresses.DEAD_QUEUE) == count
