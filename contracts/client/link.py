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
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused, InvalidFrameError
from yarl import URL

from .. import addresses
from ..absence import is_missing
from ..confirming import AWAY, answered
from ..frames import TlsError, TolerantConnection
from ..hosts import Hosts, is_external, login_of
from ..signing import SignedRequest
from .errors import BrokerUnavailableError, ClientError, TopologyError
from .settings import ClientSettings

logger = logging.getLogger(__name__)

PREFETCH = 60_000
"""Deliveries in hand at most, those that nobody waits for included: what is new comes after them.
AMQP has room for 65,535, and the queue's policy for 512 MiB."""

SHARED_FOR_S = 1.0
"""For so long a queue that was seen to have other consumers is taken to have them still: who gives
a result back to nobody gets it again."""

ALONE_FOR_S = 5.0
"""For so long a queue that had no other consumers is taken to have none, where who reads it decides
how its messages come."""

_REMEDY = "apply the topology: `warren topology apply`"
_DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}
_RENEWAL_S = 1.0
"""Between two channels to publish on; what is under way on the old one has so long."""


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
        self._hosts = Hosts(settings.amqp_url)
        self._queue_name = addresses.results_queue(settings.client_id)
        self._connection: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None
        self._retired: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._queue: AbstractQueue | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[int] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._consumers = 0
        self._shared_until = 0.0
        self._alone = False
        self._look_at = 0.0
        self._consumer: str | None = None
        self._switching = asyncio.Lock()

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
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._drop()
        if self._probe is not None:
            await asyncio.wait([self._probe])

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now, in its words; None if it does."""
        connection = self._connection
        return connection.blocked if isinstance(connection, TolerantConnection) else None

    async def publish(
        self, signed: SignedRequest, *, leaves: Callable[[], None] | None = None
    ) -> None:
        """One try; returns when the broker has confirmed it.

        Arguments:
            leaves: Called when from now on it may reach the broker.

        Raises:
            LinkLostError: not confirmed.
            TopologyError: the broker will not take it, now or later.
        """
        key = addresses.request_key(signed.request.operation, signed.request.client_id)
        try:
            async with answered(self._settings.confirm_timeout_s):
                await self._up.wait()
                assert self._exchange is not None
                if leaves is not None:
                    leaves()
                await self._exchange.publish(self._message(signed), key, mandatory=True)
        except PublishError:
            raise TopologyError(
                f'exchange "{addresses.REQUESTS}" took request {signed.request.request_id} but no '
                f"queue did: has the topology been applied? ({_REMEDY})"
            ) from None
        except DeliveryError:
            self._renew_publishing()
            raise LinkLostError("the broker refused the message for now") from None
        except ChannelPreconditionFailed as error:
            raise TopologyError(f"the broker refuses the message: {error}") from None
        except (ChannelAccessRefused, ChannelNotFoundEntity) as error:
            by = f" by the routing key {key!r}"
            raise self._missing("exchange", addresses.REQUESTS, "write to", error, by=by) from None
        except AWAY as error:
            raise LinkLostError(type(error).__name__) from None

    async def consumer_count(self) -> int:
        """How many consume our results queue, this link included; 0 while there is no telling.

        That there are others may be old news by `SHARED_FOR_S`; that there are none never is.
        """
        if not self._up.is_set() or self._queue is None:
            return 0
        if self._shared_until > time.monotonic():
            return self._consumers
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._count_consumers(self._queue))
        # An RPC that is cancelled closes its channel, and everything unacked comes again. Whoever
        # asks may stop waiting at any time, so the question is a task of its own.
        return await asyncio.shield(self._probe)

    @property
    def alone(self) -> bool:
        """Whether nobody else consumed our queue when this was last looked at, since we began to.
        Whoever of two began last has seen the other: never do both believe that they are alone."""
        if not self._up.is_set() or self._queue is None:
            return False
        if self._look_at <= time.monotonic() and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._count_consumers(self._queue))
        return self._alone

    async def listen(self) -> None:
        """Consume the queue again, if we rest. While the connection is away there is nothing to do:
        a new one begins with it."""
        if self._up.is_set() and (self._consumer is None or self._switching.locked()):
            # As above, and whoever calls this may stop waiting as well.
            await asyncio.shield(asyncio.create_task(self._start()))

    async def rest(self, wanted: Callable[[], bool]) -> bool:
        """Stop consuming, but not what is in hand; False if somebody wants something after all."""
        return await asyncio.shield(asyncio.create_task(self._stop(wanted)))

    async def _start(self) -> None:
        async with self._switching:
            queue = self._queue
            if queue is None or self._consumer is not None:
                return
            with contextlib.suppress(*AWAY):
                async with answered(self._settings.confirm_timeout_s):
                    consumer = await queue.consume(self._deliver)
                if queue is self._queue:
                    self._consumer, self._alone, self._look_at = consumer, False, 0.0

    async def _stop(self, wanted: Callable[[], bool]) -> bool:
        async with self._switching:
            queue, consumer = self._queue, self._consumer
            if queue is None or consumer is None or wanted():
                return False
            with contextlib.suppress(*AWAY):
                async with answered(self._settings.confirm_timeout_s):
                    await queue.cancel(consumer)
                if queue is self._queue:
                    self._consumer, self._alone = None, False
                    return True
            return False

    async def _count_consumers(self, queue: AbstractQueue) -> int:
        consumer = self._consumer
        try:
            async with answered(self._settings.confirm_timeout_s):
                self._consumers = (await queue.declare()).consumer_count or 0
        except AWAY:
            self._alone = False
            return 0
        ours = consumer is not None and consumer == self._consumer and queue is self._queue
        self._alone = ours and self._consumers == 1
        self._look_at = time.monotonic() + ALONE_FOR_S
        if self._consumers > 1:
            self._shared_until = time.monotonic() + SHARED_FOR_S
        return self._consumers

    def _renew_publishing(self) -> None:
        """A channel whose first message for a queue comes in the moment when that has no leader is
        refused by RabbitMQ 3.10 for as long as the old leader's node is away. Other channels are
        not."""
        if self._connection is not None and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew(self._connection))

    async def _renew(self, connection: AbstractConnection) -> None:
        old = self._publishing
        with contextlib.suppress(*AWAY):
            async with answered():
                channel = await self._channel(connection, publisher_confirms=True)
            exchange = await channel.get_exchange(addresses.REQUESTS, ensure=False)
            if connection is not self._connection or old is None:
                return  # it was lost meanwhile, with all its channels
            self._publishing, self._exchange = channel, exchange
            await asyncio.sleep(_RENEWAL_S)
            self._retired = old
            await old.close()

    async def _keep(self) -> None:
        while True:
            await self._down.wait()
            logger.warning("connection to the broker lost; connecting again")
            await self._drop()
            self._hosts.go_on()
            async for attempt in tenacity.AsyncRetrying(
                wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
                retry=tenacity.retry_if_exception_type(ClientError),
                before_sleep=_log_retry,
            ):
                with attempt:
                    await self._establish()
            logger.info("connected to the broker again")

    async def _establish(self) -> None:
        """At the first host that lets us. Raises what the last one tried made of it."""
        for left in reversed(range(len(self._hosts))):
            try:
                await self._establish_here()
            except BrokerUnavailableError:
                self._hosts.go_on()
                if not left:
                    raise
            else:
                return

    async def _establish_here(self) -> None:
        self._down.clear()
        try:
            async with answered(3 * self._settings.confirm_timeout_s):
                await self._connect()
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise BrokerUnavailableError(
                f"the broker at {self._place()} refuses user {self._user!r} or the vhost"
            ) from error
        except InvalidFrameError as error:  # its text is an object's repr
            raise BrokerUnavailableError(
                f"the broker at {self._place()} does not open the vhost: it is not there, or user "
                f"{self._user!r} may not use it"
            ) from error
        except TlsError as error:
            raise BrokerUnavailableError(
                f"no connection to the broker at {self._place()}: {error}"
            ) from None
        except AWAY as error:
            raise BrokerUnavailableError(
                f"no connection to the broker at {self._place()}: {type(error).__name__}: {error}"
            ) from error
        finally:
            if not self._up.is_set():
                await self._drop()

    async def _connect(self) -> None:
        self._connection = connection = await aio_pika.connect(
            self._url,
            timeout=self._settings.confirm_timeout_s,
            connection_class=TolerantConnection,
        )
        publishing = await self._channel(connection, publisher_confirms=True)
        try:
            self._exchange = await publishing.get_exchange(addresses.REQUESTS, ensure=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise self._missing("exchange", addresses.REQUESTS, "write to", error) from None
        self._publishing = publishing
        consuming = await self._channel(connection, publisher_confirms=False)
        await consuming.set_qos(prefetch_count=PREFETCH)
        try:
            self._queue = await consuming.declare_queue(self._queue_name, passive=True)
            self._consumer = await self._queue.consume(self._deliver)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            if isinstance(error, ChannelNotFoundEntity) and not is_missing(error):
                raise
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

    def _lose(self, connection: AbstractConnection, channel: object, *_: object) -> None:
        if connection is self._connection and channel is not self._retired:
            self._up.clear()
            self._down.set()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._exchange = self._queue = self._consumer = None
        self._alone, self._look_at = False, 0.0
        self._up.clear()
        self._on_lost()
        if connection is not None:
            with contextlib.suppress(*AWAY):
                async with asyncio.timeout(self._settings.confirm_timeout_s):
                    await connection.close()

    def _message(self, signed: SignedRequest) -> aio_pika.Message:
        request = signed.request
        left_s = request.expires_at / 1000 - time.time()
        return aio_pika.Message(
            signed.body,
            headers=dict(signed.headers()),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=request.request_id,
            type=request.operation,
            # The broker refuses a login that is not the connection's.
            user_id=self._url.user or (None if is_external(self._url) else "guest"),
            expiration=max(left_s, 0.001),
        )

    def _missing(
        self, kind: str, name: str, verb: str, error: AMQPError, *, by: str = ""
    ) -> TopologyError:
        if isinstance(error, ChannelAccessRefused):
            return TopologyError(
                f'user {self._user!r} may not {verb} {kind} "{name}"{by} at {self._place()}: '
                f"the broker's administrator grants it"
            )
        return TopologyError(f'{kind} "{name}" is missing at {self._place()}: {_REMEDY}')

    @property
    def _url(self) -> URL:
        """Of the current host."""
        return self._hosts.current.update_query(heartbeat=str(self._settings.heartbeat_s))

    @property
    def _user(self) -> str:
        return login_of(self._url)

    def _place(self) -> str:
        port = self._url.port or _DEFAULT_PORTS[self._url.scheme]
        return f"{self._url.host}:{port}{self._url.path}"


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    logger.warning("still no broker: %s", error)
