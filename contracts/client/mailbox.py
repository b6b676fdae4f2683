"""What comes to our queue and no call here waits for: kept for a reader, or given back.

A queue may have several consumers: processes of one client id, or all producers without one.
The broker hands each letter to any of them. So a result that this process did not ask for is

- given back if others consume the same queue, so that it finds its owner: the first times at
  once, as the broker goes on to the next consumer; then after short delays, and when it was
  offered around, to each consumer `OFFERS` times as it were, after delays that grow;
- read by `Client.results`, if somebody here iterates over it, once it was offered around, or at
  once if nobody else consumes the queue;
- held unacked until this client closes if it was given back `LATE_RETURNS` times after that:
  nobody wants it now, and each return counts as a delivery, of which the queue has a limit;
- never acked unread. What is held when the client closes goes back to the queue.

An announcement goes the same way, but is acked where a result would be read: whoever still wants
it repeats the request, and gets it again.

A call that waits does not depend on that: after a while it publishes its request again, the same
bytes, which makes the coordinator send everything again. So whoever reads results must expect to
see one twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from ..results import Delivered, SessionAnnounced

logger = logging.getLogger(__name__)

QUICK_OFFERS = 5
"""Times that each consumer has, as it were, before those who give back begin to hesitate."""
OFFERS = 8
"""With these a letter misses its owner once in 3000 times, if the broker chooses at random."""
LATE_RETURNS = 4
FIRST_HOLD_S = 0.02
LONGEST_HOLD_S = 2.0
CROWDED = 900
"""Held results from which on it is time to say something: the broker stops at its prefetch."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A delivery from the queue that was read and is not acknowledged yet."""

    content: Delivered
    delivery: AbstractIncomingMessage

    @property
    def fleeting(self) -> bool:
        """Whether it can be had again by whoever wants it, and is kept for nobody else."""
        return isinstance(self.content, SessionAnnounced)

    @property
    def returns(self) -> int:
        """How often the result went back to the queue; counted by quorum queues."""
        count = self.delivery.headers.get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0

    # Where the channel is gone the result is in the queue again, and will come again.

    async def ack(self) -> None:
        """Done with it. If the connection went meanwhile, the letter comes again."""
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.ack()

    async def reject(self) -> None:
        """To the dead letters."""
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.reject(requeue=False)

    async def give_back(self) -> None:
        """Let the broker offer it to another consumer of the queue."""
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.nack(requeue=True)


class Mailbox:
    """
    Arguments:
        consumers: How many consume our queue, this process included; 0 while there is no telling.
    """

    def __init__(self, consumers: Callable[[], Awaitable[int]]) -> None:
        self._consumers = consumers
        self._held: dict[Letter, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._readers = 0
        self._closed = False

    def hold(self, letter: Letter) -> None:
        """Keep a letter that nobody here waits for, until somebody does or it is passed on."""
        if self._closed:
            return
        self._held[letter] = asyncio.create_task(self._pass_on(letter))
        self._changed.set()
        if len(self._held) == CROWDED:
            logger.warning(
                "%d results on this queue that nobody here waits for: read them with "
                "Client.results, or no others will come",
                CROWDED,
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While it is open, letters that were offered around stay here for `next`."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    async def next(self) -> Letter | None:
        """The oldest letter to be read here; it is the caller's now, to ack or to hold again.

        None when the mailbox is closed.
        """
        while not self._closed:
            self._changed.clear()
            consumers = await self._consumers() if self._held else 0
            for letter in self._held:
                if not letter.fleeting and _offered_around(letter, consumers):
                    self._held.pop(letter).cancel()
                    return letter
            await self._changed.wait()
        return None

    def forget(self) -> None:
        """The connection is gone: what was held is in the queue again."""
        for task in self._held.values():
            task.cancel()
        self._held.clear()

    def close(self) -> None:
        """Let go of everything that is held; the broker delivers it again."""
        self._closed = True
        self._changed.set()
        self.forget()

    async def _pass_on(self, letter: Letter) -> None:
        consumers = await self._consumers()
        quick = letter.returns < QUICK_OFFERS * consumers and consumers > 1
        late = letter.returns - OFFERS * consumers if consumers else 0
        delay_s = min(FIRST_HOLD_S * 4.0 ** max(late, 0), LONGEST_HOLD_S)
        while True:
            if not quick:
                # The broker serves consumers in turn. Two that give back in step would for ever
                # get their own again; memoryless delays break every step.
                await asyncio.sleep(random.expovariate(1 / delay_s))
                consumers = await self._consumers()
            offered_around = _offered_around(letter, consumers)
            if letter.fleeting and offered_around:
                return await self._part_with(letter, letter.ack)
            elif self._readers and offered_around:
                self._changed.set()
            elif late >= LATE_RETURNS:
                return None
            elif consumers > 1:
                return await self._part_with(letter, letter.give_back)
            delay_s = min(2 * delay_s, LONGEST_HOLD_S)

    async def _part_with(self, letter: Letter, how: Callable[[], Awaitable[None]]) -> None:
        if self._held.pop(letter, None) is not None:
            await how()


def _offered_around(letter: Letter, consumers: int) -> bool:
    return consumers == 1 or letter.returns >= OFFERS * consumers > 0
