"""What comes to our queue and no call here waits for: kept for a reader, or given back.

A queue may have several consumers: processes of one client id, or all producers without one.
The broker hands each letter to any of them. So a result that this process did not ask for is

- given back if others consume the same queue, so that it finds its owner: the first times at
  once, as the broker goes on to the next consumer; then after short delays, and when it was
  offered around, to each consumer `OFFERS` times as it were, after delays that grow;
- read by `Client.results`, if somebody here iterates over it, once it was offered around, or at
  once if nobody else consumes the queue;
- held unacked if it was given back `LATE_RETURNS` times after that, or nobody else consumes the
  queue: nobody wants it now;
- given back after `HELD_FOR_S` all the same. If no call here waits for anything by then, this
  process stops consuming first, and leaves the queue alone until the next call;
- never acked unread. What is held when the client closes goes back to the queue.

A quorum queue delivers again first what was given back, before all that is newer. So whoever waits
looks past everything that nobody reads: the broker hands over so many at once (`link.PREFETCH`),
and what comes again is given back at a pace that leaves room for what is new.

An announcement goes the same way, but is acked where a result would be read: whoever still wants
it repeats the request, and gets it again.

A call that waits does not depend on that: after a while it publishes its request again, the same
bytes, which makes the coordinator send everything again. So whoever reads results must expect to
see one twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from ..hand import Hand
from .letters import Letter

logger = logging.getLogger(__name__)

QUICK_OFFERS = 5
"""Times that each consumer has, as it were, before those who give back begin to hesitate."""
OFFERS = 8
"""With these a letter misses its owner once in 3000 times, if the broker chooses at random."""
LATE_RETURNS = 4
FIRST_HOLD_S = 0.02
LONGEST_HOLD_S = 2.0

HELD_FOR_S = 5.0
"""The broker ends the channel of whoever keeps a delivery longer than its `consumer_timeout`: half
an hour, unless somebody has set it lower. RabbitMQ's own least is a minute."""
TICK_S = 0.25
PAGE = 100
"""Given back in one tick at most: they come again at once, before what is new."""

CROWDED = 900
"""Held results from which on it is time to say something."""
COMPLAINS_EVERY_S = 600.0


async def _nothing(_: Callable[[], bool]) -> bool:
    return False


class Mailbox:
    """
    Arguments:
        consumers: How many consume our queue, this process included; 0 while there is no telling.
        wanted: Whether some call here waits for something.
        rest: Stops consuming, unless what it is given says that somebody waits after all; returns
            whether it did.
        hand: Of the channel that letters come by.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        consumers: Callable[[], Awaitable[int]],
        *,
        wanted: Callable[[], bool] = lambda: True,
        rest: Callable[[Callable[[], bool]], Awaitable[bool]] = _nothing,
        hand: Hand | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumers = consumers
        self._wanted = wanted
        self._rest = rest
        self._hand = hand or Hand()
        self._clock = clock
        self._held: dict[Letter, float] = {}
        self._offers: dict[Letter, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._readers = 0
        self._complaint_at = clock()

    def hold(self, letter: Letter) -> None:
        """Keep a letter that nobody here waits for, until somebody does or it is passed on."""
        if self._closing.is_set():
            return
        self._held[letter] = self._clock()
        self._offers[letter] = asyncio.create_task(self._pass_on(letter))
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="letters that nobody waits for")
        self._changed.set()
        self._complain()

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
        while not self._closing.is_set():
            self._changed.clear()
            consumers = await self._consumers() if self._held else 0
            for letter in self._held:
                if not letter.fleeting and _offered_around(letter, consumers):
                    self._take(letter)
                    return letter
            await self._changed.wait()
        return None

    def forget(self) -> None:
        """The connection is gone: what was held is in the queue again."""
        for task in self._offers.values():
            task.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
        self._offers.clear()
        self._held.clear()
        self._hand.forget()

    def close(self) -> None:
        """Let go of everything that is held; the broker delivers it again."""
        self._closing.set()
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
                return self._changed.set()
            elif late >= LATE_RETURNS or consumers == 1:
                return None
            elif consumers > 1:
                return await self._part_with(letter, letter.give_back)
            delay_s = min(2 * delay_s, LONGEST_HOLD_S)

    async def _part_with(self, letter: Letter, how: Callable[[], Awaitable[None]]) -> None:
        self._offers.pop(letter, None)  # this very task, which nobody must cancel now
        if self._held.pop(letter, None) is not None:
            await how()

    def _take(self, letter: Letter) -> None:
        del self._held[letter]
        if (offer := self._offers.pop(letter, None)) is not None:
            offer.cancel()

    ###
    ### What is held for long
    ###

    async def _keep(self) -> None:
        while self._held:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._closing.wait()
                    return
            if self._readers:
                self._changed.set()  # who consumes the queue may have changed
            await self._give_back(await self._page())

    async def _page(self) -> Sequence[Letter]:
        """What is to go back now."""
        since = self._clock() - HELD_FOR_S
        old = list(itertools.takewhile(lambda letter: self._held[letter] <= since, self._held))
        if old and not self._needed() and await self._rest(self._needed):
            return list(self._held)  # nothing of it comes again until somebody waits
        # Somebody may have read some meanwhile.
        return [letter for letter in old[:PAGE] if letter in self._held]

    def _needed(self) -> bool:
        return self._readers > 0 or self._wanted()

    async def _give_back(self, page: Sequence[Letter]) -> None:
        for letter in page:
            self._take(letter)
        if page:
            await self._hand.give_back([letter.delivery for letter in page])

    def _complain(self) -> None:
        if len(self._held) < CROWDED or self._clock() < self._complaint_at:
            return
        self._complaint_at = self._clock() + COMPLAINS_EVERY_S
        logger.warning(
            "%d results on this queue that nobody waits for, which every call has to look past: "
            "read them with Client.results, or see `warren results list`",
            len(self._held),
        )


def _offered_around(letter: Letter, consumers: int) -> bool:
    return consumers == 1 or letter.returns >= OFFERS * consumers > 0
