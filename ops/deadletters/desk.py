"""An operator at a queue of dead letters: looks, puts back, takes out.

Looking is a `basic.get` without an ack. The broker counts it as a delivery when the letter goes
back, which is why these queues have a delivery limit that nobody reaches. Whatever happens to this
process, what it did not take out goes back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
)
from aio_pika.exceptions import (
    ChannelClosed,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from contracts.absence import is_missing
from contracts.connecting import connect
from ops.deadletters.errors import AccessError, NotTakenError, broker_errors, parsed, place_of
from ops.deadletters.letter import Letter
from ops.deadletters.origin import Route

TIMEOUT_S = 15.0
"""For one answer of the broker."""
_PROPERTIES = (
    "app_id",
    "content_encoding",
    "content_type",
    "correlation_id",
    "message_id",
    "priority",
    "reply_to",
    "timestamp",
    "type",
)
_AT_ONCE = 16
"""Returns on their way. With more than 32, RabbitMQ keeps the others back and mixes them up."""
_RETURN_S = 0.1
"""What one return may take on a slow broker."""
_POLLS = 50
_BETWEEN_POLLS_S = 0.005


class Held:
    """A letter in our hands; it goes back at the end of the look unless it is taken out."""

    def __init__(self, letter: Letter, tag: int, tags: set[int], channel: UnderlayChannel) -> None:
        self.letter = letter
        self._tag = tag
        self._tags = tags
        self._channel = channel

    async def take_out(self) -> None:
        """For good."""
        await self._channel.basic_ack(self._tag)
        self._tags.discard(self._tag)


class _Counts(NamedTuple):
    ready: int
    in_use: int


class Desk:
    """
    Attributes:
        elsewhere: How many letters others had in hand when the last look began.
        beyond: How many more letters there were than the last look was for.
    """

    def __init__(self, connection: AbstractConnection, url: URL, queue: str) -> None:
        self.elsewhere = 0
        self.beyond = 0
        self._connection = connection
        self._url = url
        self._queue = queue
        self._publishing: AbstractChannel | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, queue: str) -> AsyncIterator[Desk]:
        """Raises AccessError or BrokerAwayError, at once or in what is done with it."""
        where = parsed(url)
        with broker_errors(where):
            async with asyncio.timeout(TIMEOUT_S):
                connection = await connect(url)
            async with connection:
                yield cls(connection, where, queue)

    @contextlib.asynccontextmanager
    async def look(self, most: int | None = None) -> AsyncIterator[AsyncIterator[Held]]:
        """The letters that are there now, the next to be delivered first; at the end all go back.

        They keep their order, but behind those that were seen before and not this time: a look that
        is for some of the letters may begin where another one ended. Whatever comes meanwhile is
        not among them: not even a letter that was sent where it came from, and died again.
        """
        channel = await self._connection.channel(publisher_confirms=False)
        ready, self.elsewhere = await self._counts(channel)
        count = ready if most is None else min(ready, most)
        self.beyond = ready - count
        tags: set[int] = set()
        interrupted = False
        try:
            yield self._letters(channel, count, tags)
        except asyncio.CancelledError:
            # A question that is cancelled closes its channel: all go back, in any order.
            interrupted = True
            raise
        finally:
            if not interrupted:
                await self._put_back(channel, tags)

    async def send(self, letter: Letter, route: Route) -> None:
        """Where it came from, or elsewhere. Returns when the broker has confirmed it.

        Raises NotTakenError.
        """
        if route.may_be_swallowed and not await self._exists(route.queue):
            raise NotTakenError(f'queue "{route.queue}", for which it is, is not there')
        message = aio_pika.Message(
            letter.body,
            headers=letter.first_headers(),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            **letter.first_properties(),
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                exchange = await self._exchange(route.exchange)
                await exchange.publish(message, route.routing_key, mandatory=True)
        except PublishError:
            raise NotTakenError(f"no queue takes it from {_named(route)}") from None
        except DeliveryError:
            raise NotTakenError(f'queue "{route.queue}" is full') from None
        except ChannelNotFoundEntity:
            raise NotTakenError(f'exchange "{route.exchange}" is not there') from None
        except ChannelAccessRefused:
            user = self._url.user
            raise NotTakenError(f'user "{user}" may not write to {_named(route)}') from None
        except ChannelClosed as error:
            raise NotTakenError(f"the broker refuses it: {error}") from None

    async def _letters(
        self, channel: AbstractChannel, count: int, tags: set[int]
    ) -> AsyncIterator[Held]:
        queue = await channel.get_queue(self._queue, ensure=False)
        underlay = await channel.get_underlay_channel()
        for position in range(1, count + 1):
            # Its own time-out now and then swallows the cancellation that Ctrl-C means.
            async with asyncio.timeout(TIMEOUT_S):
                message = await queue.get(fail=False, timeout=None)
            if message is None:  # others took what was there a moment ago
                return
            assert message.delivery_tag is not None
            tags.add(message.delivery_tag)
            letter = _letter(message, queue=self._queue, position=position)
            yield Held(letter, message.delivery_tag, tags, underlay)

    async def _put_back(self, channel: AbstractChannel, tags: set[int]) -> None:
        """In their order, and not before they are there: closing the channel would return them in
        any order, at any time."""
        left = sorted(tags)
        async with asyncio.timeout(TIMEOUT_S + len(left) * _RETURN_S):
            underlay = await channel.get_underlay_channel()
            while left:
                batch, left = left[:_AT_ONCE], left[_AT_ONCE:]
                for tag in batch:
                    await underlay.basic_nack(tag, requeue=True)
                await self._returned(channel, self.elsewhere + len(left))
            await channel.close()

    async def _returned(self, channel: AbstractChannel, in_use: int) -> None:
        """Wait until no more than so many letters are in use; not for ever, as others use some."""
        for _ in range(_POLLS):
            if (await self._counts(channel)).in_use <= in_use:
                return
            await asyncio.sleep(_BETWEEN_POLLS_S)

    async def _counts(self, channel: AbstractChannel) -> _Counts:
        async with asyncio.timeout(TIMEOUT_S):
            try:
                asked = await channel.declare_queue(self._queue, passive=True)
            except ChannelNotFoundEntity as error:
                if not is_missing(error):
                    raise
                raise AccessError(
                    f'queue "{self._queue}" is missing at {place_of(self._url)}: apply the '
                    "topology with `warren topology apply`"
                ) from None
        result = asked.declaration_result
        # To a quorum queue every letter that was got and not settled is a consumer of its own.
        return _Counts(result.message_count or 0, result.consumer_count or 0)

    async def _exists(self, queue: str) -> bool:
        async with asyncio.timeout(TIMEOUT_S), await self._connection.channel() as channel:
            try:
                await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity as error:
                return not is_missing(error)
            return True

    async def _exchange(self, name: str) -> AbstractExchange:
        if self._publishing is None or self._publishing.is_closed:
            self._publishing = await self._connection.channel(
                publisher_confirms=True, on_return_raises=True
            )
        if not name:
            return self._publishing.default_exchange
        return await self._publishing.get_exchange(name, ensure=False)


def _letter(message: AbstractIncomingMessage, *, queue: str, position: int) -> Letter:
    told = ((name, getattr(message, name)) for name in _PROPERTIES)
    return Letter(
        queue=queue,
        position=position,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        properties={name: value for name, value in told if value is not None},
        headers=dict(message.headers),
        body=message.body,
    )


def _named(route: Route) -> str:
    if not route.exchange:
        return f'the default exchange for queue "{route.queue}"'
    return f'exchange "{route.exchange}" by the key "{route.routing_key}"'
