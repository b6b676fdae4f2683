"""Messages as the bytes that they came in, so that what is moved stays what it was.

A library that decodes headers and encodes them again makes other types of some: RabbitMQ counts
deaths in `x-death` as long integers, and a queue of some releases fails at a short one. And what
cannot be decoded, because a producer wrote it so, ends the connection. So the properties pass
through here unread. Of all headers one kind is taken out: what a queue counted for itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiormq.abc import DeliveredMessage
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import commands
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE
from yarl import URL

COUNTED: Final = (b"x-delivery-count", b"x-acquired-count")
"""Headers that a queue puts into what it delivers again. The next queue counts from the start."""

_RAW: Final = b"raw"
_START: Final = struct.Struct(">HHQ")  # class, weight, size of the body
_TYPE, _ENCODING, _HEADERS = 1 << 15, 1 << 14, 1 << 13
_FIXED: Final = {
    **dict.fromkeys(b"V", 0),
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"sUu", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"D", 5),
    **dict.fromkeys(b"lLdT", 8),
}
"""The sizes of values of a table, by the letter of their type; others say theirs."""


@dataclass(frozen=True, slots=True)
class Content:
    """
    Attributes:
        properties: As on the wire: flags, and what they announce.
    """

    routing_key: str
    properties: bytes
    body: bytes

    @classmethod
    def of(cls, message: DeliveredMessage) -> Content:
        """Of a message that came by a connection with `RawTransport`."""
        told: Any = message.header.properties.headers or {}
        raw = bytes(told.get(_RAW.decode(), b"\0\0"))
        key = getattr(message.delivery, "routing_key", None) or ""
        return cls(key, without(raw, COUNTED), message.body)

    def is_of(self, other: Content) -> bool:
        """Whether both are the same message. A queue that counts in the headers of what it delivers
        again sorts them by their names, and gives headers to what has none."""
        return (self.routing_key, self.body) == (other.routing_key, other.body) and (
            self.properties == other.properties
            or in_order(self.properties) == in_order(other.properties)
        )


def tag_of(message: DeliveredMessage) -> int:
    """By which it is acknowledged."""
    return int(getattr(message.delivery, "delivery_tag", None) or 0)


class RawProperties(commands.Basic.Properties):
    """Properties that are sent as they came.

    Arguments:
        name: For the library's own book-keeping; it is not sent.
    """

    def __init__(self, raw: bytes, name: str) -> None:
        super().__init__(message_id=name)
        self._raw = raw

    def marshal(self) -> bytes:
        return self._raw


class RawTransport(TransportFactory):
    """aiormq's own, but every message's properties come as one header, unread."""

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        usual = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await usual.create(url, **options)
        return _FrameReader(reader), writer


class _FrameReader(asyncio.StreamReader):
    """The bytes of another reader, a frame at a time."""

    def __init__(self, wire: asyncio.StreamReader) -> None:
        super().__init__()
        self._wire = wire
        self._ahead = b""

    def at_eof(self) -> bool:
        return not self._ahead and self._wire.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """Never more than a frame: that is how aiormq asks."""
        while len(self._ahead) < n:
            self._ahead += await self._frame()
        taken, self._ahead = self._ahead[:n], self._ahead[n:]
        return taken

    async def read(self, n: int = -1) -> bytes:
        """What is left of a stream that is none of frames."""
        ahead, self._ahead = self._ahead, b""
        return ahead + await self._wire.read(n)

    async def _frame(self) -> bytes:
        head = await self._wire.readexactly(FRAME_HEADER_SIZE)
        if head.startswith(b"AMQP"):  # a broker that speaks another version says so
            return head
        kind, _, size = struct.unpack(">BHI", head)
        rest = await self._wire.readexactly(size + 1)
        return head + rest if kind != FRAME_HEADER else packed(head, rest)


def packed(head: bytes, rest: bytes) -> bytes:
    """A message's header frame with its properties as the bytes of one header."""
    kind, channel, _ = struct.unpack(">BHI", head)
    start, raw, end = rest[: _START.size], rest[_START.size : -1], rest[-1:]
    entry = struct.pack(">B3scI", len(_RAW), _RAW, b"x", len(raw)) + raw
    payload = start + struct.pack(">HI", _HEADERS, len(entry)) + entry
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def without(raw: bytes, names: tuple[bytes, ...]) -> bytes:
    """The properties without these headers; all others stay byte for byte."""
    if not any(name in raw for name in names):
        return raw
    table = _table(raw)
    if table is None:
        return raw
    flags, begin, end = table
    kept = b"".join(entry for name, entry in _entries(raw[begin + 4 : end]) if name not in names)
    if not kept:
        return struct.pack(">H", flags & ~_HEADERS) + raw[2:begin] + raw[end:]
    return raw[:begin] + struct.pack(">I", len(kept)) + kept + raw[end:]


def in_order(raw: bytes) -> bytes:
    """The properties with headers in the order of their names. An empty table of headers is none:
    nobody can tell which of the two it was, once a queue had put its count there."""
    table = _table(raw)
    if table is None:
        return raw
    flags, begin, end = table
    entries = b"".join(entry for _, entry in sorted(_entries(raw[begin + 4 : end])))
    if not entries:
        return struct.pack(">H", flags & ~_HEADERS) + raw[2:begin] + raw[end:]
    return raw[: begin + 4] + entries + raw[end:]


def _table(raw: bytes) -> tuple[int, int, int] | None:
    """The flags, and where the headers begin, with their length, and end; None without any."""
    (flags,) = struct.unpack_from(">H", raw)
    if not flags & _HEADERS or flags & 1:
        return None
    begin = 2
    for flag in (_TYPE, _ENCODING):
        if flags & flag:
            begin += 1 + raw[begin]
    return flags, begin, begin + 4 + struct.unpack_from(">I", raw, begin)[0]


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each entry's name, and all of its bytes."""
    at = 0
    while at < len(table):
        value = at + 1 + table[at]
        kind = table[value]
        size = _FIXED.get(kind)
        if size is None:
            size = 4 + struct.unpack_from(">I", table, value + 1)[0]
        after = value + 1 + size
        yield table[at + 1 : value], table[at:after]
        at = after
