"""Waiting for the broker ends with its answer, in time, or with an error; never by itself."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError

from contracts.confirming import AWAY, ConnectionLostError, answered, lost


async def wait(within_s: float | None = None) -> None:
    async with answered(within_s):
        await asyncio.Event().wait()


async def test_an_answer_in_time_is_an_answer() -> None:
    async with answered(60):
        await asyncio.sleep(0)


async def test_no_answer_in_time_is_an_error() -> None:
    with pytest.raises(TimeoutError):
        await wait(0.01)


async def test_a_cancellation_that_nobody_asked_for_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLostError, match="connection lost before"):
        async with answered(60):
            raise asyncio.CancelledError
    pending = asyncio.get_running_loop().create_future()
    pending.cancel()
    with pytest.raises(ConnectionLostError):
        async with answered():
            await pending


@pytest.mark.system
async def test_a_channel_of_a_connection_that_was_closed_just_now_is_a_lost_connection(
    vhost: str,
) -> None:
    """In aiormq's own words, which are a RuntimeError."""
    connection = await aio_pika.connect(vhost)
    assert connection.transport is not None
    await connection.transport.connection.close()
    with pytest.raises(ConnectionLostError):
        async with answered():
            await connection.channel()
    with pytest.raises(ConnectionLostError), lost():
        await connection.channel()
    await connection.close()


@pytest.mark.parametrize("error", [ChannelInvalidStateError("closed"), RuntimeError("a mistake")])
async def test_no_other_mistake_is_taken_for_one(error: RuntimeError) -> None:
    with pytest.raises(RuntimeError) as raised:
        async with answered():
            raise error
    assert raised.value is error


async def test_a_cancellation_that_somebody_asked_for_stays_one() -> None:
    for task in (asyncio.create_task(wait()), asyncio.create_task(wait(60))):
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_the_broker_says_passes() -> None:
    with pytest.raises(DeliveryError):
        async with answered(60):
            raise DeliveryError(None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [TimeoutError, ConnectionLostError, ConnectionResetError, OSError, AMQPError]
)
def test_a_broker_that_is_away_is_known_by_its_errors(error: type[Exception]) -> None:
    assert issubclass(error, AWAY)
    assert issubclass(ChannelInvalidStateError, AWAY)
