"""Messages go from one queue to another, each once, whenever this process is killed.

Each message is published to an exchange that leads to two queues: where it goes, and the *copies*.
The broker routes it to both or, if it never came, to neither. Its copy then comes back on the very
channel on which the message itself was delivered, so that one frame, an acknowledgement of all up
to here, takes messages from their queue and copies from theirs. Whoever is killed leaves in the
copies exactly those that have arrived and are not yet taken out: the next run skips them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError, DeliveryError

from topology.management import UnavailableError
from topology.migration.contents import Content, RawProperties, tag_of
from topology.problems import TopologyError

WINDOW: Final = 200
"""Messages in hand. So many may be doubled where the broker itself is lost at the same time."""
_POLL_S: Final = 0.02
_ALONE_S: Final = 15.0
_FIRST: Final = 10_000
"""The priority of our consumer. While it has room, others get nothing."""
_WITHOUT_ROOM: Final = "the next queue is full: let its consumers catch up, and run this again"


class LegError(TopologyError):
    """Messages cannot be moved. Those that are not moved are where they were."""


@dataclass(slots=True)
class _Taken:
    """A message in hand."""

    confirmed: bool = False
    copied: bool = False


class Leg:
    """From `source` by exchange `through` to where that leads, on a channel of its own.

    Arguments:
        channel: With confirms; nothing else happens on it.
        asking: Another one, for questions.
        copies: The queue to which `through` leads as well.
        trusted: False where copies may tell of messages that never arrived: they are then moved
            again, as doubled is better than lost.
        moved: Called with the number of messages that were moved since the last call.

    Attributes:
        moved: So many messages were moved.
        skipped: So many had been moved before this process came.
        distrusted: So many may be doubled.
    """

    def __init__(
        self,
        channel: AbstractChannel,
        asking: AbstractChannel,
        *,
        source: str,
        through: str,
        copies: str,
        trusted: bool = True,
        tell: Callable[[int], None],
    ) -> None:
        self.moved = self.skipped = self.distrusted = 0
        self._channel, self._asking = channel, asking
        self._source, self._through, self._copies = source, through, copies
        self._trusted, self._tell = trusted, tell
        self._open = 0
        """Messages in hand that are not where they go."""
        self._taken = self._fresh = 0
        """All that is in hand, and what of it has not been moved before."""
        self._coming: deque[_Taken] = deque()
        """Those whose copies have not come, in the order in which they will."""
        self._before: deque[Content] = deque()
        """Copies of an earlier run whose messages have not come."""
        self._tag = 0
        self._begun = False
        self._failure: Exception | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._touched = 0.0

    async def begin(self) -> None:
        """Look what an earlier run left, and start."""
        left = await self._alone(self._copies)
        await self._alone(self._source)
        self._channel.closing.add_done_callback(lambda _: self._fail(_away()))
        self._channel.on_consumer_cancel_callbacks.add(lambda _: self._fail(_away()))
        await self._channel.basic_qos(prefetch_count=0)
        await self._channel.basic_consume(self._copies, self._on_copy)
        while len(self._before) < left:
            await self._pause()
        if not self._trusted:
            self.distrusted = left
            self._before.clear()
        if left and not self._before:
            await self._channel.basic_ack(self._tag, multiple=True)
        self._begun = True
        self._touch()
        await self._channel.basic_qos(prefetch_count=WINDOW)
        await self._channel.basic_consume(
            self._source, self._on_message, arguments={"x-priority": _FIRST}
        )

    async def drained(self, quiet_s: float) -> None:
        """Wait until everything has arrived, and for so long nothing new has come.

        Raises:
            LegError: The broker refuses to take a message there.
            UnavailableError: The broker is away.
        """
        now = asyncio.get_running_loop().time
        while self._open or now() - self._touched < quiet_s or await self.ready(self._source):
            await self._pause()
        if self._before:
            # Killed in the moment between the two ends of that one frame, or expired since.
            self._before.clear()
            if self._taken:
                self._settle()
            else:
                await self._channel.basic_ack(self._tag, multiple=True)
        # Whatever was acknowledged has been seen by the broker when it answers on this channel.
        await self._channel.basic_qos(prefetch_count=WINDOW)

    async def ready(self, queue: str) -> int:
        """How many messages the queue has to give, exactly."""
        answer = await self._asking.queue_declare(queue, passive=True)
        return answer.message_count or 0

    async def caught_up(self, too_long: Callable[[int], bool]) -> int:
        """Wait until no more is left than is taken at once, or `too_long` says of what is left that
        it was waited for too long; how much that is."""
        while (left := await self.ready(self._source)) > WINDOW and not too_long(left):
            await self._pause()
        return left

    async def _alone(self, queue: str) -> int:
        """What was in a dead process's hands is back when the broker has no consumer of its any
        more."""
        now = asyncio.get_running_loop().time
        begin = now()
        while now() - begin < _ALONE_S:
            answer = await self._asking.queue_declare(queue, passive=True)
            if not answer.consumer_count:
                return answer.message_count or 0
            await asyncio.sleep(_POLL_S)
        raise LegError(f"somebody else consumes queue {queue}: stop it, and run this again")

    async def _on_message(self, message: DeliveredMessage) -> None:
        self._see(message)
        content = Content.of(message)
        self._taken += 1
        while self._before and not self._before[0].is_of(content):
            self._before.popleft()  # it expired, or was consumed, after it was moved
        if self._before:
            self._before.popleft()
            self.skipped += 1
            self._settle()
            return
        self._open += 1
        self._fresh += 1
        taken = _Taken()
        self._coming.append(taken)
        self._spawn(self._publish(content, tag_of(message), taken))

    async def _on_copy(self, message: DeliveredMessage) -> None:
        self._see(message)
        if not self._begun:
            self._before.append(Content.of(message))
            return
        if not self._coming:
            self._fail(LegError(f"somebody else publishes to queue {self._copies}"))
            return
        taken = self._coming.popleft()
        taken.copied = True
        self._arrived(taken)

    async def _publish(self, content: Content, tag: int, taken: _Taken) -> None:
        try:
            await self._channel.basic_publish(
                content.body,
                exchange=self._through,
                routing_key=content.routing_key,
                properties=RawProperties(content.properties, str(tag)),
                mandatory=True,
            )
        except DeliveryError:
            self._fail(LegError(f"what queue {self._source} has is not taken: {_WITHOUT_ROOM}"))
        else:
            taken.confirmed = True
            self._arrived(taken)

    def _arrived(self, taken: _Taken) -> None:
        if taken.confirmed and taken.copied:
            self._open -= 1
            self._settle()

    def _settle(self) -> None:
        """When all that is in hand is where it goes, take it out of both queues: in one frame.

        Copies of an earlier run come before everything else on this channel, so that frame is about
        them, too: not before each has met its message.
        """
        if self._open or self._before or not self._taken:
            return
        self._spawn(self._take_out(self._tag))
        self._taken = 0
        if self._fresh:
            self.moved += self._fresh
            self._tell(self._fresh)
            self._fresh = 0

    async def _take_out(self, tag: int) -> None:
        await self._channel.basic_ack(tag, multiple=True)

    def _see(self, message: DeliveredMessage) -> None:
        self._tag = max(self._tag, tag_of(message))
        self._touch()

    def _touch(self) -> None:
        self._touched = asyncio.get_running_loop().time()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(_away() if isinstance(error, AMQPError | OSError) else error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error if isinstance(error, Exception) else _away()

    async def _pause(self) -> None:
        await asyncio.sleep(_POLL_S)
        if self._failure is not None:
            raise self._failure


def _away() -> UnavailableError:
    return UnavailableError(
        "the broker is away, or has deleted a queue from which messages were moved. Nothing is "
        "lost; run this again"
    )
