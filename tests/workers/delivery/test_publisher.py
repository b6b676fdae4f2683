"""Publishing to the real broker, over a wire that can be cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
import pytest
from aiormq.exceptions import ChannelAccessRefused

import topology
from contracts import addresses
from contracts.bundles import unpack
from ops.chaos.wires import Wire
from ops.stack import vhosts
from ops.stack.services import Services
from tests.workers.delivery.conftest import PARTY
from tests.workers.doubles import eventually
from workers.delivery import publisher as publishing
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import (
    FullError,
    NoAdmissionError,
    Publish,
    Publisher,
    PublishError,
    TopologyError,
    UnroutableError,
    require_topology,
)
from workers.store.records import Outgoing

INBOX = addresses.inbox_queue(PARTY)


@pytest.fixture
async def wire(broker: str) -> AsyncIterator[Wire]:
    async with Wire(broker) as made:
        yield made


def outgoing(**changes: Any) -> Outgoing:
    fields: dict[str, Any] = {
        "exchange": addresses.ROUNDS,
        "routing_key": PARTY,
        "kind": "keygen/1",
        "content_type": "application/x-warren-envelope",
        "message_id": "message-1",
        "body": b"\0body",
        "headers": {"session_id": "ab" * 32},
    }
    return Outgoing(**(fields | changes))


async def received(url: str, queue: str = INBOX) -> list[aio_pika.abc.AbstractIncomingMessage]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        source = await channel.get_queue(queue)
        found = []
        while (message := await source.get(fail=False, no_ack=True)) is not None:
            found.append(message)
        return found


async def test_a_confirmed_message_is_in_its_queue_with_all_that_it_says(broker: str) -> None:
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish(outgoing())
        (message,) = await received(broker)
    assert message.body == b"\0body"
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert message.message_id == "message-1"
    assert message.type == "keygen/1"
    assert message.content_type == "application/x-warren-envelope"
    assert message.routing_key == PARTY
    assert message.exchange == addresses.ROUNDS
    assert message.headers["session_id"] == "ab" * 32


async def test_many_messages_are_all_confirmed(broker: str) -> None:
    messages = [outgoing(message_id=f"message-{i}") for i in range(100)]
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish_all(messages)
        await publisher.publish_all([])
        first, *rest = await received(broker)
    parts = [part for each in rest for part in unpack(each.body)]
    assert len(rest) < 10
    assert {first.message_id, *(part.message_id for part in parts)} == {
        each.message_id for each in messages
    }


async def test_a_message_that_no_queue_takes_is_unroutable(broker: str) -> None:
    async with Publisher(broker, name="test") as publisher:
        with pytest.raises(UnroutableError, match=r"keygen/1 .* 'party-9' .*topology"):
            await publisher.publish_all([outgoing(), outgoing(routing_key="party-9")])
        await publisher.publish(outgoing())


async def test_a_cancellation_that_no_worker_hears_is_no_error(broker: str) -> None:
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish(outgoing(exchange=addresses.CANCEL, routing_key=""))


async def test_a_result_for_a_client_that_nobody_declared_goes_to_the_unclaimed(
    broker: str,
) -> None:
    key = "mpc.mpc_signing_result.nobody.complete"
    async with Publisher(broker, name="test") as publisher:
        await publisher.publish(outgoing(exchange=addresses.RESULTS, routing_key=key))
    (message,) = await received(broker, addresses.UNCLAIMED)
    assert message.routing_key == key


async def test_a_full_queue_is_told_from_a_missing_one(services: Services, broker: str) -> None:
    name = urlsplit(broker).path[1:]
    management = urlsplit(services.management_url)
    policy = {
        "pattern": f"^{INBOX}$",
        "definition": {"max-length": 1, "overflow": "reject-publish"},
        "priority": 100,
        "apply-to": "queues",
    }
    async with httpx.AsyncClient(
        auth=(str(management.username), str(management.password)), timeout=60
    ) as client:
        address = f"http://{management.hostname}:{management.port}/api/policies/{name}/tiny"
        (await client.put(address, json=policy)).raise_for_status()
    async with Publisher(broker, name="test") as publisher:
        with pytest.raises(FullError, match="its queue is full"):
            await publishes_for_ever(publisher)


async def test_a_missing_exchange_is_a_sentence_and_others_can_still_be_reached(
    broker: str,
) -> None:
    async with Publisher(broker, name="test") as publisher:
        async with await aio_pika.connect(broker) as connection:
            await (await connection.channel()).exchange_delete(addresses.SESSIONS)
        with pytest.raises(PublishError, match=r"exchange is missing.*warren\.sessions.*topology"):
            await publisher.publish(outgoing(exchange=addresses.SESSIONS))
        await publishes_at_last(publisher)
        assert [each.message_id for each in await received(broker)] == ["again"]


async def publishes_at_last(publisher: Publisher) -> None:
    """As the caller does it: again and again until it is confirmed."""
    async with eventually():
        while True:
            try:
                return await publisher.publish(outgoing(message_id="again"))
            except PublishError:
                await asyncio.sleep(0.1)


async def publishes_for_ever(publisher: Publisher) -> None:
    async with eventually():
        while True:
            await publisher.publish(outgoing())


async def test_a_connection_that_is_cut_comes_back_and_publishes_again(
    broker: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Publisher(wire.url, name="test") as publisher:
        for _ in range(2):
            await wire.cut()
            with monkeypatch.context() as patch:
                patch.setattr(publishing, "CONFIRM_TIMEOUT_S", 0.5)  # also to wait for a connection
                with pytest.raises(PublishError):
                    await publishes_for_ever(publisher)
            await wire.mend()
            await publishes_at_last(publisher)
        found = [each.message_id for each in await received(broker)]
    assert found.count("again") == 2


async def test_a_message_in_flight_when_the_connection_dies_is_an_error_and_no_cancellation(
    wire: Wire,
) -> None:
    async with Publisher(wire.url, name="test") as publisher:
        await wire.freeze()
        publishing_ = asyncio.create_task(publisher.publish_all([outgoing(), outgoing()]))
        await asyncio.sleep(0.1)
        await wire.cut()
        with pytest.raises(PublishError, match="broker away"):
            async with eventually():
                await publishing_
        await wire.mend()


async def test_a_broker_that_says_nothing_is_away_when_the_time_is_up(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Publisher(wire.url, name="test") as publisher:
        await wire.freeze()
        monkeypatch.setattr(publishing, "CONFIRM_TIMEOUT_S", 0.2)
        with pytest.raises(PublishError, match="broker away: TimeoutError"):
            async with eventually():
                await publisher.publish(outgoing())
        await wire.mend()


class Exchange:
    """Ends as aiormq ends a pending publish when its heartbeat finds the connection dead."""

    async def publish(self, *_: object, **__: object) -> None:
        raise asyncio.CancelledError


async def test_a_cancellation_that_nobody_asked_for_is_a_lost_connection() -> None:
    publisher = Publisher("amqp://nowhere/", name="test")
    publisher._exchanges[addresses.ROUNDS] = Exchange()  # type: ignore[assignment]
    with pytest.raises(PublishError, match="connection lost"):
        await publisher.publish(outgoing())
    with pytest.raises(PublishError, match="connection lost"):
        await publisher.publish_all([outgoing(), outgoing()])


class Changing(Middleware):
    """Sends a word of its own first, and drops what is not for the sessions."""

    def around_publishing(self, publish: Publish) -> Publish:
        async def changed(message: Outgoing) -> None:
            await publish(replace(message, exchange=addresses.SESSIONS, message_id="before"))
            if message.exchange == addresses.SESSIONS:
                await publish(message)

        return changed


async def test_a_middleware_stands_around_every_message() -> None:
    publisher = Publisher("amqp://nowhere/", name="test", around=Changing().around_publishing)
    written = Written()
    publisher._exchanges[addresses.SESSIONS] = written  # type: ignore[assignment]
    await publisher.publish_all([outgoing(), outgoing(exchange=addresses.SESSIONS)])
    assert Counter(written.ids) == {"before": 2, "message-1": 1}


class Written:
    """An exchange that takes everything."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []

    async def publish(self, message: aio_pika.Message, *_: object, **__: object) -> None:
        self.ids.append(message.message_id)


async def test_a_cancellation_that_somebody_asked_for_stays_one(wire: Wire) -> None:
    async with Publisher(wire.url, name="test") as publisher:
        await wire.freeze()
        tasks = [
            asyncio.create_task(publisher.publish(outgoing())),
            asyncio.create_task(publisher.publish_all([outgoing(), outgoing()])),
        ]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
        await wire.mend()


###
### Before anything is published
###


async def test_a_whole_topology_is_enough(broker: str) -> None:
    await require_topology(broker, queues=[INBOX, addresses.REPORTS_QUEUE])


async def test_what_is_missing_is_named_with_the_command_that_makes_it(vhost: str) -> None:
    with pytest.raises(TopologyError, match=r'exchange "warren\.sessions" .*warren topology apply'):
        await require_topology(vhost, queues=[])


async def test_a_missing_queue_is_named(broker: str) -> None:
    with pytest.raises(TopologyError, match=r'queue "warren\.inbox\.party-9" is missing'):
        await require_topology(broker, queues=[INBOX, "warren.inbox.party-9"])


async def test_what_the_broker_tells_us_nothing_of_is_not_said_to_be_missing(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As RabbitMQ does since 4.2.6, of exchanges that are others' business."""
    look = aio_pika.Channel.get_exchange

    async def refused(channel: Any, name: str, **options: Any) -> Any:
        if name == addresses.SESSIONS:
            raise ChannelAccessRefused
        return await look(channel, name, **options)

    monkeypatch.setattr(aio_pika.Channel, "get_exchange", refused)
    await require_topology(broker, queues=[INBOX])
    with pytest.raises(TopologyError, match=r'queue "warren\.inbox\.party-9" is missing'):
        await require_topology(broker, queues=["warren.inbox.party-9"])


async def test_there_may_be_more_queues_than_a_connection_may_have_channels(broker: str) -> None:
    """As of a thousand clients."""
    await require_topology(broker, queues=[INBOX] * 2_100)


async def test_an_unknown_vhost_is_a_sentence(services: Services) -> None:
    url = vhosts.address(services.amqp_url, "no such vhost")
    with pytest.raises(NoAdmissionError, match=r'vhost "no such vhost": it does not exist'):
        await require_topology(url, queues=[])


async def test_a_refused_login_is_a_sentence_without_the_password(vhost: str) -> None:
    parts = urlsplit(vhost)
    url = parts._replace(netloc=f"eve:hunter2@{parts.netloc.rpartition('@')[2]}").geturl()
    with pytest.raises(NoAdmissionError, match="login of user 'eve'") as caught:
        await require_topology(url, queues=[])
    assert "hunter2" not in str(caught.value)


def test_every_exchange_of_the_topology_that_workers_publish_to_is_checked() -> None:
    declared = topology.declared(topology.Members(parties=(PARTY,), clients=()))
    names = {exchange.name for exchange in declared.exchanges}
    others = {addresses.REQUESTS, addresses.UNCLAIMED, addresses.LISTS}
    assert set(publishing.EXCHANGES) == names - others


async def test_a_knock_is_answered_and_comes_to_nobody(broker: str) -> None:
    async with Publisher(broker, name="test") as publisher:
        await publisher.knock()
        assert (publisher.connected, publisher.blocked) == (True, None)
        assert await received(broker) == []


async def test_another_channel_takes_over_while_the_old_one_is_still_confirmed(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "RENEWAL_S", 0.05)
    async with Publisher(broker, name="test") as publisher:
        old = publisher._channel
        publisher._renew_channel()
        publisher._renew_channel()  # one is enough
        async with eventually():
            while old is None or not old.is_closed:
                await publisher.publish(outgoing())
        assert publisher._channel is not old
        await publisher.publish(outgoing(message_id="last"))
        assert (await received(broker))[-1].message_id == "last"
