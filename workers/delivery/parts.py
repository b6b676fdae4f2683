"""Bundles taken apart: each part goes its own way, and the delivery ends when all have ended.

Middleware and handlers see parts, each as if it had come alone. A part that is refused is a dead
letter of its own. If one has to be given back the whole bundle is, for AMQP settles nothing
smaller, and what had ended comes again: handlers take that, and this process looks past it.

A part may be the end of its process, and others must not go down with it each time. So what comes
again is handled one part at a time, forwards and then backwards, which brings all before or behind
that one to their ends; and then in any order. A part that its handler still does not survive when
the queue's delivery limit is near becomes a dead letter by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from contracts import bundles
from contracts.deliveries import used_of_limit
from contracts.errors import ContractError

from .deliveries import GIVEN_ON, Deliver, Delivery, Ended, Handler, give_back, refuse
from .publisher import Publisher

logger = logging.getLogger(__name__)

REMEMBERED = 1_000
"""Bundles that went back, of which this process knows what had ended."""

_OPEN = frozenset({Ended.RETURNED, Ended.FAILED})


class Parts:
    """Of one queue.

    Arguments:
        deliver: Takes single messages, and what is no bundle though it says so.
        at_once: Messages that are handled at once, however they came.
    """

    def __init__(self, deliver: Deliver, publisher: Publisher, *, at_once: int) -> None:
        self._deliver = deliver
        self._publisher = publisher
        self._room = asyncio.Semaphore(at_once)
        self._ended: OrderedDict[bytes, frozenset[int]] = OrderedDict()

    async def deliver(self, delivery: Delivery) -> Ended:
        """A delivery to its end, whether it is a bundle or not."""
        parts = _opened(delivery)
        if parts is None:
            async with self._room:
                return await self._deliver(delivery)
        before = self._before(delivery)
        left = [number for number in range(len(parts)) if number not in before]
        came = await self._handled(parts, left, delivery.attempts)
        for number, ended in came.items():
            used = used_of_limit(delivery.headers, failed=ended is Ended.FAILED)
            if ended in _OPEN and used >= GIVEN_ON:
                came[number] = await self._give_up(parts[number], used)
        still = {number: ended for number, ended in came.items() if ended in _OPEN}
        if still:
            self._remember(delivery, before | (came.keys() - still.keys()))
            return Ended.FAILED if Ended.FAILED in still.values() else Ended.RETURNED
        return Ended.DROPPED if {*came.values()} == {Ended.DROPPED} else Ended.ACKED

    async def _handled(
        self, parts: Sequence[Delivery], numbers: Sequence[int], returns: int
    ) -> dict[int, Ended]:
        if not returns:
            return await self._side_by_side(parts, numbers)
        came: dict[int, Ended] = {}
        order = _order(numbers, returns)
        while order:
            number = order.pop(0)
            came[number] = await self._part(parts[number])
            if came[number] is Ended.RETURNED:
                # If that is for want of store or broker, the others have the same long wait.
                return came | await self._side_by_side(parts, order)
        return came

    async def _side_by_side(
        self, parts: Sequence[Delivery], numbers: Sequence[int]
    ) -> dict[int, Ended]:
        came = await asyncio.gather(
            *(self._part(parts[number]) for number in numbers), return_exceptions=True
        )
        # What was cancelled, and not by whoever stops this delivery, has not ended.
        return {
            number: ended if isinstance(ended, Ended) else Ended.FAILED
            for number, ended in zip(numbers, came, strict=True)
        }

    async def _part(self, part: Delivery) -> Ended:
        async with self._room:
            try:
                return await self._deliver(part)
            except Exception:
                # `settle` sees to what handlers raise. Whatever comes from around it, a part of
                # which nobody knows the end must neither end the others nor be acknowledged.
                logger.exception(
                    "middleware failed", extra={"queue": part.queue, "kind": part.kind}
                )
                return await give_back(part, failed=True)

    async def _give_up(self, part: Delivery, times: int) -> Ended:
        reason = (
            f"came {times + 1} times in one bundle with others, and could not be handled: the log "
            "says why"
        )
        return await refuse(part, reason, self._publisher)

    def _before(self, delivery: Delivery) -> frozenset[int]:
        """The parts that ended when it came before."""
        if not delivery.attempts:
            return frozenset()
        return self._ended.pop(_name(delivery), frozenset())

    def _remember(self, delivery: Delivery, ended: frozenset[int]) -> None:
        self._ended[_name(delivery)] = ended
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)


def refusing_bundles(handler: Handler) -> Handler:
    """The same, and what says that it is a bundle, and is none, is refused."""

    async def refused(delivery: Delivery) -> None:
        bundles.unpack(delivery.body)  # says why it is none

    def handle(delivery: Delivery) -> Awaitable[None]:
        is_bundle = delivery.content_type == bundles.CONTENT_TYPE
        return refused(delivery) if is_bundle else handler(delivery)

    return handle


def _opened(delivery: Delivery) -> tuple[Delivery, ...] | None:
    """The parts; None if it is no bundle."""
    if delivery.content_type != bundles.CONTENT_TYPE:
        return None
    try:
        parts = bundles.unpack(delivery.body)
    except ContractError:
        return None
    return tuple(
        replace(
            delivery,
            kind=part.kind,
            body=part.body,
            headers=part.headers,
            message_id=part.message_id,
            content_type=part.content_type,
        )
        for part in parts
    )


def _order(numbers: Sequence[int], returns: int) -> list[int]:
    """In which parts are handled that came again."""
    order = list(numbers)
    if returns == 2:
        order.reverse()
    elif returns > 2:
        random.shuffle(order)
    return order


def _name(delivery: Delivery) -> bytes:
    return hashlib.sha256(delivery.body).digest()
