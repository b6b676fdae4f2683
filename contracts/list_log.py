"""Where signed entries of lists lie: a stream at the broker, which keeps them all.

Whoever reads it takes nothing away from others, and whoever was away reads on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import Final, NamedTuple, NoReturn

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from . import addresses
from .confirming import AWAY, answered
from .connecting import connect
from .numbered_lists import SignedEntry

_OFFSET: Final = "x-stream-offset"
FROM_THE_BEGINNING: Final = {_OFFSET: "first"}
_FROM_THE_LAST: Final = {_OFFSET: "last"}
PREFETCH: Final = 200
"""A stream's consumer must have one."""
QUIET_S: Final = 0.5
LATE_S: Final = 5.0
"""For what comes behind the end that there was. Whoever may publish there could go on for ever, and
nobody would get to serve anything."""
PATIENCE_S: Final = 10.0
"""For the next one, where there must be one."""
MARK: Final = "mark"
"""Type of a message that is no list's."""
CONFIRM_TIMEOUT_S: Final = 10.0
RETRY_S: Final = 2.0

logger = logging.getLogger(__name__)


class Logged(NamedTuple):
    """
    Attributes:
        list: Which list its publisher says it is of: a hint, signed by nobody.
    """

    list: str
    body: bytes


async def read(connection: AbstractConnection) -> AsyncGenerator[Logged]:
    """What lies there now, in its order; nothing of it is verified. Where nobody may say anything,
    a broker tells of no end: it is taken to be there when no more comes.

    One after another, for whoever may publish there can fill the stream with what is nobody's.

    Raises aio-pika's errors: no such queue, no right to read it, the broker is away.
    """
    last = await _last(connection)
    until: float | None = None
    async with _coming(connection) as came:
        while until is None or time.monotonic() < until:
            try:
                async with asyncio.timeout(QUIET_S):
                    message = await _next(came)
            except TimeoutError:
                return
            if until is None and _offset(message) >= last:
                until = time.monotonic() + LATE_S
            yield _logged(message)


async def _last(connection: AbstractConnection) -> int:
    """The offset of a message of the stream's last piece, behind which no more than that piece lies
    now; 0 if nothing lies there."""
    async with _coming(connection, _FROM_THE_LAST) as came:
        try:
            async with asyncio.timeout(QUIET_S):
                return _offset(await _next(came))
        except TimeoutError:
            return 0


async def read_to_end(connection: AbstractConnection) -> AsyncGenerator[Logged]:
    """The same, by somebody who may publish there: up to a mark that is set now, so that nothing is
    missed. Raises TimeoutError, too."""
    mark = Logged(MARK, secrets.token_bytes(16))
    channel = await _to_publish(connection)
    exchange = await channel.get_exchange(addresses.LISTS, ensure=False)
    async with answered(CONFIRM_TIMEOUT_S):
        await exchange.publish(aio_pika.Message(mark.body, type=mark.list), "", mandatory=True)
    await channel.close()
    async with _coming(connection) as came:
        while True:
            async with asyncio.timeout(PATIENCE_S):
                logged = _logged(await _next(came))
            if logged == mark:
                return
            yield logged


@contextlib.asynccontextmanager
async def _coming(
    connection: AbstractConnection, where: Mapping[str, str] = FROM_THE_BEGINNING
) -> AsyncIterator[asyncio.Queue[AbstractIncomingMessage]]:
    async with answered():
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(addresses.LISTS_QUEUE, ensure=True)
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    tag = await queue.consume(came.put, arguments=dict(where))
    try:
        yield came
    finally:
        await queue.cancel(tag)
        await channel.close()


async def _next(came: asyncio.Queue[AbstractIncomingMessage]) -> AbstractIncomingMessage:
    message = await came.get()
    await message.ack()
    return message


def _logged(message: AbstractIncomingMessage) -> Logged:
    return Logged(message.type or "", message.body)


def _offset(message: AbstractIncomingMessage) -> int:
    """Where it lies: the broker's own header, whatever its publisher has said there."""
    told = message.headers.get(_OFFSET)
    return told if isinstance(told, int) else 0


async def follow(address: str, hear: Callable[[Logged], None]) -> NoReturn:
    """All that was said and is said, for as long as the task lives; from the beginning again
    whenever the broker was away.

    Arguments:
        hear: Whatever it raises, is logged.
    """
    while True:
        try:
            async with await connect(address) as connection:
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=PREFETCH)
                queue = await channel.get_queue(addresses.LISTS_QUEUE, ensure=True)
                async with queue.iterator(arguments=dict(FROM_THE_BEGINNING)) as messages:
                    async for message in messages:
                        hear(Logged(message.type or "", message.body))
                        await message.ack()
        except AWAY as error:
            logger.warning("a list cannot be followed", extra={"reason": str(error)})
        except Exception:
            # Whatever it is: whoever stopped following would go on letting in who was shown out.
            logger.exception("a list cannot be followed")
        await asyncio.sleep(RETRY_S)


async def _to_publish(connection: AbstractConnection) -> AbstractChannel:
    async with answered():
        return await connection.channel(publisher_confirms=True, on_return_raises=True)


async def publish(
    connection: AbstractConnection, name: str, entries: Iterable[SignedEntry]
) -> None:
    """In this order, each once the one before is confirmed.

    Arguments:
        name: Of the list.
    """
    channel = await _to_publish(connection)
    exchange = await channel.get_exchange(addresses.LISTS, ensure=False)
    for entry in entries:
        message = aio_pika.Message(
            entry.to_bytes(),
            content_type="application/json",
            type=name,
            message_id=entry.digest.hex(),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with answered(CONFIRM_TIMEOUT_S):
            await exchange.publish(message, "", mandatory=True)
    await channel.close()
