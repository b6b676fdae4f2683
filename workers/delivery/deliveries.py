"""From a delivery to its end: run the handler, then ack, refuse with a reason, or give it back.

The table stands in `settle`; nothing is decided by an error's text.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from contracts.errors import ContractError

from ..store.interface import StoreUnavailableError
from .publisher import FullError, Publisher, PublishError, UnroutableError, dead_letter
from .scopes import SessionOverError
from .strangers import Strangers

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 15.0
TRIES = 8
"""Here, while store or broker are away, before a delivery goes back. Each return counts towards
the queue's delivery limit: without this, an outage of a minute would make dead letters."""


@dataclass(frozen=True, slots=True)
class Delivery:
    queue: str
    kind: str
    body: bytes
    headers: Mapping[str, Any]
    routing_key: str
    message_id: str | None
    attempts: int
    """Earlier deliveries of this message, whatever came of them, as the quorum queue counted."""
    exchange: str = ""
    content_type: str = ""


class Ended(StrEnum):
    """What became of a delivery."""

    ACKED = "acked"
    OVER = "over"
    """Its session was, so there was nothing left to do."""
    REFUSED = "refused"
    """It is a dead letter now."""
    DROPPED = "dropped"
    """It was refused, and others of its kind are dead letters already."""
    RETURNED = "returned"
    """The broker will deliver it again: it could not be handled now, which is not its fault."""
    FAILED = "failed"
    """The broker will deliver it again, but not for ever: it may be its own fault."""


GIVEN_ON = 9
"""Deliveries, until what nobody here knows is known to nobody. Below the queues' limits."""


class ElsewhereError(Exception):
    """Another process of the kind may know what this one does not: its configuration is newer, or
    older."""


Handler: TypeAlias = Callable[[Delivery], Awaitable[None]]
Deliver: TypeAlias = Callable[[Delivery], Awaitable[Ended]]


async def settle(
    delivery: Delivery, handler: Handler, publisher: Publisher, strangers: Strangers
) -> Ended:
    """Run the handler, and tell by what happened how the delivery ends. The dead letter of one that
    is refused has left by then, and one that goes back has had its delay."""
    try:
        await _handle(handler, delivery)
    except SessionOverError:
        return Ended.OVER
    except ContractError as error:
        if not strangers.keeps(error):
            return Ended.DROPPED
        return await refuse(delivery, str(error), publisher)
    except (ElsewhereError, StoreUnavailableError, PublishError) as error:
        logger.warning(
            "delivery given back",
            extra={"queue": delivery.queue, "kind": delivery.kind, "reason": str(error)},
        )
        # A message for a queue that is not there may be one that never will be.
        return await give_back(delivery, failed=isinstance(error, UnroutableError))
    except Exception:
        logger.exception("handler failed", extra={"queue": delivery.queue, "kind": delivery.kind})
        return await give_back(delivery, failed=True)
    else:
        return Ended.ACKED


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


async def refuse(delivery: Delivery, reason: str, publisher: Publisher) -> Ended:
    """Make a dead letter of it, or give it back while that cannot leave. A plain reject would carry
    no reason, so the copy with one goes first."""
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
        return await give_back(delivery)
    else:
        return Ended.REFUSED


async def give_back(delivery: Delivery, *, failed: bool = False) -> Ended:
    """After a delay that grows with each delivery, so that nothing spins.

    Arguments:
        failed: It may be the message's own fault, so it must not come for ever.
    """
    await _pause(delivery.attempts)
    return Ended.FAILED if failed else Ended.RETURNED


async def _pause(tries: int) -> None:
    ceiling = min(FIRST_DELAY_S * 2 ** min(tries, 30), LONGEST_DELAY_S)
    await asyncio.sleep(random.uniform(ceiling / 2, ceiling))
