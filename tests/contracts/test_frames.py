"""Properties that no library of ours writes, as bytes."""

from __future__ import annotations

import asyncio
import struct

import pytest
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError, ProtocolSyntaxError
from pamqp import body, commands, frame, header, heartbeat
from pamqp.exceptions import UnmarshalingException
from yarl import URL

from contracts.frames import UNREADABLE, TolerantConnection

HEADERS, MESSAGE_ID, TIMESTAMP, TYPE = 1 << 13, 1 << 7, 1 << 6, 1 << 5
LATE = struct.pack(">Q", 2**64 - 1)


def table(*fields: tuple[bytes, bytes]) -> bytes:
    content = b"".join(bytes([len(name)]) + name + value for name, value in fields)
    return struct.pack(">I", len(content)) + content


def nested(depth: int) -> bytes:
    inner = table()
    for _ in range(depth):
        inner = table((b"n", b"F" + inner))
    return inner


def content_header(flags: int, properties: bytes) -> bytes:
    content = struct.pack(">HHQH", 60, 0, 7, flags) + properties
    return struct.pack(">BHI", 2, 1, len(content)) + content + b"\xce"


async def received(*frames: bytes, count: int | None = None) -> list[frame.FrameTypes]:
    """What aiormq reads of a broker's bytes on one of our connections, up to their end.

    Arguments:
        count: Of the frames, if the bytes do not come frame by frame.
    """

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in frames:
            # In two pieces, as a network may bring them.
            writer.write(each[:9])
            await writer.drain()
            writer.write(each[9:])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = URL(f"amqp://127.0.0.1:{port}")
        transport = TolerantConnection(url).kwargs["transport_factory"]
        reader, writer = await transport.create(url)
        try:
            receiver = FrameReceiver(reader)
            return [(await receiver.get_frame())[2] for _ in range(count or len(frames))]
        finally:
            writer.close()


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        (TIMESTAMP, LATE),
        (HEADERS, table((b"t", b"T" + LATE))),
        (HEADERS, table((b"\xff", b"t\1"))),
        (HEADERS, table((b"a", b"?"))),
        (HEADERS, nested(3000)),
        (MESSAGE_ID, b"\2\xff\xfe"),
        (TYPE, b"\2\xff\xfe"),
    ],
)
async def test_properties_that_cannot_be_read_are_none_and_the_connection_lives(
    flags: int, properties: bytes
) -> None:
    content = frame.marshal(body.ContentBody(b"content"), 1)
    read, after = await received(content_header(flags, properties), content)
    assert isinstance(read, header.ContentHeader)
    assert read.body_size == 7
    assert list(read.properties.headers or ()) == [UNREADABLE]
    assert read.properties.message_id is None
    assert isinstance(after, body.ContentBody)
    assert after.value == b"content"


@pytest.mark.long
@pytest.mark.usefixtures("usual_recursion")
async def test_no_depth_of_tables_is_readable_to_us_and_not_to_pamqp() -> None:
    depths = range(100, 500)
    read = await received(*(content_header(HEADERS, nested(depth)) for depth in depths))
    headers = [each.properties.headers for each in read if isinstance(each, header.ContentHeader)]
    found = [list(each or ()) for each in headers]
    assert found[0] == ["n"]
    assert found[-1] == [UNREADABLE]
    assert len(found) == len(depths)


@pytest.mark.parametrize(
    "wrong",
    [
        struct.pack(">BHI", 2, 1, 2) + b"\0<\xce",
        content_header(MESSAGE_ID, b"\2\xff\xfe")[:-1] + b"\0",
    ],
    ids=["about no message", "without an end"],
)
async def test_a_frame_that_is_none_still_ends_the_connection(wrong: bytes) -> None:
    with pytest.raises(InvalidFrameError):
        await received(wrong)


async def test_a_broker_of_another_version_is_told_from_one_of_ours() -> None:
    with pytest.raises(ProtocolSyntaxError):
        await received(b"AMQP\0\1\0\0")


async def test_a_frame_that_breaks_off_ends_the_connection() -> None:
    with pytest.raises(AMQPConnectionError):
        await received(content_header(TIMESTAMP, LATE)[:-4])


async def test_what_can_be_read_is_read() -> None:
    written = commands.Basic.Properties(headers={"signature": "s"}, message_id="m")
    content = header.ContentHeader(body_size=7, properties=written)
    beat, read = await received(heartbeat.Heartbeat().marshal(), frame.marshal(content, 1))
    assert isinstance(beat, heartbeat.Heartbeat)
    assert isinstance(read, header.ContentHeader)
    assert read.properties.headers == {"signature": "s"}
    assert read.properties.message_id == "m"


@pytest.mark.parametrize("size", [1, 6, 7, 8, 50, 1000])
async def test_frames_are_cut_alike_however_the_bytes_come(size: int) -> None:
    sent = [
        content_header(TYPE, b"\2\xff\xfe"),
        frame.marshal(body.ContentBody(b"content"), 1),
        heartbeat.Heartbeat().marshal(),
        frame.marshal(body.ContentBody(b"c" * 500), 1),
        content_header(MESSAGE_ID, b"\1m"),
    ]
    data = b"".join(sent)
    expected = await received(*sent)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    read = await received(*pieces, count=len(sent))
    assert [each.marshal() for each in read] == [each.marshal() for each in expected]
    with pytest.raises(AMQPConnectionError):
        await received(*pieces[:-1], pieces[-1][:-1], count=len(sent))


def test_other_users_of_pamqp_in_the_process_notice_nothing() -> None:
    with pytest.raises(UnmarshalingException):
        frame.unmarshal(content_header(TIMESTAMP, LATE))
