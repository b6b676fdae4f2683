"""Deliveries in hand: those of one channel that are not settled yet, and how they are settled many
at a time.

Each word to the broker costs both sides about as much as a delivery does, and a quorum queue writes
each down. So what is dropped, or given back by the page, is settled in one word where possible:
with `multiple`, which settles all up to a tag, and so only where nothing else is open up to there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from .confirming import AWAY

PATIENCE_S = 0.002
"""So long what was dropped waits for more of the kind, in a place of the prefetch."""


class Incoming(Protocol):
    """A delivery as aio-pika has it, as far as it is looked at here."""

    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, Any]: ...
    @property
    def redelivered(self) -> bool | None: ...
    @property
    def delivery_tag(self) -> int | None: ...
    async def ack(self, multiple: bool = False) -> None: ...
    async def reject(self, requeue: bool = False) -> None: ...
    async def nack(self, multiple: bool = False, requeue: bool = True) -> None: ...


class Hand:
    """Of one channel.

    Where the channel is gone a delivery is in the queue again, and will come again: whoever settles
    it meanwhile need not care.
    """

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        """By the object's id, its delivery tag."""
        self._dropped: list[Incoming] = []
        self._acking: asyncio.Task[None] | None = None

    def take(self, delivery: Incoming) -> None:
        """It came."""
        self._open[id(delivery)] = delivery.delivery_tag or 0

    def settled(self, delivery: Incoming) -> None:
        """Somebody else told the broker what became of it."""
        self._open.pop(id(delivery), None)

    def forget(self) -> None:
        """The channel is gone."""
        self._open.clear()
        self._dropped.clear()

    async def ack(self, delivery: Incoming) -> None:
        """Done with it."""
        with contextlib.suppress(*AWAY):
            await delivery.ack()
            self.settled(delivery)

    async def reject(self, delivery: Incoming) -> None:
        """To the dead letters."""
        with contextlib.suppress(*AWAY):
            await delivery.reject(requeue=False)
            self.settled(delivery)

    async def give_back(self, deliveries: Collection[Incoming]) -> None:
        """Let the broker deliver them again, to us or to another consumer of the queue."""
        together, one_by_one = self._parted(deliveries)
        with contextlib.suppress(*AWAY):
            if together:
                await together[-1].nack(requeue=True, multiple=True)
                self._all_settled(together)
            for delivery in one_by_one:
                await delivery.nack(requeue=True)
                self.settled(delivery)

    def drop(self, delivery: Incoming) -> None:
        """Done with it, and there is no hurry: it is acknowledged soon, together with others."""
        self._dropped.append(delivery)
        if self._acking is None or self._acking.done():
            self._acking = asyncio.create_task(self._ack_dropped(), name="what was dropped")

    async def _ack_dropped(self) -> None:
        while self._dropped:
            await asyncio.sleep(PATIENCE_S)
            dropped, self._dropped = self._dropped, []
            together, one_by_one = self._parted(dropped)
            with contextlib.suppress(*AWAY):
                if together:
                    await together[-1].ack(multiple=True)
                    self._all_settled(together)
                for delivery in one_by_one:
                    await delivery.ack()
                    self.settled(delivery)

    def _all_settled(self, deliveries: Collection[Incoming]) -> None:
        for delivery in deliveries:
            self.settled(delivery)

    def _parted(
        self, deliveries: Collection[Incoming]
    ) -> tuple[Sequence[Incoming], Sequence[Incoming]]:
        """Those before anything else that is open, by their tags, if they are several; and the
        others."""
        if len(deliveries) < 2:
            return (), tuple(deliveries)
        own = {id(delivery) for delivery in deliveries}
        end = min((tag for name, tag in self._open.items() if name not in own), default=None)
        ordered = sorted(deliveries, key=_tag)
        before = [each for each in ordered if end is None or _tag(each) < end]
        if len(before) < 2:
            return (), ordered
        return before, ordered[len(before) :]


def _tag(delivery: Incoming) -> int:
    return delivery.delivery_tag or 0
