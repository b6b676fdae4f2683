"""Workers at a broker of several hosts, some of them away: each host is a wire to one broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic

import topology
from contracts import addresses
from contracts.client import link as linking
from contracts.client.link import Link, LinkLostError
from contracts.connecting import connect
from contracts.hosts import Hosts
from contracts.signing import sign_request
from ops.chaos.wires import Wire
from ops.stack.services import Services
from tests.contracts import producers
from tests.contracts.samples import sign_request as sample
from tests.workers.doubles import eventually
from workers.delivery import publisher as publishing
from workers.delivery.consuming import make_broker, subscribe
from workers.delivery.deliveries import Delivery
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import FullError, Publisher, PublishError, require_topology
from workers.store.records import Outgoing

PARTY = "party-1"
INBOX = addresses.inbox_queue(PARTY)
REQUEST = sample()


class Cluster:
    """Several ways to one broker; each is a host as far as anybody can tell."""

    def __init__(self, wires: list[Wire]) -> None:
        self.wires = wires

    @property
    def url(self) -> str:
        parts = [urlsplit(wire.url) for wire in self.wires]
        hosts = ",".join(each.netloc.rpartition("@")[2] for each in parts)
        return parts[0]._replace(netloc=f"{parts[0].username}:{parts[0].password}@{hosts}").geturl()

    async def only(self, index: int) -> None:
        """All others are away."""
        await self.wires[index].mend()
        for other in self.wires:
            if other is not self.wires[index]:
                await other.cut()


@pytest.fixture
async def cluster(services: Services, vhost: str) -> AsyncIterator[Cluster]:
    members = topology.Members(parties=(PARTY,), clients=("svcA",))
    name = urlsplit(vhost).path[1:]
    await topology.apply_all(services.management_url, members=members, vhost=name)
    async with AsyncExitStack() as stack:
        yield Cluster([await stack.enter_async_context(Wire(vhost)) for _ in range(3)])


def outgoing(message_id: str) -> Outgoing:
    return Outgoing(
        exchange=addresses.ROUNDS,
        routing_key=PARTY,
        kind="keygen/1",
        content_type="application/x-warren-envelope",
        message_id=message_id,
        body=b"\0body",
        headers={},
    )


async def published(publisher: Publisher, message_id: str) -> None:
    async with eventually():
        while True:
            try:
                return await publisher.publish(outgoing(message_id))
            except PublishError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_whichever_host_is_left_is_found(cluster: Cluster, index: int) -> None:
    await cluster.only(index)
    await require_topology(cluster.url, queues=[INBOX])
    async with await connect(cluster.url) as connection:
        assert not connection.is_closed


async def test_with_no_host_left_the_last_ones_error_is_told(cluster: Cluster) -> None:
    for wire in cluster.wires:
        await wire.cut()
    with pytest.raises(OSError, match=r"refused|failed"):
        await connect(cluster.url)


async def test_a_publisher_follows_the_host_that_lives(cluster: Cluster) -> None:
    async with Publisher(cluster.url, name="test") as publisher:
        for index in (0, 1, 2, 1):
            await cluster.only(index)
            await published(publisher, f"message-{index}")


async def test_a_consumer_follows_the_host_that_lives(cluster: Cluster, vhost: str) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        heard.put_nowait(delivery.message_id)

    async with Publisher(vhost, name="test") as publisher:
        broker = make_broker(cluster.url)
        subscribe(broker, publisher, INBOX, handle, prefetch=4, middleware=Middleware())
        await broker.start()
        try:
            for turn, index in enumerate((0, 1, 2, 1)):
                await cluster.only(index)
                await publisher.publish(outgoing(f"message-{turn}"))
                async with eventually():
                    while await heard.get() != f"message-{turn}":
                        pass  # an earlier one, whose ack was lost with its connection
        finally:
            await broker.stop()


async def test_a_consumer_that_began_at_a_host_that_is_away_begins_at_the_next(
    cluster: Cluster,
) -> None:
    await cluster.only(1)
    broker = make_broker(cluster.url)
    tries = 0
    while tries < len(Hosts(cluster.url)):
        tries += 1
        try:
            await broker.connect()
            break
        except OSError:
            await broker.stop()
    connection = await broker.connect()
    assert not connection.is_closed
    await broker.stop()


async def test_a_channel_that_was_refused_is_replaced_and_no_message_is_lost_for_it(
    vhost: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "RENEWAL_S", 0.05)
    async with Publisher(cluster.url, name="test") as publisher:
        refused = publisher._channel
        assert refused is not None
        refuses = refused.default_exchange
        monkeypatch.setitem(publisher._exchanges, addresses.ROUNDS, refuses)
        monkeypatch.setattr(refuses, "publish", raising(DeliveryError(None, Basic.Nack())))
        with pytest.raises(FullError):
            await publisher.publish(outgoing("message"))
        await published(publisher, "message")
        async with eventually():
            while not refused.is_closed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await publisher.publish(outgoing("another"))
        assert publisher.connected


async def test_a_producers_channel_that_was_refused_is_replaced_and_the_connection_stays(
    vhost: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "_RENEWAL_S", 0.05)
    losses: list[None] = []

    async def ignore(_: AbstractIncomingMessage) -> None: ...

    settings = producers.settings(cluster.url)
    link = Link(settings, deliver=ignore, lost=lambda: losses.append(None))
    await link.open()
    before, refused, refuses = len(losses), link._publishing, link._exchange
    assert refused is not None
    monkeypatch.setattr(refuses, "publish", raising(DeliveryError(None, Basic.Nack())))
    signed = sign_request(REQUEST, settings.private_identity)
    with pytest.raises(LinkLostError):
        await link.publish(signed)
    async with eventually():
        while not refused.is_closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await link.publish(signed)
    assert len(losses) == before
    await link.close()


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_producer_follows_the_host_that_lives(cluster: Cluster, index: int) -> None:
    async def ignore(_: AbstractIncomingMessage) -> None: ...

    settings = producers.settings(cluster.url)
    await cluster.only(index)
    link = Link(settings, deliver=ignore, lost=lambda: None)
    await link.open()
    await cluster.only((index + 1) % 3)
    async with eventually():
        while True:
            try:
                await link.publish(sign_request(REQUEST, settings.private_identity))
                break
            except LinkLostError:
                await asyncio.sleep(0.05)
    await link.close()


def raising(error: Exception) -> Any:
    async def publish(*_: object, **__: object) -> None:
        raise error

    return publish
