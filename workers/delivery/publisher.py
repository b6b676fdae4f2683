"""The one way out: confirmed, persistent, mandatory, bounded in time.

On a connection of its own, by aio-pika: a channel error of a publisher must not kill a consumer's
handlers, and faststream's publisher swallows returned messages and time-outs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeAlias

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractRobustConnection,
)
from aio_pika.exceptions import (
    AuthenticationError,
    ChannelNotFoundEntity,
    DeliveryError,
    ProbableAuthenticationError,
)
from aio_pika.exceptions import PublishError as ReturnedError
from aiormq.exceptions import ChannelAccessRefused, InvalidFrameError

from contracts import addresses
from contracts.absence import is_missing
from contracts.confirming import AWAY, ConnectionLostError, answered
from contracts.connecting import CONNECT_TIMEOUT_S, connect
from contracts.frames import TlsError, TolerantConnection
from contracts.hosts import Hosts, is_external, login_of

from ..store.records import Outgoing
from .bundling import Bundling
from .roaming import roaming
from .unconfirmed import FullError, PublishError, UnroutableError

__all__ = [
    "EXCHANGES",
    "HEARTBEAT_S",
    "NOBODY",
    "FullError",
    "NoAdmissionError",
    "Publish",
    "PublishError",
    "Publisher",
    "TopologyError",
    "UnroutableError",
    "admitted",
    "dead_letter",
    "publish_what_has_place",
    "require_topology",
]

logger = logging.getLogger(__name__)

LETTER_HEADER_BYTES = 16_384
"""Of what a dead letter keeps of its headers."""
HEARTBEAT_S = 8
CONFIRM_TIMEOUT_S = 10.0
RENEWAL_S = 1.0
"""Between two channels; what is under way on the old one has so long to be confirmed."""
NOBODY = "."
"""A routing key that is no party's: there is no dot in their ids."""
EXCHANGES = (
    addresses.SESSIONS,
    addresses.ROUNDS,
    addresses.KEYGEN,
    addresses.PRESIGNING,
    addresses.REPORTS,
    addresses.RESULTS,
    addresses.CANCEL,
    addresses.DEAD,
)


class TopologyError(Exception):
    """An exchange or queue is missing. The text says which, and how to apply the topology."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f'{kind} "{name}" is missing from the broker. Apply the topology: '
            "`warren topology apply` (`warren topology plan` shows what differs)."
        )


class NoAdmissionError(Exception):
    """The broker will not let us in, now or later. The text says what to change."""


Publish: TypeAlias = Callable[[Outgoing], Awaitable[None]]


class Publisher:
    """Publishes `Outgoing` messages; safe for use by many tasks at once.

    Arguments:
        around: What is to take messages in place of the publisher, as `Middleware` has it.
        bundles: Whether what waits for the same queue leaves together.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        around: Callable[[Publish], Publish] | None = None,
        bundles: bool = True,
    ) -> None:
        self._hosts = Hosts(url)
        self._name = name
        self._exchanges: dict[str, AbstractExchange] = {}
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractChannel | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._bundling = Bundling(self._publish)
        publish = self._bundling.publish if bundles else self._publish
        self._publish_through = publish if around is None else around(publish)

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect_robust(
            self._hosts.current,
            client_properties={"connection_name": f"{self._name} publisher {os.getpid()}"},
            connection_class=roaming(self._hosts),
            timeout=CONNECT_TIMEOUT_S,
            heartbeat=HEARTBEAT_S,
            reconnect_interval=1,
        )
        await self._open_channel()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._bundling.close()
        if self._connection is not None:
            await self._connection.close()

    async def _open_channel(self) -> None:
        assert self._connection is not None
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._exchanges = {
            name: await channel.get_exchange(name, ensure=False) for name in EXCHANGES
        }
        self._channel = channel

    def _renew_channel(self) -> None:
        """A channel whose first message for a queue comes in the moment when that has no leader is
        refused by RabbitMQ 3.10 for as long as the old leader's node is away. Other channels are
        not."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="another channel")

    async def _renew(self) -> None:
        old = self._channel
        try:
            async with answered():
                await self._open_channel()
            await asyncio.sleep(RENEWAL_S)
            if old is not None:
                await old.close()
        except AWAY as error:
            logger.warning("no other channel", extra={"reason": type(error).__name__})

    @property
    def connected(self) -> bool:
        """Whether messages can be published, as far as this side knows. A connection that is back
        is up a moment before its channel is."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None:
            return False
        return connection.connected.is_set() and not channel.is_closed

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now, in its words; None if it does."""
        connection = self._connection
        return connection.blocked if isinstance(connection, TolerantConnection) else None

    async def knock(self) -> None:
        """Publish something for nobody: whoever has nothing to publish is not told that the broker
        takes nothing. Raises what `AWAY` has, or TimeoutError."""
        nothing = aio_pika.Message(b"", expiration=0)
        async with answered(CONFIRM_TIMEOUT_S):
            await self._exchanges[addresses.SESSIONS].publish(nothing, NOBODY, mandatory=False)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        """All at once; returns when the broker has confirmed every one. Raises PublishError."""
        waiting = [self.publish(message) for message in messages]
        if len(waiting) == 1:
            await waiting[0]
        elif waiting:
            await asyncio.gather(*waiting)

    async def publish(self, message: Outgoing) -> None:
        """Raises PublishError; UnroutableError if no queue took it."""
        await self._publish_through(message)

    async def _publish(self, message: Outgoing) -> None:
        try:
            async with answered(CONFIRM_TIMEOUT_S):
                await self._exchanges[message.exchange].publish(
                    aio_pika.Message(
                        message.body,
                        headers=dict(message.headers),
                        content_type=message.content_type,
                        message_id=message.message_id,
                        type=message.kind,
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    message.routing_key,
                    # A cancellation that no worker hears is no loss: the tombstone is the truth.
                    mandatory=message.exchange != addresses.CANCEL,
                )
        except ReturnedError:
            raise UnroutableError(
                f"no queue takes {message.kind} for {message.routing_key!r} at exchange "
                f'"{message.exchange}": has the topology been applied?'
            ) from None
        except DeliveryError:
            self._renew_channel()
            raise FullError(
                f"the broker would not take {message.kind} for {message.routing_key!r} at exchange "
                f'"{message.exchange}": its queue is full, or has no leader at the moment'
            ) from None
        except ChannelNotFoundEntity:
            # Or the exchange of another message, which shares the channel with this one.
            raise PublishError(
                f'an exchange is missing from the broker, perhaps "{message.exchange}": '
                "has the topology been applied?"
            ) from None
        except ChannelAccessRefused:
            # As above.
            user = login_of(self._hosts.current)
            raise PublishError(
                f"user {user!r} may not write to an exchange of the broker, perhaps "
                f'"{message.exchange}" by the routing key {message.routing_key!r}: `warren '
                f"topology who {user}` says what it should be able to do"
            ) from None
        except ConnectionLostError as error:
            raise PublishError(f"broker away: {error}") from None
        except AWAY as error:
            raise PublishError(f"broker away: {type(error).__name__}") from error


async def require_topology(url: str, *, queues: Iterable[str]) -> None:
    """Passive declarations, which change nothing. Before RabbitMQ 4.2.6 they took no right; since
    then nobody is told of what it has none on, and that is none of its business.

    Raises:
        TopologyError: names the first exchange or queue that is not there.
        NoAdmissionError: the login or the vhost is wrong.
        ChannelNotFoundEntity: a queue is there and cannot be reached for now.
    """
    async with await admitted(url) as connection:
        for name in EXCHANGES:
            try:
                async with await connection.channel() as channel:
                    await channel.get_exchange(name, ensure=True)
            except ChannelNotFoundEntity:
                raise TopologyError("exchange", name) from None
            except ChannelAccessRefused:
                continue
        for name in queues:
            try:
                # One for each, which the broker closes if there is no such queue; and not one more
                # for each of thousands: it ends a connection that has more than 2047.
                async with await connection.channel() as channel:
                    await channel.get_queue(name, ensure=True)
            except ChannelNotFoundEntity as error:
                if not is_missing(error):
                    raise
                raise TopologyError("queue", name) from None
            except ChannelAccessRefused:
                continue


async def admitted(url: str) -> AbstractConnection:
    """A connection. Raises NoAdmissionError, or that the broker is away."""
    try:
        return await connect(url)
    except TlsError as error:
        raise NoAdmissionError(f"no connection to the broker: {error}") from None
    except (AuthenticationError, ProbableAuthenticationError):
        place = Hosts(url).current
        check = (
            "check that there is a user of that name without a password, and that the broker has "
            "EXTERNAL among its auth_mechanisms and ssl_cert_login_from = common_name"
            if is_external(place)
            else "check the name and password in amqp_url (or WARREN_AMQP_URL)"
        )
        raise NoAdmissionError(
            f"the broker refuses the login of user {login_of(place)!r}: {check}"
        ) from None
    except InvalidFrameError:
        # What aiormq makes of a broker that closes where it should have opened the vhost.
        vhost = Hosts(url).current.path[1:] or "/"
        raise NoAdmissionError(
            f'the broker does not open vhost "{vhost}": it does not exist, or the user has no '
            "permissions in it. `warren topology apply` makes it; amqp_url (or WARREN_AMQP_URL) "
            "names it"
        ) from None


def dead_letter(
    *,
    body: bytes,
    headers: Mapping[str, object],
    routing_key: str,
    reason: str,
    source: str,
    kind: str = "",
    content_type: str = "",
    exchange: str = "",
    at: datetime | None = None,
) -> Outgoing:
    """A refused message for `warren.dead`, with the reason in words, and in headers what it was and
    how it came: the copy has a type, an exchange and a routing key of its own.

    Arguments:
        source: The queue in which it was.
        at: When it was refused; now, unless given.
    """
    refused_at = (at or datetime.now(UTC)).astimezone(UTC)
    kept = _as_many_as_fit(headers)
    return Outgoing(
        exchange=addresses.DEAD,
        routing_key=source,
        kind="refused",
        content_type="application/octet-stream",
        message_id=str(headers.get("message_id", "")),
        body=body,
        headers={
            **{name: value for name, value in kept.items() if name != "message_id"},
            "warren-reason": reason[:1000],
            "warren-queue": source,
            "warren-routing-key": routing_key[:255],
            "warren-exchange": exchange[:255],
            "warren-kind": kind[:255],
            "warren-content-type": content_type[:255],
            "warren-refused-at": refused_at.isoformat(timespec="seconds"),
        },
    )


def _as_many_as_fit(headers: Mapping[str, object]) -> dict[str, str]:
    """Of a letter's own headers. All of them stand in one frame, with those that we add, and the
    broker ends the connection of whoever sends a larger one."""
    kept: dict[str, str] = {}
    left = LETTER_HEADER_BYTES
    for name, value in headers.items():
        if isinstance(value, str):
            left -= len(name.encode()) + len(value[:500].encode())
            if left < 0:
                break
            kept[name] = value[:500]
    return kept


async def publish_what_has_place(publisher: Publisher, messages: Iterable[Outgoing]) -> None:
    """All at once. A party that reads no more may have no place for its own. It has a deadline, and
    its full queue must not hold up what the others are to get."""

    async def publish(message: Outgoing) -> None:
        try:
            await publisher.publish(message)
        except (FullError, UnroutableError) as error:
            logger.warning("message not sent", extra={"kind": message.kind, "reason": str(error)})

    await asyncio.gather(*map(publish, messages))
