"""Queues that come and go with the clients, on the real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

import topology
from contracts import addresses
from ops.chaos.wires import Wire
from ops.stack.services import Services
from tests.patience import settle, until
from tests.workers.delivery.conftest import PARTY
from workers.abilities import consumers
from workers.delivery.client_queues import ClientQueues, Take
from workers.delivery.consuming import make_broker
from workers.health import NotAbleError

CLIENTS = ("svcA", "svcB")
ONE, OTHER = addresses.request_queues("svcA")[0], addresses.request_queues("svcB")[0]
PATIENCE_S = 60.0


class Office:
    """Takes what comes to the clients' queues.

    Attributes:
        began: Deliveries that came; each is acknowledged when `may` is set.
    """

    def __init__(self, broker: str, connection: AbstractConnection) -> None:
        self.connection = connection
        self.began: list[tuple[str, bytes]] = []
        self.ended: list[tuple[str, bytes]] = []
        self.may = asyncio.Event()
        self.may.set()
        self.queues = ClientQueues(lambda: self.connection, self._taker, prefetch=1)
        self._broker = broker

    def _taker(self, queue: str) -> Take:
        async def take(message: AbstractIncomingMessage) -> None:
            self.began.append((queue, message.body))
            await self.may.wait()
            await message.ack()
            self.ended.append((queue, message.body))

        return take

    async def send(self, queue: str, *bodies: bytes) -> None:
        async with await aio_pika.connect(self._broker) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            for body in bodies:
                await channel.default_exchange.publish(aio_pika.Message(body), queue)

    async def found(self, queue: str) -> tuple[int | None, int | None]:
        """Messages that wait in it, and its consumers, by the broker's word."""
        async with await aio_pika.connect(self._broker) as connection:
            told = await (await connection.channel()).declare_queue(queue, passive=True)
            return told.declaration_result.message_count, told.declaration_result.consumer_count

    async def becomes(self, queue: str, *, waiting: int, consumers: int) -> None:
        async def so() -> bool:
            return await self.found(queue) == (waiting, consumers)

        await until(so)

    async def delete(self, *queues: str) -> None:
        async with await aio_pika.connect(self._broker) as connection:
            channel: AbstractChannel = await connection.channel()
            for queue in queues:
                await channel.queue_delete(queue)


@pytest.fixture
async def applied(services: Services, vhost: str) -> str:
    """The AMQP URL of a vhost with queues for both clients."""
    members = topology.Members(parties=(PARTY,), clients=CLIENTS)
    name = urlsplit(vhost).path[1:]
    await topology.apply_all(services.management_url, members=members, vhost=name)
    return vhost


@pytest.fixture
async def office(applied: str) -> AsyncIterator[Office]:
    async with await aio_pika.connect(applied) as connection:
        made = Office(applied, connection)
        yield made
        made.may.set()
        await made.queues.stop(PATIENCE_S)


@pytest.fixture
async def without(services: Services, vhost: str) -> AsyncIterator[Office]:
    """Where the topology has no clients yet."""
    members = topology.Members(parties=(PARTY,))
    name = urlsplit(vhost).path[1:]
    await topology.apply_all(services.management_url, members=members, vhost=name)
    async with await aio_pika.connect(vhost) as connection:
        made = Office(vhost, connection)
        yield made
        await made.queues.stop(PATIENCE_S)


async def test_all_queues_of_the_clients_are_consumed_and_those_of_nobody_else(
    office: Office,
) -> None:
    await office.queues.follow(["svcA"])
    sent = [(queue, queue.encode()) for queue in addresses.request_queues("svcA")]
    for queue, body in sent:
        await office.send(queue, body)
    await office.send(OTHER, b"of another")
    await until(lambda: sorted(office.ended) == sorted(sent))
    assert await office.queues.missing() == []
    assert await office.found(OTHER) == (1, 0)


async def test_who_becomes_a_client_is_served_and_who_was_one_goes_on_undisturbed(
    office: Office,
) -> None:
    await office.queues.follow(["svcA"])
    await office.send(OTHER, b"early")
    await office.queues.follow(CLIENTS)
    await until(lambda: office.ended == [(OTHER, b"early")])
    await office.queues.follow(CLIENTS)
    assert await office.found(ONE) == (0, 1)  # and not consumed a second time
    await office.send(ONE, b"as before")
    await until(lambda: office.ended[1:] == [(ONE, b"as before")])


async def test_what_is_in_hand_of_one_who_is_no_client_any_more_goes_back_to_its_queue(
    office: Office,
) -> None:
    office.may.clear()
    await office.queues.follow(CLIENTS)
    await office.send(ONE, b"first", b"second")
    await until(lambda: office.began == [(ONE, b"first")])
    await office.queues.follow(["svcB"])
    await office.becomes(ONE, waiting=2, consumers=0)
    assert await office.queues.missing() == []
    assert await office.found(OTHER) == (0, 1)
    assert office.began == [(ONE, b"first")]


async def test_no_more_than_the_prefetch_is_taken_at_once_of_each_queue(office: Office) -> None:
    office.may.clear()
    await office.queues.follow(CLIENTS)
    await office.send(ONE, b"1", b"2", b"3")
    await office.send(OTHER, b"1")
    await until(lambda: sorted(office.began) == [(ONE, b"1"), (OTHER, b"1")])
    assert await office.found(ONE) == (2, 1)
    office.may.set()
    await until(
        lambda: [body for queue, body in office.ended if queue == ONE] == [b"1", b"2", b"3"]
    )


async def test_a_client_whose_queues_are_not_there_yet_harms_nobody_and_is_tried_again(
    without: Office, services: Services, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = sorted(addresses.request_queues("svcA"))
    await without.queues.follow(["svcA"])
    assert sorted(await without.queues.missing()) == wanted
    (warned,) = [each for each in caplog.records if "cannot be consumed" in each.message]
    assert vars(warned)["client_id"] == "svcA"
    assert vars(warned)["reason"].startswith("ChannelNotFoundEntity")
    await without.queues.retry()
    assert sorted(await without.queues.missing()) == wanted

    members = topology.Members(parties=(PARTY,), clients=CLIENTS)
    name = urlsplit(vhost).path[1:]
    await topology.apply_all(services.management_url, members=members, vhost=name)
    await without.send(ONE, b"waited for this")
    await without.queues.retry()
    assert await without.queues.missing() == []
    await until(lambda: without.ended == [(ONE, b"waited for this")])


async def test_one_client_without_queues_does_not_keep_another_from_being_served(
    office: Office,
) -> None:
    await office.delete(*addresses.request_queues("svcA"))
    await office.queues.follow(CLIENTS)
    assert sorted(await office.queues.missing()) == sorted(addresses.request_queues("svcA"))
    await office.send(OTHER, b"served")
    await until(lambda: office.ended == [(OTHER, b"served")])


async def test_a_client_of_whose_queues_one_is_missing_leaves_no_consumer_at_the_others(
    office: Office,
) -> None:
    *first, last = addresses.request_queues("svcA")
    await office.delete(last)
    await office.queues.follow(["svcA"])
    assert sorted(await office.queues.missing()) == sorted([*first, last])
    for queue in first:
        await office.becomes(queue, waiting=0, consumers=0)


async def test_retrying_when_nothing_is_missing_changes_nothing(office: Office) -> None:
    await office.queues.retry()
    await office.queues.follow(CLIENTS)
    await office.queues.retry()
    assert await office.found(ONE) == (0, 1)


async def test_a_queue_that_is_deleted_is_told_as_not_consumed(office: Office) -> None:
    await office.queues.follow(CLIENTS)
    await office.delete(OTHER)

    async def missed() -> bool:
        return await office.queues.missing() == [OTHER]

    await until(missed)


async def test_a_worker_is_not_able_while_a_clients_queue_is_missing(
    without: Office, vhost: str
) -> None:
    broker = make_broker(vhost)
    await consumers(broker, without.queues)
    await without.queues.follow(["svcA"])
    with pytest.raises(NotAbleError, match=rf"not consumed: .*{ONE}.*apply the topology"):
        await consumers(broker, without.queues)


async def test_a_client_that_comes_while_the_broker_is_away_waits_for_the_next_try(
    applied: str,
) -> None:
    async with Wire(applied) as wire, make_broker(wire.url) as broker:
        office = Office(applied, broker.connection)
        await wire.cut()
        await until(lambda: not broker.connection.connected.is_set())
        following = asyncio.create_task(office.queues.follow(["svcA"]))
        await settle()
        await wire.mend()
        await following
        await until(broker.connection.connected.is_set)
        await office.queues.retry()
        assert await office.queues.missing() == []


async def test_when_the_broker_is_back_what_was_consumed_is_consumed_and_others_are_again(
    applied: str,
) -> None:
    async with Wire(applied) as wire, make_broker(wire.url) as broker:
        office = Office(applied, broker.connection)
        await office.queues.follow(["svcA"])
        await wire.cut()
        await until(lambda: not broker.connection.connected.is_set())
        await wire.mend()
        await until(broker.connection.connected.is_set)
        await office.queues.follow(CLIENTS)
        await office.send(ONE, b"afterwards")
        await office.send(OTHER, b"afterwards")
        await until(lambda: sorted(office.ended) == [(ONE, b"afterwards"), (OTHER, b"afterwards")])
        assert await office.queues.missing() == []
        await office.queues.stop(PATIENCE_S)


async def test_a_connection_that_is_lost_keeps_nobody_from_leaving_or_stopping(
    office: Office,
) -> None:
    await office.queues.follow(CLIENTS)
    await office.connection.close()
    await office.queues.follow(["svcA"])
    await office.queues.stop(PATIENCE_S)
    await office.becomes(ONE, waiting=0, consumers=0)


async def test_who_stops_takes_nothing_more_and_ends_what_is_in_hand(office: Office) -> None:
    office.may.clear()
    await office.queues.follow(CLIENTS)
    await office.send(ONE, b"first", b"second")
    await until(lambda: office.began == [(ONE, b"first")])
    stopping = asyncio.create_task(office.queues.stop(PATIENCE_S))

    async def none_consumed() -> bool:
        return len(await office.queues.missing()) == len(CLIENTS) * len(addresses.REQUEST_QUEUES)

    await until(none_consumed)
    assert not stopping.done()
    office.may.set()
    await stopping
    assert office.ended == [(ONE, b"first")]
    assert office.began == [(ONE, b"first")]
    assert (await office.found(ONE))[0] == 1


async def test_who_stops_does_not_wait_longer_than_the_grace_for_what_is_in_hand(
    office: Office,
) -> None:
    office.may.clear()
    await office.queues.follow(["svcA"])
    await office.send(ONE, b"slow")
    await until(lambda: office.began == [(ONE, b"slow")])
    await office.queues.stop(0)
    assert office.ended == []
    office.may.set()
    await until(lambda: office.ended == [(ONE, b"slow")])


async def test_who_has_stopped_begins_with_nobody_new(office: Office) -> None:
    await office.queues.follow(["svcA"])
    await office.queues.stop(0)
    await office.queues.follow(CLIENTS)
    assert await office.found(OTHER) == (0, 0)
