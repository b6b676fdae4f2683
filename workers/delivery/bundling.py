"""What goes the same way while the broker has not confirmed what went before leaves together.

One message of each exchange and routing key is under way at a time; what comes meanwhile is
gathered, and leaves as one bundle with the confirm. So nothing ever waits for company: whoever
finds nothing under way publishes at once, as if there were no bundles.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from prometheus_client import Counter

from contracts import addresses, bundles

from ..store.records import Outgoing
from .unconfirmed import FullError, PublishError, UnroutableError

BUNDLES = Counter(
    "warren_bundles",
    "Messages of AMQP that left with several of ours in them.",
    ["exchange"],
    registry=None,
)
PARTS = Counter(
    "warren_bundled_messages",
    "Messages of ours that left in bundles.",
    ["exchange"],
    registry=None,
)

MOST_PARTS = 16
LARGE_BYTES = 32_768
"""What is larger goes by itself at once: it would wait for others, and others for it, and save
nothing."""
OURS = frozenset(
    {
        addresses.SESSIONS,
        addresses.ROUNDS,
        addresses.KEYGEN,
        addresses.PRESIGNING,
        addresses.REPORTS,
    }
)
"""Exchanges that lead to workers only."""

Send: TypeAlias = Callable[[Outgoing], Awaitable[None]]
_Way: TypeAlias = tuple[str, str]
_Waiting: TypeAlias = tuple[Outgoing, asyncio.Future[None]]


class Bundling:
    """
    Arguments:
        send: One message of AMQP; returns when it is confirmed, or raises PublishError.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: dict[_Way, deque[_Waiting]] = {}
        """Of each way on which something is under way, what waits for that."""
        self._sending: set[asyncio.Task[None]] = set()

    async def publish(self, message: Outgoing) -> None:
        """Returns when the message is confirmed, alone or with others."""
        if len(message.body) > LARGE_BYTES or not understood(message):
            return await self._send(message)
        way = message.exchange, message.routing_key
        waiting = self._waiting.get(way)
        if waiting is not None:
            confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append((message, confirmed))
            return await confirmed
        self._waiting[way] = deque()
        lost: PublishError | None = None
        try:
            await self._send(message)
        except PublishError as error:
            lost = error
            raise
        finally:
            self._go_on(way, lost)

    async def close(self) -> None:
        """What is under way or waits is not confirmed any more."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _go_on(self, way: _Way, lost: PublishError | None) -> None:
        """Nothing is under way any more.

        Arguments:
            lost: What became of what was.
        """
        waiting = self._waiting[way]
        if lost is not None and not isinstance(lost, FullError | UnroutableError):
            # The broker is away: who waits finds that out no better by another ten seconds.
            _fail(waiting, lost)
            waiting.clear()
        together, message = _gathered(waiting)
        if message is None:
            del self._waiting[way]
            return
        task = asyncio.create_task(self._send_together(way, together, message), name="bundle")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_together(
        self, way: _Way, together: Sequence[_Waiting], message: Outgoing
    ) -> None:
        lost: PublishError | None = PublishError("the publisher was closed")
        try:
            await self._send(message)
        except PublishError as error:
            lost = error
        else:
            lost = None
        finally:
            if lost is None:
                for _, confirmed in together:
                    if not confirmed.done():
                        confirmed.set_result(None)
            else:
                _fail(together, lost)
            self._go_on(way, lost)


def understood(message: Outgoing) -> bool:
    """Whether who reads it takes bundles apart."""
    return message.exchange in OURS or (
        message.exchange == addresses.RESULTS and addresses.may_be_bundled(message.routing_key)
    )


def _gathered(waiting: deque[_Waiting]) -> tuple[list[_Waiting], Outgoing | None]:
    """Those that leave together, and as what: the first of those that wait, as many as there is
    room for. Who has given up waiting is not among them."""
    together: list[_Waiting] = []
    packing = bundles.Packing()
    while waiting and len(together) < MOST_PARTS:
        message, confirmed = waiting[0]
        if not confirmed.done():
            if not packing.add(_part(message)):
                break
            together.append(waiting[0])
        waiting.popleft()
    if len(together) < 2:
        return together, together[0][0] if together else None
    first = together[0][0]
    BUNDLES.labels(first.exchange).inc()
    PARTS.labels(first.exchange).inc(len(together))
    bundle = Outgoing(
        exchange=first.exchange,
        routing_key=first.routing_key,
        kind=bundles.KIND,
        content_type=bundles.CONTENT_TYPE,
        message_id="",
        body=packing.body(),
    )
    return together, bundle


def _part(message: Outgoing) -> bundles.Part:
    return bundles.Part(
        message_id=message.message_id,
        kind=message.kind,
        content_type=message.content_type,
        headers=message.headers,
        body=message.body,
    )


def _fail(those: Iterable[_Waiting], lost: PublishError) -> None:
    for _, confirmed in those:
        if not confirmed.done():
            confirmed.set_exception(type(lost)(*lost.args))
