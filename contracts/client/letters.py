"""Deliveries from our queue, from their coming to their end."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field

from aio_pika.abc import AbstractIncomingMessage

from ..confirming import AWAY
from ..deliveries import returns_of
from ..results import Delivered, SessionAnnounced


class Hand:
    """What of one channel's deliveries is not settled yet.

    Where the channel is gone a delivery is in the queue again, and will come again: whoever settles
    it meanwhile need not care.
    """

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        """By the object's id, its delivery tag."""

    def take(self, delivery: AbstractIncomingMessage) -> None:
        """It came."""
        self._open[id(delivery)] = delivery.delivery_tag or 0

    def forget(self) -> None:
        """The channel is gone."""
        self._open.clear()

    async def ack(self, delivery: AbstractIncomingMessage) -> None:
        """Done with it."""
        with contextlib.suppress(*AWAY):
            await delivery.ack()
            self._open.pop(id(delivery), None)

    async def reject(self, delivery: AbstractIncomingMessage) -> None:
        """To the dead letters."""
        with contextlib.suppress(*AWAY):
            await delivery.reject(requeue=False)
            self._open.pop(id(delivery), None)

    async def give_back(self, deliveries: Collection[AbstractIncomingMessage]) -> None:
        """Let the broker deliver them again, to us or to another consumer of the queue.

        In one word if possible: a queue writes down each word, and can forget none of them while it
        has an older message.
        """
        with contextlib.suppress(*AWAY):
            if (last := self._last_of_all(deliveries)) is not None:
                await last.nack(requeue=True, multiple=True)
                for delivery in deliveries:
                    self._open.pop(id(delivery), None)
                return
            for delivery in deliveries:
                await delivery.nack(requeue=True)
                self._open.pop(id(delivery), None)

    def _last_of_all(
        self, deliveries: Collection[AbstractIncomingMessage]
    ) -> AbstractIncomingMessage | None:
        """The last of several, if up to it no others are open."""
        if len(deliveries) < 2:
            return None
        own = {id(delivery) for delivery in deliveries}
        last = max(deliveries, key=lambda delivery: delivery.delivery_tag or 0)
        tag = last.delivery_tag or 0
        others = any(one <= tag for name, one in self._open.items() if name not in own)
        return None if others else last


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A delivery from the queue that was read and is not acknowledged yet."""

    content: Delivered
    delivery: AbstractIncomingMessage
    hand: Hand = field(default_factory=Hand)

    @property
    def fleeting(self) -> bool:
        """Whether it can be had again by whoever wants it, and is kept for nobody else."""
        return isinstance(self.content, SessionAnnounced)

    @property
    def returns(self) -> int:
        """How often the result went back to the queue; counted by quorum queues."""
        return returns_of(self.delivery.headers)

    async def ack(self) -> None:
        """Done with it."""
        await self.hand.ack(self.delivery)

    async def reject(self) -> None:
        """To the dead letters."""
        await self.hand.reject(self.delivery)

    async def give_back(self) -> None:
        """Let the broker offer it to another consumer of the queue."""
        await self.hand.give_back([self.delivery])
