"""Messages whose properties cannot be read.

The broker passes on properties that it does not look at, and any producer may write them: text that
is not UTF-8, a time after the year 9999, tables within tables within tables. pamqp raises, and the
connection ends with all that is in flight on it. Then the broker delivers the message again.

It also tells when the broker takes no messages for now, as with a disk that is full: it says so in
a frame that nobody else keeps.

On a `TolerantConnection`, such a message comes with no properties but a header that says so.
Whoever consumes it refuses it like any other that is not signed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPConnectionError, AMQPError
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import frame
from pamqp.commands import Basic, Connection
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE, FRAME_METHOD
from pamqp.header import ContentHeader
from yarl import URL

from .hosts import files_of
from .tls import TlsFileError, TlsFiles, refusal, unsaid_refusal

UNREADABLE = "warren-unreadable"
"""In the headers of such a message."""

_AT_ONCE_BYTES = 1 << 16
_TLS_ALERT = b"\x15\x03"
"""How the answer begins of one who waits for TLS and gets none."""


class TlsError(AMQPError):
    """TLS keeps us from the broker: its certificate, ours, or a file. The text says what, as the
    end of a sentence that begins with the broker.

    No `AMQPConnectionError`: aiormq would put another one around it.
    """


class TolerantConnection(aio_pika.Connection):
    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self._transport_factory = self.kwargs["transport_factory"] = _Transport()

    @property
    def blocked(self) -> str | None:
        """Why the broker takes nothing through this connection, in its words; None if it does. A
        connection that has nothing to publish is not told."""
        return self._transport_factory.blocked


class _Transport(TransportFactory):
    """aiormq's own, but for the reader."""

    def __init__(self) -> None:
        self.blocked: str | None = None

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if url.scheme == "amqps":
            reader, writer = await _encrypted(url, options)
        else:
            reader, writer = await TCPTransportFactory().create(url, **options)
        self.blocked = None
        tls = files_of(url) if url.scheme == "amqps" else None
        return _FrameReader(reader, self._hear, tls), writer

    def _hear(self, data: bytes) -> None:
        match frame.unmarshal(data)[2]:
            case Connection.Blocked(reason=reason):
                self.blocked = reason or "no reason given"
            case Connection.Unblocked():
                self.blocked = None


async def _encrypted(
    url: URL, options: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    files = _Files(files_of(url))
    try:
        return await TLSTransportFactory().create(url, **{**options, "ssl_context_provider": files})
    except TlsFileError as error:
        raise TlsError(str(error)) from None
    except AMQPConnectionError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise TlsError(refusal(error.__cause__)) from None
        raise


class _Files:
    """In place of aiormq's provider, which believes whom it is told to and says little."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files

    async def get_context(self) -> ssl.SSLContext:
        return await asyncio.get_running_loop().run_in_executor(None, self._files.context)


class _FrameReader(asyncio.StreamReader):
    """The bytes of another reader, a frame at a time, which can be read if they are a frame.

    aiormq asks for each frame in three parts. What has come is taken off the wire at once, so most
    of these parts are cut from what is here.

    Arguments:
        hear: Called with each method that is about the whole connection.
        tls: What we have shown; None without TLS.
    """

    def __init__(
        self, wire: asyncio.StreamReader, hear: Callable[[bytes], None], tls: TlsFiles | None = None
    ) -> None:
        super().__init__()
        self._wire = wire
        self._hear = hear
        self._tls = tls
        self._silent = True
        self._ahead = b""
        """What is left of the frame that is being read."""
        self._come = b""
        """What has come after it."""

    def at_eof(self) -> bool:
        return not self._ahead and not self._come and self._wire.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """Never more than a frame: that is how aiormq asks."""
        ahead = self._ahead or await self._frame()
        if len(ahead) < n:
            raise asyncio.IncompleteReadError(ahead, n)
        self._ahead = ahead[n:]
        return ahead[:n]

    async def read(self, n: int = -1) -> bytes:
        """What is left of a stream that is none of frames."""
        ahead, self._ahead, self._come = self._ahead + self._come, b"", b""
        return ahead + await self._wire.read(n)

    async def _frame(self) -> bytes:
        head = self._come[:FRAME_HEADER_SIZE]
        if len(head) < FRAME_HEADER_SIZE:
            head = await self._gather(FRAME_HEADER_SIZE)
        # A broker that speaks another version of AMQP says so, and no frame.
        if head.startswith(_TLS_ALERT):
            raise TlsError("it speaks TLS there and nothing else: write amqps:// in the address")
        if head.startswith(b"AMQP"):
            data, self._come = self._come, b""
            return data
        kind, channel, payload = frame.frame_parts(head)
        assert payload is not None
        size = FRAME_HEADER_SIZE + payload + len(b"\xce")
        if len(self._come) < size:
            await self._gather(size)
        data, self._come = readable(self._come[:size]), self._come[size:]
        if kind == FRAME_METHOD and channel == 0:
            self._hear(data)
        return data

    async def _gather(self, size: int) -> bytes:
        """So many bytes from the beginning of what has come; wait for them.

        Raises asyncio.IncompleteReadError if the stream ends before.
        """
        parts, length = [self._come], len(self._come)
        while length < size:
            part = await self._more()
            if not part:
                raise asyncio.IncompleteReadError(b"".join(parts), size)
            parts.append(part)
            length += len(part)
        self._come = b"".join(parts)
        return self._come[:size]

    async def _more(self) -> bytes:
        """With TLS 1.3 the other side looks at us when we believe that all is said. Its reason
        comes with a reset, and is lost if we write meanwhile."""
        part = b""
        try:
            part = await self._wire.read(_AT_ONCE_BYTES)
        except ssl.SSLError as error:
            raise TlsError(refusal(error)) from None
        except ConnectionError:
            if self._tls is None or not self._silent:
                raise
        if not part and self._tls is not None and self._silent:
            raise TlsError(unsaid_refusal(self._tls))
        self._silent = False
        return part


def readable(data: bytes) -> bytes:
    """The frame, or if it has a message's unreadable properties, that with none.

    It is called from a deeper stack than pamqp will be: tables that can be read here can be there.
    """
    kind, channel, _ = frame.frame_parts(data)
    if kind != FRAME_HEADER:
        return data
    header = ContentHeader()
    try:
        header.unmarshal(data[FRAME_HEADER_SIZE:-1])
    except Exception as error:  # of many kinds, and none of them is worth the connection
        if header.class_id is None:
            return data  # too short to be about any message, which ends the connection
        header.properties = Basic.Properties(headers={UNREADABLE: type(error).__name__})
        return frame.marshal(header, channel)[:-1] + data[-1:]
    return data
