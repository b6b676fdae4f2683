"""Consuming from the real broker: what is heard, what is not consumed any more, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from faststream.rabbit import RabbitBroker

from contracts import addresses
from contracts.errors import ContractError
from tests.patience import until
from tests.workers.delivery.conftest import PARTY
from workers.delivery.consuming import (
    make_broker,
    not_consumed,
    stop_consuming,
    subscribe,
    subscribe_broadcast,
)
from workers.delivery.deliveries import Delivery
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import Publisher
from workers.store.records import Outgoing

INBOX = addresses.inbox_queue(PARTY)
OWN = f"{addresses.CANCEL}.{PARTY}.test"


def outgoing(message_id: str, exchange: str = addresses.ROUNDS, key: str = PARTY) -> Outgoing:
    return Outgoing(
        exchange=exchange,
        routing_key=key,
        kind="sign/1",
        content_type="application/x-warren-envelope",
        message_id=message_id,
        body=message_id.encode(),
        headers={},
    )


class Worker:
    """Attributes: began: Deliveries that reached the handler; each goes on when `may` is set."""

    def __init__(self, broker: RabbitBroker, publisher: Publisher) -> None:
        self.broker = broker
        self.publisher = publisher
        self.began: list[str | None] = []
        self.ended: list[str | None] = []
        self.may = asyncio.Event()
        self.may.set()
        self.heard: list[bytes] = []

    async def handle(self, delivery: Delivery) -> None:
        self.began.append(delivery.message_id)
        await self.may.wait()
        self.ended.append(delivery.message_id)

    def hear(self, body: bytes) -> None:
        if body == b"nonsense":
            raise ContractError(body.decode())
        self.heard.append(body)


@pytest.fixture
async def worker(broker: str) -> AsyncIterator[Worker]:
    async with Publisher(broker, name="test") as publisher:
        made = Worker(make_broker(broker), publisher)
        subscribe(made.broker, publisher, INBOX, made.handle, prefetch=1, middleware=Middleware())
        subscribe_broadcast(made.broker, addresses.CANCEL, OWN, made.hear)
        await made.broker.start()
        yield made
        made.may.set()
        await made.broker.stop()


async def left(broker: str) -> int | None:
    """So many messages wait in the inbox."""
    async with await aio_pika.connect(broker) as connection:
        queue = await (await connection.channel()).declare_queue(INBOX, passive=True)
        return queue.declaration_result.message_count


async def test_a_broadcast_that_does_not_fit_is_passed_over(worker: Worker) -> None:
    for said in ("one", "nonsense", "two"):
        await worker.publisher.publish(outgoing(said, addresses.CANCEL, ""))
    await until(lambda: worker.heard == [b"one", b"two"])


async def test_a_queue_that_was_deleted_is_told_as_not_consumed(
    worker: Worker, broker: str
) -> None:
    assert await not_consumed(worker.broker) == []
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        await channel.queue_delete(INBOX)

        async def missed() -> bool:
            return await not_consumed(worker.broker) == [INBOX]

        await until(missed)


async def test_who_stops_takes_nothing_more_and_ends_what_is_in_hand(
    worker: Worker, broker: str
) -> None:
    worker.may.clear()
    for name in ("first", "second"):
        await worker.publisher.publish(outgoing(name))
    await until(lambda: worker.began == ["first"])
    await stop_consuming(worker.broker)
    worker.may.set()
    await until(lambda: worker.ended == ["first"])

    async def one_is_left() -> bool:
        return await left(broker) == 1

    await until(one_is_left)
    assert worker.began == ["first"]
    await stop_consuming(worker.broker)  # again, no harm
