"""Messages whose AMQP properties no library would write, sent to a running Warren."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

import pytest
from pamqp import base, body, commands, frame
from pamqp.header import ProtocolHeader

from contracts import addresses
from contracts.client import Client
from ops.stack.deployment import LEGACY, Deployment
from tests.contracts.test_frames import HEADERS, LATE, MESSAGE_ID, TIMESTAMP, nested, table
from tests.system.producers import Producer

CHANNEL = 1
FRAME_SIZE = 131_072


class Wire:
    """An AMQP connection of which we write the frames ourselves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Wire]:
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        wire = cls(reader, writer)
        try:
            writer.write(ProtocolHeader(0, 9, 1).marshal())
            await wire.hear(commands.Connection.Start)
            login = f"\0{unquote(where.username or '')}\0{unquote(where.password or '')}"
            wire.say(commands.Connection.StartOk(mechanism="PLAIN", response=login), 0)
            await wire.hear(commands.Connection.Tune)
            wire.say(commands.Connection.TuneOk(10, FRAME_SIZE, 60), 0)
            wire.say(commands.Connection.Open(unquote(where.path[1:])), 0)
            await wire.hear(commands.Connection.OpenOk)
            wire.say(commands.Channel.Open(), CHANNEL)
            await wire.hear(commands.Channel.OpenOk)
            wire.say(commands.Confirm.Select(), CHANNEL)
            await wire.hear(commands.Confirm.SelectOk)
            yield wire
        finally:
            writer.close()

    def say(self, method: base.Frame, channel: int) -> None:
        self._writer.write(frame.marshal(method, channel))

    async def hear(self, method: type[base.Frame]) -> None:
        start = await self._reader.readexactly(7)
        (size,) = struct.unpack(">I", start[3:])
        _, _, heard = frame.unmarshal(start + await self._reader.readexactly(size + 1))
        assert isinstance(heard, method), heard

    async def publish(self, content: bytes, key: str, flags: int, properties: bytes) -> None:
        """Returns when the broker has confirmed it."""
        self.say(commands.Basic.Publish(0, addresses.REQUESTS, key), CHANNEL)
        header = struct.pack(">HHQH", 60, 0, len(content), flags) + properties
        self._writer.write(struct.pack(">BHI", 2, CHANNEL, len(header)) + header + b"\xce")
        self._writer.write(frame.marshal(body.ContentBody(content), CHANNEL))
        await self.hear(commands.Basic.Ack)


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        (TIMESTAMP, LATE),
        (MESSAGE_ID, b"\2\xff\xfe"),
        (HEADERS, table((b"\xff", b"t\1"))),
        (HEADERS, nested(3000)),
    ],
    ids=["a late time", "a name in no encoding", "a header in no encoding", "deep tables"],
)
async def test_a_message_that_cannot_be_read_is_refused_once_and_stops_nobody(
    deployment: Deployment, client: Client, producer: Producer, flags: int, properties: bytes
) -> None:
    async with Wire.open(deployment.amqp_urls["svcA"]) as wire:
        key = addresses.request_key("query_keys", "svcA")
        await wire.publish(b"{}", key, flags, properties)
    # Nothing of it waits for the broker to give it up: the client would have asked again.
    await client.keys()
    reason, content = await producer.refusal()
    assert "signature" in reason
    assert content == b"{}"
    await producer.nothing_more()


async def test_a_message_of_a_thousand_headers_ends_no_connection(
    deployment: Deployment, client: Client, producer: Producer
) -> None:
    many = table(*((f"{number:x}".encode(), b"S\0\0\0\x08yyyyyyyy") for number in range(7_000)))
    async with Wire.open(deployment.amqp_urls[LEGACY]) as wire:
        for _ in range(3):
            await asyncio.sleep(1.1)  # of unsigned ones, one a second is kept
            await wire.publish(b"{}", addresses.request_key("query_keys"), HEADERS, many)
            assert "signature" in (await producer.refusal())[0]
    await client.keys()
    await producer.nothing_more()
