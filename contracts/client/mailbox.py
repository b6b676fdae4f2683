"""Results on our queue that no call here waits for: kept for a reader, or given back.

A queue may have several consumers: processes of one client id, or all producers without one.
The broker hands each result to any of them. So a result that this process did not ask for is

- given back if others consume the same queue, so that it finds its owner: soon at first, then
  after delays that grow with each time it was given back;
- read by `Client.results`, if somebody here iterates over it, once it was offered around `OFFERS`
  times, or at once if nobody else consumes the queue;
- held unacked until this client closes after `MAX_RETURNS`: otherwise the queue's delivery limit
  would make a dead letter of it;
- never acked unread. What is held when the client closes goes back to the queue.

A call that waits does not depend on that: after a while it publishes its request again, the same
bytes, which makes the coordinator send the result again. So whoever reads results must expect to
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

from ..results import Result

logger = logging.getLogger(__name__)

OFFERS = 4
MAX_RETURNS = 8
FIRST_HOLD_S = 0.02
LONGEST_HOLD_S = 2.0
CROWDED = 900
"""Held results from which on it is time to say something: the broker stops at its prefetch."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    result: Result
    delivery: AbstractIncomingMessage

    @property
    def returns(self) -> int:
        """How often the result went back to the queue; counted by quorum queues."""
        count = self.delivery.headers.get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0

    # Where the channel is gone the result is in the queue again, and will come again.

    async def ack(self) -> None:
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.ack()

    async def reject(self) -> None:
        """To the dead letters."""
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.reject(requeue=False)

    async def give_back(self) -> None:
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, ConnectionError):
            await self.delivery.nack(requeue=True)


class Mailbox:
    """
    Arguments:
        shared: Whether other processes consume the same queue.
    """

    def __init__(self, shared: Callable[[], Awaitable[bool]]) -> None:
        self._shared = shared
        self._held: dict[Letter, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._readers = 0
        self._closed = False

    def hold(self, letter: Letter) -> None:
        if self._closed:
            return
        self._held[letter] = asyncio.create_task(self._give_back_in_time(letter))
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
            alone = bool(self._held) and not await self._shared()
            for letter in self._held:
                if alone or letter.returns >= OFFERS:
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
        self._closed = True
        self._changed.set()
        self.forget()

    async def _give_back_in_time(self, letter: Letter) -> None:
        delay_s = FIRST_HOLD_S
        if letter.returns >= OFFERS:
            delay_s = min(FIRST_HOLD_S * 4 ** (letter.returns - OFFERS), LONGEST_HOLD_S)
        while letter.returns < MAX_RETURNS:
            # The broker serves consumers in turn. Two that give back in step would for ever get
            # their own again; memoryless delays break every step.
            await asyncio.sleep(random.expovariate(1 / delay_s))
            to_be_read = self._readers and letter.returns >= OFFERS
            if not to_be_read and await self._shared():
                if self._held.pop(letter, None) is not None:
                    await letter.give_back()
                return
            self._changed.set()
            delay_s = min(2 * delay_s, LONGEST_HOLD_S)
