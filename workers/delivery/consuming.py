"""Where deliveries come from: the broker's consuming side, and each delivery's end there."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aio_pika import IncomingMessage
from aio_pika.abc import AbstractIncomingMessage
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.message import RabbitMessage

from contracts.connecting import CONNECT_TIMEOUT_S
from contracts.deliveries import returns_of
from contracts.errors import ContractError
from contracts.hand import Hand
from contracts.hosts import Hosts
from contracts.list_log import FROM_THE_BEGINNING

from .deliveries import Deliver, Delivery, Ended, Handler, give_back, settle
from .middleware import Middleware
from .parts import Parts, refusing_bundles
from .publisher import HEARTBEAT_S, Publisher
from .roaming import RoamingBroker
from .strangers import Strangers

logger = logging.getLogger(__name__)

GRACE_S = 5.0
"""For handlers in flight when the worker stops."""


async def _parse(message: IncomingMessage) -> RabbitMessage:
    """Without what nobody reads, such as the ids that faststream would make up."""
    return RabbitMessage(message, message.body, correlation_id=message.message_id)


async def _whole(message: RabbitMessage) -> RabbitMessage:
    """What faststream hands its handlers for a body: the message, at a fraction of what parameters
    cost that it injects."""
    return message


def make_broker(url: str) -> RoamingBroker:
    """The consuming side of a worker. It declares nothing and publishes nothing."""
    return RoamingBroker(
        Hosts(url),
        apply_types=False,
        timeout=CONNECT_TIMEOUT_S,
        logger=None,
        graceful_timeout=GRACE_S,
        reconnect_interval=1.0,
        ack_policy=AckPolicy.MANUAL,
        parser=_parse,
        decoder=_whole,
    )


def with_heartbeat(url: str) -> str:
    """A dead broker is noticed in half a minute rather than in three."""
    return url + ("&" if "?" in url else "?") + f"heartbeat={HEARTBEAT_S}"


def subscribe(
    broker: RabbitBroker,
    publisher: Publisher,
    queue: str,
    handler: Handler,
    *,
    prefetch: int,
    middleware: Middleware,
    bundles: bool = False,
) -> None:
    """Consume a declared queue; `prefetch` messages are handled at once.

    Arguments:
        bundles: Whether it is a queue of what workers send, who may send several in one.
    """
    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False),
        channel=Channel(prefetch_count=prefetch),
        no_reply=True,
    )
    at_once = prefetch if bundles else None
    subscriber(_taking(publisher, queue, handler, middleware, at_once=at_once))


def taker(
    publisher: Publisher, queue: str, handler: Handler, *, middleware: Middleware
) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
    """What `subscribe` has each of the queue's deliveries go through, for one that is consumed
    without faststream."""
    consume = _taking(publisher, queue, handler, middleware)

    async def take(message: AbstractIncomingMessage) -> None:
        await consume(await _parse(cast("IncomingMessage", message)))

    return take


def _taking(
    publisher: Publisher,
    queue: str,
    handler: Handler,
    middleware: Middleware,
    *,
    at_once: int | None = None,
) -> Callable[[RabbitMessage], Awaitable[None]]:
    """
    Arguments:
        at_once: So many parts of bundles; None where no bundles are taken.
    """
    strangers = Strangers(queue)
    if at_once is not None:
        handler = refusing_bundles(handler)
    settled = functools.partial(settle, handler=handler, publisher=publisher, strangers=strangers)
    deliver = middleware.around_deliveries(queue, settled)
    if at_once is not None:
        deliver = Parts(deliver, publisher, at_once=at_once).deliver
    hands = Hands()

    async def consume(message: RabbitMessage) -> None:
        hand = hands.taking(message.raw_message)
        await end(message, _delivery(queue, message), deliver, hand)

    return consume


def subscribe_log(
    broker: RabbitBroker, queue: str, handler: Callable[[str, bytes], Awaitable[None]]
) -> None:
    """Read a stream from its beginning, with each connection anew: message by message, in order.

    Arguments:
        handler: Is given each message's type and body.
    """

    async def consume(message: RabbitMessage) -> None:
        await handler(message.raw_message.type or "", message.body)
        await message.ack()

    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False),
        channel=Channel(prefetch_count=1),
        no_reply=True,
        consume_args=dict(FROM_THE_BEGINNING),
    )
    subscriber(consume)


def hear(body: bytes, handler: Callable[[bytes], None], strangers: Strangers) -> None:
    """One broadcast. Of what does not fit a little is logged."""
    try:
        handler(body)
    except ContractError as error:
        if strangers.keeps(error):
            logger.warning("broadcast ignored", extra={"reason": str(error)})


def subscribe_broadcast(
    broker: RabbitBroker, exchange: str, queue: str, handler: Callable[[bytes], None]
) -> None:
    """Hear a fanout exchange through an exclusive queue of this process: the one thing that a
    worker declares. It holds hints only, so what it misses is lost without harm."""
    strangers = Strangers(exchange)

    async def consume(message: RabbitMessage) -> None:
        hear(message.body, handler, strangers)
        await message.ack()

    subscriber = broker.subscriber(
        RabbitQueue(queue, durable=False, exclusive=True, auto_delete=True),
        RabbitExchange(exchange, declare=False),
        channel=Channel(prefetch_count=100),
        no_reply=True,
    )
    subscriber(consume)


async def not_consumed(broker: RabbitBroker) -> list[str]:
    """Queues that should be consumed and are not: the broker ends a consumer when its queue is
    deleted, or has nobody to lead it. aio-pika tries again by itself. Waits for a connection."""
    missing = []
    for subscriber in broker.subscribers:
        queue = getattr(subscriber, "_queue_obj", None)
        tag = getattr(subscriber, "_consumer_tag", None)
        if queue is None or tag is None:
            continue
        channel = await queue.channel.get_underlay_channel()
        if tag not in channel.consumers:
            missing.append(queue.name)
    return missing


async def stop_consuming(broker: RabbitBroker) -> None:
    """Take no more deliveries, before those in flight get their grace.

    faststream stops the other way round: what is delivered during its grace is neither handled nor
    returned until the channel closes. Its subscribers keep queue and consumer tag to themselves.
    """
    for subscriber in broker.subscribers:
        queue = getattr(subscriber, "_queue_obj", None)
        tag = getattr(subscriber, "_consumer_tag", None)
        if queue is not None and tag is not None and not queue.channel.is_closed:
            await queue.cancel(tag)


class Hands:
    """Of one subscription: its channel comes anew with each connection."""

    def __init__(self) -> None:
        self._channel: object = None
        self._hand = Hand()

    def taking(self, raw: AbstractIncomingMessage) -> Hand:
        """The hand that it is in."""
        if raw.channel is not self._channel:
            self._channel, self._hand = raw.channel, Hand()
        self._hand.take(raw)
        return self._hand


async def end(
    message: RabbitMessage, delivery: Delivery, deliver: Deliver, hand: Hand | None = None
) -> None:
    """Tell the broker what became of a delivery. Only cancellation from outside leaves it open:
    then the broker delivers it again.

    Arguments:
        hand: Where what is dropped waits for others of its kind.
    """
    try:
        ended = await deliver(delivery)
    except Exception:
        logger.exception(
            "middleware failed", extra={"queue": delivery.queue, "kind": delivery.kind}
        )
        ended = await give_back(delivery, failed=True)
    if ended is Ended.DROPPED and hand is not None:
        hand.drop(message.raw_message)
        return
    if ended is Ended.FAILED:
        # From RabbitMQ 4.3 on a nack does not count towards the queue's delivery limit, which is
        # what ends a message that no handler survives. A reject does, in all releases.
        await message.reject(requeue=True)
    elif ended is Ended.RETURNED:
        await message.nack(requeue=True)
    else:
        await message.ack()
    if hand is not None:
        hand.settled(message.raw_message)


def _delivery(queue: str, message: RabbitMessage) -> Delivery:
    raw = message.raw_message
    return Delivery(
        queue=queue,
        kind=raw.type or "",
        body=raw.body,
        headers=raw.headers,
        routing_key=raw.routing_key or "",
        message_id=raw.message_id,
        attempts=returns_of(raw.headers),
        exchange=raw.exchange or "",
        content_type=raw.content_type or "",
    )
