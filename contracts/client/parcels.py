"""A bundle of results in hand: it is settled when all of its parts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from .. import bundles
from ..deliveries import ACQUIRED, FAILED
from ..hand import Hand


class Enclosed:
    """One part, as if it had been delivered alone."""

    def __init__(self, parcel: Parcel, part: bundles.Part) -> None:
        self._parcel = parcel
        self.body = part.body
        self.headers: Mapping[str, Any] = {**part.headers, **parcel.counts}

    @property
    def delivery_tag(self) -> int | None:
        """The bundle's: nothing settles the part together with other deliveries."""
        return self._parcel.delivery.delivery_tag

    @property
    def redelivered(self) -> bool | None:
        """Whether the bundle came before, and this with it."""
        return self._parcel.delivery.redelivered

    async def ack(self, multiple: bool = False) -> None:
        """Done with this part."""
        await self._parcel.settle(self)

    async def reject(self, requeue: bool = False) -> None:
        """To the dead letters, with all that came with it: AMQP rejects nothing smaller."""
        await self._parcel.settle(self, rejected=True)

    async def nack(self, multiple: bool = False, requeue: bool = True) -> None:
        """Back to the queue, with all that came with it."""
        await self._parcel.settle(self, returned=True)


class Parcel:
    """What came in one message.

    Raises UnauthenticatedError: it is no bundle.
    """

    def __init__(self, delivery: AbstractIncomingMessage, hand: Hand) -> None:
        self.delivery = delivery
        self.counts = {
            name: delivery.headers[name] for name in (ACQUIRED, FAILED) if name in delivery.headers
        }
        self._hand = hand
        self.parts = tuple(Enclosed(self, part) for part in bundles.unpack(delivery.body))
        self._open = set(self.parts)
        self._returned = False
        self._rejected = False

    async def settle(
        self, part: Enclosed, *, returned: bool = False, rejected: bool = False
    ) -> None:
        """One of the parts has ended; with the last one, the bundle has."""
        self._open.discard(part)
        self._returned |= returned
        self._rejected |= rejected
        if self._open:
            return
        # Whoever wants what goes back finds the others, too, and has answered them before.
        if self._returned:
            await self._hand.give_back([self.delivery])
        elif self._rejected:
            await self._hand.reject(self.delivery)
        else:
            await self._hand.ack(self.delivery)
