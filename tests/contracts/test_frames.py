"""Properties that no library of ours writes, as bytes."""

from __future__ import annotations

import struct

import pytest
from pamqp import commands, frame, header
from pamqp.exceptions import UnmarshalingException

from contracts.frames import UNREADABLE, survive_unreadable

survive_unreadable()

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


def received(flags: int, properties: bytes) -> header.ContentHeader:
    """As the connection's reader makes it from a frame."""
    content = struct.pack(">HHQH", 60, 0, 7, flags) + properties
    data = struct.pack(">BHI", 2, 1, len(content)) + content + b"\xce"
    size, _, read = frame.unmarshal(data)
    assert size == len(data)
    assert isinstance(read, header.ContentHeader)
    return read


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
def test_properties_that_cannot_be_read_are_none_and_the_message_lives(
    flags: int, properties: bytes
) -> None:
    read = received(flags, properties)
    assert read.body_size == 7
    assert list(read.properties.headers or ()) == [UNREADABLE]
    assert read.properties.message_id is None


def test_a_frame_that_is_about_no_message_still_ends_the_connection() -> None:
    data = struct.pack(">BHI", 2, 1, 2) + b"\0<\xce"
    with pytest.raises(UnmarshalingException):
        frame.unmarshal(data)


def test_properties_that_can_be_read_are_read() -> None:
    written = commands.Basic.Properties(headers={"signature": "s"}, message_id="m")
    content = header.ContentHeader(body_size=7, properties=written)
    _, _, read = frame.unmarshal(frame.marshal(content, 1))
    assert isinstance(read, header.ContentHeader)
    assert read.properties.headers == {"signature": "s"}
    assert read.properties.message_id == "m"
