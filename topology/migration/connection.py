"""The connection over which messages are moved: as a user that exists for it alone.

Messages keep the name of the user who sent them, and the broker takes another's name only from an
``impersonator``. That is more than anybody should be for longer, and than an administrator has; so
a user is made that may do it, and nothing but move these messages, and deleted in the end. Its
password never leaves this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import quote, urlsplit

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelLockedResource
from yarl import URL

from topology import tls
from topology.management import AccessError, Management, UnavailableError
from topology.migration.contents import RawTransport
from topology.migration.parts import Parts
from topology.passwords import hashed
from topology.problems import TopologyError

# Without a handler of its own Python prints on standard error what aiormq says of channels that
# are closed on the way out.
logging.getLogger("aiormq").addHandler(logging.NullHandler())

_CONNECT_S: Final = 15.0
_LOCK_S: Final = 40.0
"""So long the broker may take to see that a process is gone whose machine was lost."""
_HEARTBEAT_S: Final = 10


def beside(management_url: str) -> str:
    """Where AMQP usually is, if the management API is there; encrypted if that is."""
    parts = urlsplit(management_url)
    host = parts.hostname or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    if parts.scheme != "https":
        return f"amqp://{host}:5672"
    files = "&".join(
        f"{name}={quote(str(path))}" for name, path in tls.files_of(management_url).items()
    )
    return f"amqps://{host}:5671{'?' if files else ''}{files}"


def checked(address: str) -> URL:
    """Raises AccessError if it is none of AMQP. It is not repeated: it may hold a password."""
    try:
        url = URL(address)
        if url.scheme in ("amqp", "amqps") and url.host:
            return url
    except ValueError:
        pass
    raise AccessError(
        "--amqp (or WARREN_MIGRATION_AMQP) has to look like amqp://host:5672, or "
        "amqps://host:5671?cafile=FILE"
    )


class Mover:
    """A user and its connection, with the lock.

    Each process has a user of its own: one that gives up must not take another's, which moves
    messages by it.
    """

    def __init__(self, management: Management, vhost: str, address: str, parts: Parts) -> None:
        self._management = management
        self._vhost = vhost
        self._address = address
        self._parts = parts
        self._name = f"{vhost}.migration.{parts.old}"
        self.user = f"{self._name}#{secrets.token_hex(4)}"
        self._locked = False

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[aiormq.Connection]:
        """Raises TopologyError if another process migrates the same queue."""
        password = secrets.token_urlsafe(32)
        await self._make_user(password)
        url = self._url(password)
        context = tls.context(self._address)
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await aiormq.connect(
                    url, context=context, transport_factory=RawTransport()
                )
        except (AMQPError, OSError, TimeoutError) as error:
            raise self._no_connection(error) from None
        try:
            await self._lock(connection)
            self._locked = True
            yield connection
        except (RuntimeError, asyncio.CancelledError) as error:
            # What aiormq says, or does to who waits, when a connection is closed.
            task = asyncio.current_task()
            ended = isinstance(error, asyncio.CancelledError) and task and task.cancelling()
            if ended or not connection.is_closed:
                raise
            raise UnavailableError(
                "the connection to the broker was closed. Nothing is lost; run this again"
            ) from None
        finally:
            with contextlib.suppress(AMQPError, OSError):
                await connection.close()

    async def remove(self) -> None:
        """The user is not needed any more; nor, if we were the one who migrates, those of processes
        that were killed. Whoever waits for us is connected."""
        await self._management.send("DELETE", "users/{}", self.user)
        alike = re.compile(re.escape(self._name) + "#[0-9a-f]{8}")
        others = {
            user["name"]
            for user in await self._management.get("users")
            if self._locked and alike.fullmatch(user["name"])
        }
        if others:
            others -= {one.get("user") for one in await self._management.get("connections")}
        for user in others:
            await self._management.send("DELETE", "users/{}", user)

    def _no_connection(self, error: BaseException) -> UnavailableError:
        at = checked(self._address)
        if isinstance(error, TimeoutError):
            said = f"no answer within {_CONNECT_S:.0f} s"
        elif isinstance(refused := tls.cause(error), ssl.SSLCertVerificationError):
            said = f"its certificate is not believed ({refused.verify_message})"
        elif refused is not None:
            said = f"no TLS ({refused.reason or refused})"
        else:
            said = f"{type(error).__name__}: {error}"
        return UnavailableError(
            f"no AMQP connection to {at.host}:{at.port or ''}: {said}. --amqp or "
            "WARREN_MIGRATION_AMQP says where the broker is, without a user: amqp://host:5672, or "
            "amqps://host:5671?cafile=FILE. It has to let a user in by its password (PLAIN)"
        )

    async def _make_user(self, password: str) -> None:
        me = await self._management.get("whoami")
        tags = me.get("tags") or []
        tags = tags.split(",") if isinstance(tags, str) else tags
        if "administrator" not in tags:
            raise AccessError(
                f'user "{self._management.user}" has the tags {", ".join(tags) or "none"}, and '
                "migrating takes the tag administrator: whoever applies the topology may do it"
            )
        parts = self._parts
        kept = hashed(password)
        body: dict[str, object] = {
            "password_hash": kept.value,
            "hashing_algorithm": kept.algorithm,
            "tags": "impersonator",
        }
        await self._management.send("PUT", "users/{}", self.user, body=body)
        # From RabbitMQ 4.2.6 on, to look how full a queue is takes a right on it, too.
        read = (parts.old, parts.waiting, parts.arriving, parts.copies, parts.refusing.name)
        rights: dict[str, object] = {
            "configure": _exactly([parts.lock, parts.gate]),
            "write": _exactly([parts.pour, parts.lock, parts.refusal]),
            "read": _exactly([*read, parts.gate]),
        }
        where = (self._vhost, self.user)
        await self._management.send("PUT", "permissions/{}/{}", *where, body=rights)

    def _url(self, password: str) -> URL:
        at = checked(self._address).with_path("/" + quote(self._vhost, safe=""), encoded=True)
        login = at.with_user(self.user).with_password(password)
        return login.update_query(heartbeat=str(_HEARTBEAT_S))

    async def _lock(self, connection: aiormq.Connection) -> None:
        """For as long as the connection lasts."""
        for last in (*[False] * int(_LOCK_S), True):
            channel: AbstractChannel = await connection.channel()
            try:
                await channel.queue_declare(self._parts.lock, exclusive=True)
            except ChannelLockedResource:
                if last:
                    break
                await asyncio.sleep(1)
            else:
                await channel.close()
                return
        raise TopologyError(
            f"another process migrates queue {self._parts.old}: wait for it, or end it"
        )


def _exactly(names: Iterable[str]) -> str:
    return f"^(?:{'|'.join(map(re.escape, names))})$"
