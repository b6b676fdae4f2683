"""Waiting for the broker to confirm or to answer, when the connection may go meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from aio_pika.exceptions import AMQPError, ChannelInvalidStateError


class ConnectionLostError(ConnectionError):
    def __init__(self) -> None:
        super().__init__("connection lost before the broker answered")


AWAY = (AMQPError, ChannelInvalidStateError, OSError)
"""What it comes to when the broker is away or goes. Some of its answers are an AMQPError, too, and
have to be caught first."""


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """Around what asks for a channel. aiormq has a plain RuntimeError for a connection that was
    closed a moment ago, which nobody would take for that.

    Raises ConnectionLostError in its place.
    """
    try:
        yield
    except RuntimeError as error:
        if type(error) is not RuntimeError or not str(error).endswith("closed"):
            raise
        raise ConnectionLostError from None


@contextlib.asynccontextmanager
async def answered(within_s: float | None = None) -> AsyncIterator[None]:
    """The block, which waits for an answer; without a number, for as long as there is a connection.

    A peer found dead by its heartbeat ends what is pending with a cancellation that nobody asked
    for. Taken at its word, it would end tasks that have more to do.

    Raises:
        TimeoutError: The time is up.
        ConnectionLostError: In place of such a cancellation, and as `lost` does. A cancellation
            that was asked for passes.
    """
    try:
        async with asyncio.timeout(within_s):
            with lost():
                yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLostError from None
