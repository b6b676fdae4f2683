"""Consuming from queues that come and go with the clients.

By aio-pika itself: faststream's subscribers are for the life of a process. It keeps each queue's
first channel, and one that was closed since for a queue that is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
)

from contracts import addresses
from contracts.confirming import AWAY

logger = logging.getLogger(__name__)

Take = Callable[[AbstractIncomingMessage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Consumed:
    """One client's queues, on one channel: they come and go together."""

    channel: AbstractChannel
    tags: Mapping[str, tuple[AbstractQueue, str]]


class ClientQueues:
    """Of one process.

    Arguments:
        connection: The one to consume on.
        take: What takes a queue's deliveries.
    """

    def __init__(
        self,
        connection: Callable[[], AbstractConnection],
        take: Callable[[str], Take],
        *,
        prefetch: int,
    ) -> None:
        self._connection = connection
        self._take = take
        self._prefetch = prefetch
        self._consumed: dict[str, _Consumed] = {}
        self._wanted: frozenset[str] = frozenset()
        self._in_hand: set[asyncio.Task[None] | None] = set()
        self._lock = asyncio.Lock()
        self._stopped = False

    async def follow(self, clients: Iterable[str]) -> None:
        """Consume the queues of these clients, and no others. What cannot be consumed yet, because
        it is not there, is tried again by the next call."""
        self._wanted = frozenset(clients)
        async with self._lock:
            for client_id in self._consumed.keys() - self._wanted:
                await self._leave(client_id)
            for client_id in sorted(self._wanted - self._consumed.keys()):
                if not self._stopped:
                    await self._begin(client_id)

    async def retry(self) -> None:
        """What could not be consumed before."""
        if self._wanted - self._consumed.keys():
            await self.follow(self._wanted)

    async def missing(self) -> list[str]:
        """Queues that should be consumed and are not."""
        lost = [
            name
            for client_id in self._wanted - self._consumed.keys()
            for name in addresses.request_queues(client_id)
        ]
        for consumed in list(self._consumed.values()):
            channel: Any = await consumed.channel.get_underlay_channel()
            lost += [
                name for name, (_, tag) in consumed.tags.items() if tag not in channel.consumers
            ]
        return lost

    async def stop(self, grace_s: float) -> None:
        """Take no more; what is in hand has so long to end."""
        self._stopped = True
        async with self._lock:
            for consumed in self._consumed.values():
                await _cancel(consumed)
        running = [task for task in self._in_hand if task is not None]
        if running:
            await asyncio.wait(running, timeout=grace_s)

    async def _begin(self, client_id: str) -> None:
        channel = None
        tags: dict[str, tuple[AbstractQueue, str]] = {}
        try:
            channel = await self._connection().channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=self._prefetch)
            for name in addresses.request_queues(client_id):
                queue = await channel.get_queue(name, ensure=True)
                tags[name] = queue, await queue.consume(self._counted(self._take(name)))
        except (*AWAY, RuntimeError) as error:  # as aiormq calls a connection that was just lost
            # Other channels are not harmed; and nobody else is, for one whose queues are missing.
            logger.warning(
                "a client's queues cannot be consumed",
                extra={"client_id": client_id, "reason": f"{type(error).__name__}: {error}"},
            )
            with contextlib.suppress(*AWAY):
                if channel is not None and not channel.is_closed:
                    await channel.close()
            return
        self._consumed[client_id] = _Consumed(channel, tags)

    async def _leave(self, client_id: str) -> None:
        consumed = self._consumed.pop(client_id)
        await _cancel(consumed)
        # What is in hand goes back to its queue: its client is none any more.
        with contextlib.suppress(*AWAY):
            if not consumed.channel.is_closed:
                await consumed.channel.close()

    def _counted(self, take: Take) -> Take:
        async def taken(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            self._in_hand.add(task)
            try:
                await take(message)
            finally:
                self._in_hand.discard(task)

        return taken


async def _cancel(consumed: _Consumed) -> None:
    with contextlib.suppress(*AWAY):  # then nothing is consumed any more either
        for queue, tag in consumed.tags.values():
            if not consumed.channel.is_closed:
                await queue.cancel(tag)
