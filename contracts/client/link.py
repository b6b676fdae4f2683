"""One connection to the broker, kept up: publishes what it is given, delivers what comes.

Declares nothing. Any channel that the broker closes takes the connection with it: there is one
way to come back, and no state in between. Reconnecting is the link's business, publishing again
its caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable

import aio_pika
import tenacity
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from .. import addresses
from ..signing import SignedRequest
from .errors import BrokerUnavailableError, ClientError, TopologyError
from .settings import ClientSettings

logger = logging.getLogger(__name__)

PREFETCH = 1000
"""Results in hand at most, those that wait for `Client.results` included."""

_AWAY = (AMQPError, ChannelInvalidStateError, ConnectionError, TimeoutError, OSError)
_REMEDY = "apply the topology: `warren topology apply`"


class LinkLostError(Exception):
    """The message may have been stored or not; publish the same bytes again."""


class Link:
    """
    Arguments:
        deliver: Called for each delivery, concurrently; has to ack, nack or reject it, and is
            cancelled when the connection goes.
        lost: Called when the connection went, with everything unacked on it.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        deliver: Callable[[AbstractIncomingMessage], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._on_lost = lost
        self._url = URL(settings.amqp_url).update_query(heartbeat=str(settings.heartbeat_s))
        self._queue_name = addresses.results_queue(settings.client_id)
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._queue: AbstractQueue | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[int] | None = None

    async def open(self) -> None:
        """Raises TopologyError or BrokerUnavailableError."""
        await self._establish()
        self._keeper = asyncio.create_task(self._keep(), name="warren client link")

    async def close(self) -> None:
        """Everything unacked goes back to the queue."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._drop()
        if self._probe is not None:
            await asyncio.wait([self._probe])

    async def publish(self, signed: SignedRequest) -> None:
        """One try; returns when the broker has confirmed it.

        Raises:
            LinkLostError: not confirmed.
            TopologyError: the broker will not take it, now or later.
        """
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_s):
                await self._up.wait()
                assert self._exchange is not None
                await self._exchange.publish(
                    self._message(signed),
                    addresses.request_key(signed.request.operation),
                    mandatory=True,
                )
        except PublishError:
            raise TopologyError(
                f'exchange "{addresses.REQUESTS}" took request {signed.request.request_id} but no '
                f"queue did: has the topology been applied? ({_REMEDY})"
            ) from None
        except DeliveryError:
            raise LinkLostError("the broker refused the message for now") from None
        except ChannelPreconditionFailed as error:
            raise TopologyError(f"the broker refuses the message: {error}") from None
        except (ChannelAccessRefused, ChannelNotFoundEntity) as error:
            raise self._missing("exchange", addresses.REQUESTS, "write to", error) from None
        except _AWAY as error:
            raise LinkLostError(type(error).__name__) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A peer found dead by its heartbeat ends pending publishes by a cancellation that
            # nobody asked for.
            raise LinkLostError("the connection was lost before the confirm") from None

    async def shares_its_queue(self) -> bool:
        """Whether another consumer is on our results queue. False while there is no telling."""
        if not self._up.is_set() or self._queue is None:
            return False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._count_consumers(self._queue))
        # An RPC that is cancelled closes its channel, and everything unacked comes again. Whoever
        # asks may stop waiting at any time, so the question is a task of its own.
        return await asyncio.shield(self._probe) > 1

    async def _count_consumers(self, queue: AbstractQueue) -> int:
        """Of our results queue; 0 while there is no telling."""
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_s):
                return (await queue.declare()).consumer_count or 0
        except _AWAY:
            return 0
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return 0  # the connection went, and ended the question with it

    async def _keep(self) -> None:
        while True:
            await self._down.wait()
            logger.warning("connection to the broker lost; connecting again")
            await self._drop()
            async for attempt in tenacity.AsyncRetrying(
                wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
                retry=tenacity.retry_if_exception_type(ClientError),
                before_sleep=_log_retry,
            ):
                with attempt:
                    await self._establish()
            logger.info("connected to the broker again")

    async def _establish(self) -> None:
        self._down.clear()
        try:
            async with asyncio.timeout(3 * self._settings.confirm_timeout_s):
                await self._connect()
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise BrokerUnavailableError(
                f"the broker at {self._place()} refuses user {self._url.user!r} or the vhost"
            ) from error
        except _AWAY as error:
            raise BrokerUnavailableError(
                f"no connection to the broker at {self._place()}: {type(error).__name__}: {error}"
            ) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise BrokerUnavailableError(
                f"the connection to the broker at {self._place()} broke while it was made"
            ) from None
        finally:
            if not self._up.is_set():
                await self._drop()

    async def _connect(self) -> None:
        self._connection = connection = await aio_pika.connect(self._url)
        publishing = await self._channel(connection, publisher_confirms=True)
        try:
            self._exchange = await publishing.get_exchange(addresses.REQUESTS, ensure=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise self._missing("exchange", addresses.REQUESTS, "write to", error) from None
        consuming = await self._channel(connection, publisher_confirms=False)
        await consuming.set_qos(prefetch_count=PREFETCH)
        try:
            self._queue = await consuming.declare_queue(self._queue_name, passive=True)
            await self._queue.consume(self._deliver)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise self._missing("queue", self._queue_name, "read", error) from None
        self._up.set()

    async def _channel(
        self, connection: AbstractConnection, *, publisher_confirms: bool
    ) -> AbstractChannel:
        channel = await connection.channel(
            publisher_confirms=publisher_confirms, on_return_raises=publisher_confirms
        )
        lose = functools.partial(self._lose, connection)
        channel.close_callbacks.add(lose)
        # The broker ends a consumer, and nothing else, when its queue is deleted.
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lose)
        return channel

    def _lose(self, connection: AbstractConnection, *_: object) -> None:
        if connection is self._connection:
            self._up.clear()
            self._down.set()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._exchange = self._queue = None
        self._up.clear()
        self._on_lost()
        if connection is not None:
            with contextlib.suppress(*_AWAY):
                async with asyncio.timeout(self._settings.confirm_timeout_s):
                    await connection.close()

    def _message(self, signed: SignedRequest) -> aio_pika.Message:
        request = signed.request
        left_s = request.expires_at / 1000 - time.time()
        external = self._url.query.get("auth", "").upper() == "EXTERNAL"
        return aio_pika.Message(
            signed.body,
            headers=dict(signed.headers()),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=request.request_id,
            type=request.operation,
            # The broker refuses a login that is not the connection's.
            user_id=self._url.user or (None if external else "guest"),
            expiration=max(left_s, 0.001),
        )

    def _missing(self, kind: str, name: str, verb: str, error: AMQPError) -> TopologyError:
        if isinstance(error, ChannelAccessRefused):
            return TopologyError(
                f'user {self._url.user!r} may not {verb} {kind} "{name}" at {self._place()}: '
                f"the broker's administrator grants it"
            )
        return TopologyError(f'{kind} "{name}" is missing at {self._place()}: {_REMEDY}')

    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or 'default port'}{self._url.path}"


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    logger.warning("still no broker: %s", error)
