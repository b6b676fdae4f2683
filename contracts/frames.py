"""Messages whose properties cannot be read.

The broker passes on properties that it does not look at, and any producer may write them: text that
is not UTF-8, a time after the year 9999, tables within tables within tables. pamqp raises, and the
connection ends with all that is in flight on it. Then the broker delivers the message again.

On a `TolerantConnection`, such a message comes with no properties but a header that says so.
Whoever consumes it refuses it like any other that is not signed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import frame
from pamqp.commands import Basic
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE
from pamqp.header import ContentHeader
from yarl import URL

UNREADABLE = "warren-unreadable"
"""In the headers of such a message."""


class TolerantConnection(aio_pika.Connection):
    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self.kwargs["transport_factory"] = _Transport()


class _Transport(TransportFactory):
    """aiormq's own, but for the reader."""

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        usual = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await usual.create(url, **options)
        return _FrameReader(reader), writer


class _FrameReader(asyncio.StreamReader):
    """The bytes of another reader, a frame at a time, which can be read if they are a frame."""

    def __init__(self, wire: asyncio.StreamReader) -> None:
        super().__init__()
        self._wire = wire
        self._ahead = b""

    def at_eof(self) -> bool:
        return not self._ahead and self._wire.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """Never more than a frame: that is how aiormq asks."""
        ahead = self._ahead or await self._frame()
        if len(ahead) < n:
            raise asyncio.IncompleteReadError(ahead, n)
        self._ahead = ahead[n:]
        return ahead[:n]

    async def read(self, n: int = -1) -> bytes:
        """What is left of a stream that is none of frames."""
        ahead, self._ahead = self._ahead, b""
        return ahead + await self._wire.read(n)

    async def _frame(self) -> bytes:
        data = await self._wire.readexactly(FRAME_HEADER_SIZE)
        # A broker that speaks another version of AMQP says so, and no frame.
        if not data.startswith(b"AMQP"):
            _, _, size = frame.frame_parts(data)
            assert size is not None
            data = readable(data + await self._wire.readexactly(size + len(b"\xce")))
        return data


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
