"""What a worker does wrong with deliveries and messages when it is told to."""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar

from contracts.identity import Identity
from workers.delivery.deliveries import Deliver, Delivery, Ended
from workers.delivery.middleware import Chain, Middleware
from workers.delivery.publisher import Publish
from workers.metrics import Metered
from workers.store.records import Outgoing

from .faults import Kind
from .lying import ALIVE, said
from .orders import Obedience

LATE, TWICE, BACK = 0.3, 0.3, 0.1
"""Shares of the deliveries in bad weather."""
LATE_S = 0.8
LOST = 0.3

sent: ContextVar[bool] = ContextVar("sent", default=False)
"""Whether the handler that runs has committed something to send."""


def disobedience(obedience: Obedience, identity: Identity | None = None) -> Middleware:
    """Arguments: identity: With which a party signs its lies; a coordinator signs nothing."""
    return Chain(
        Metered(), Weather(obedience), CrashBeforeAck(obedience), Lies(obedience, identity)
    )


class Weather(Middleware):
    """Deliveries come late, twice at once, go back unhandled, or are lost."""

    def __init__(self, obedience: Obedience) -> None:
        self._obedience = obedience
        self._dice = random.Random(obedience.worker)

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        """As the orders of the moment want it."""
        dice = self._dice

        async def weathered(delivery: Delivery) -> Ended:
            orders = self._obedience.orders
            if orders.loss and delivery.kind != ALIVE and dice.random() < LOST:
                self._obedience.feel()
                return Ended.ACKED
            if not orders.weather:
                return await deliver(delivery)
            self._obedience.feel()
            fate = dice.random()
            if fate < BACK and delivery.attempts < 2:
                return Ended.RETURNED
            if fate < BACK + LATE:
                await asyncio.sleep(dice.uniform(0, LATE_S))
            if fate > 1 - TWICE:
                # A copy: how it ends is not the broker's business.
                if dice.random() < 0.5:
                    return (await asyncio.gather(deliver(delivery), deliver(delivery)))[0]
                await deliver(delivery)
            return await deliver(delivery)

        return weathered


class CrashBeforeAck(Middleware):
    """Dies with what is committed and published, and not acknowledged."""

    def __init__(self, obedience: Obedience) -> None:
        self._obedience = obedience

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        """Once its handler has sent something."""

        async def deliver_and_die(delivery: Delivery) -> Ended:
            sent.set(False)
            ended = await deliver(delivery)
            if ended is Ended.ACKED and sent.get():
                self._obedience.die_at(Kind.AFTER_PUBLISH)
            return ended

        return deliver_and_die


class Lies(Middleware):
    """Says what is wrong, two things, or nothing."""

    def __init__(self, obedience: Obedience, identity: Identity | None) -> None:
        self._obedience = obedience
        self._identity = identity

    def around_publishing(self, publish: Publish) -> Publish:
        """What is said in place of each message."""

        async def publish_as_told(message: Outgoing) -> None:
            told = list(said(message, self._obedience.orders, self._identity))
            if told != [message]:
                self._obedience.feel()
            for each in told:
                await publish(each)

        return publish_as_told
