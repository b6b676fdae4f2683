"""From a delivery to its end: run the handler, then ack, reject with a reason, or give it back.

The table of architecture.md section 5 stands in `settle`; nothing is decided by an error's text.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aio_pika import IncomingMessage
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.message import RabbitMessage

from contracts.connecting import CONNECT_TIMEOUT_S
from contracts.errors import ContractError
from contracts.hosts import Hosts

from .. import metrics
from ..store.interface import StoreUnavailableError
from .publisher import (
    HEARTBEAT_S,
    FullError,
    Publisher,
    PublishError,
    UnroutableError,
    dead_letter,
)
from .roaming import RoamingBroker
from .scopes import SessionOverError

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 15.0
TRIES = 8
"""Here, while store or broker are away, before a delivery goes back. Each return counts towards
the queue's delivery limit: without this, an outage of a minute would make dead letters."""
GRACE_S = 5.0
"""For handlers in flight when the worker stops."""


@dataclass(frozen=True, slots=True)
class Delivery:
    queue: str
    kind: str
    body: bytes
    headers: Mapping[str, Any]
    routing_key: str
    message_id: str | None
    attempts: int
    """Earlier deliveries of this message, as the quorum queue counted them."""
    exchange: str = ""
    content_type: str = ""


Handler = Callable[[Delivery], Awaitable[None]]


async def _parse(message: IncomingMessage) -> RabbitMessage:
    """Without what nobody reads, such as the ids that faststream would make up."""
    return RabbitMessage(message, message.body, correlation_id=message.message_id)


async def _whole(message: RabbitMessage) -> RabbitMessage:
    """What faststream hands its handlers for a body: the message, at a fraction of what parameters
    cost that it injects."""
    return message


def make_broker(url: str) -> RabbitBroker:
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
) -> None:
    """Consume a declared queue; `prefetch` deliveries are handled at once."""

    in_hand = metrics.DELIVERIES_IN_HAND.labels(queue)
    seconds = metrics.DELIVERY_SECONDS.labels(queue)

    async def consume(message: RabbitMessage) -> None:
        with in_hand.track_inprogress(), seconds.time():
            await settle(message, _delivery(queue, message), handler, publisher)

    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False),
        channel=Channel(prefetch_count=prefetch),
        no_reply=True,
    )
    subscriber(consume)


def subscribe_broadcast(
    broker: RabbitBroker, exchange: str, queue: str, handler: Callable[[bytes], None]
) -> None:
    """Hear a fanout exchange through an exclusive queue of this process: the one thing that a
    worker declares. It holds hints only, so what it misses is lost without harm."""

    async def consume(message: RabbitMessage) -> None:
        try:
            handler(message.body)
        except ContractError as error:
            logger.warning("broadcast ignored", extra={"reason": str(error)})
        await message.ack()

    subscriber = broker.subscriber(
        RabbitQueue(queue, durable=False, exclusive=True, auto_delete=True),
        RabbitExchange(exchange, declare=False),
        channel=Channel(prefetch_count=100),
        no_reply=True,
    )
    subscriber(consume)


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


async def settle(
    message: RabbitMessage, delivery: Delivery, handler: Handler, publisher: Publisher
) -> None:
    """Run the handler and end the delivery by what happened. Only cancellation from outside leaves
    it open: then the broker delivers it again."""
    try:
        await _handle(handler, delivery)
    except SessionOverError:
        await message.ack()
        outcome = "over"
    except ContractError as error:
        await _refuse(message, delivery, str(error), publisher)
        outcome = "refused"
    except (StoreUnavailableError, PublishError) as error:
        logger.warning(
            "delivery given back",
            extra={"queue": delivery.queue, "kind": delivery.kind, "reason": str(error)},
        )
        await _give_back(message, delivery)
        outcome = "returned"
    except Exception:
        logger.exception("handler failed", extra={"queue": delivery.queue, "kind": delivery.kind})
        await _give_back(message, delivery)
        outcome = "returned"
    else:
        await message.ack()
        outcome = "acked"
    metrics.DELIVERIES.labels(delivery.queue, outcome).inc()


async def _handle(handler: Handler, delivery: Delivery) -> None:
    for tries in range(TRIES):
        try:
            return await handler(delivery)
        except (UnroutableError, FullError):
            raise  # one queue's trouble: others need the place that this delivery takes
        except (StoreUnavailableError, PublishError) as error:
            logger.warning(
                "delivery held",
                extra={"queue": delivery.queue, "kind": delivery.kind, "reason": str(error)},
            )
            await _pause(tries)
    return await handler(delivery)


async def _refuse(
    message: RabbitMessage, delivery: Delivery, reason: str, publisher: Publisher
) -> None:
    """A plain reject would carry no reason, so the copy with one goes first."""
    logger.warning(
        "message refused",
        extra={"queue": delivery.queue, "kind": delivery.kind, "reason": reason},
    )
    letter = dead_letter(
        body=delivery.body,
        headers={**delivery.headers, "message_id": delivery.message_id or ""},
        routing_key=delivery.routing_key,
        reason=reason,
        source=delivery.queue,
        kind=delivery.kind,
        content_type=delivery.content_type,
        exchange=delivery.exchange,
    )
    try:
        await publisher.publish(letter)
    except PublishError:
        await _give_back(message, delivery)
    else:
        await message.ack()


async def _give_back(message: RabbitMessage, delivery: Delivery) -> None:
    """After a delay that grows with each delivery, so that nothing spins."""
    await _pause(delivery.attempts)
    await message.nack(requeue=True)


async def _pause(tries: int) -> None:
    ceiling = min(FIRST_DELAY_S * 2 ** min(tries, 30), LONGEST_DELAY_S)
    await asyncio.sleep(random.uniform(ceiling / 2, ceiling))


def _delivery(queue: str, message: RabbitMessage) -> Delivery:
    raw = message.raw_message
    count = raw.headers.get("x-delivery-count", 0)
    return Delivery(
        queue=queue,
        kind=raw.type or "",
        body=raw.body,
        headers=raw.headers,
        routing_key=raw.routing_key or "",
        message_id=raw.message_id,
        attempts=count if isinstance(count, int) else 0,
        exchange=raw.exchange or "",
        content_type=raw.content_type or "",
    )
