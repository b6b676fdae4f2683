"""Deliveries from our queue, from their coming to their end."""

from __future__ import annotations

from dataclasses import dataclass, field

from aio_pika.abc import AbstractIncomingMessage

from ..deliveries import returns_of
from ..hand import Hand
from ..results import Delivered, SessionAnnounced


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
