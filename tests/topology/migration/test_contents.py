"""Messages as bytes: what goes through comes out."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame, header

from topology.migration.contents import COUNTED, Content, packed, without

VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(width=32, allow_nan=False)
    | st.text(max_size=20)
    | st.decimals(-1000, 1000, places=2)
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.text(min_size=1, max_size=10), VALUES, max_size=5)


def _raw(headers: dict[str, Any] | None, **more: Any) -> bytes:
    return bytes(commands.Basic.Properties(headers=headers, **more).marshal())


@given(headers=HEADERS, body=st.binary(max_size=30), kind=st.none() | st.text(max_size=20))
def test_a_frame_keeps_its_properties_as_bytes(
    headers: dict[str, Any], body: bytes, kind: str | None
) -> None:
    raw = _raw(headers, content_type=kind, app_id="x")
    whole = frame.marshal(
        header.ContentHeader(
            body_size=len(body),
            properties=commands.Basic.Properties(headers=headers, content_type=kind, app_id="x"),
        ),
        7,
    )
    size, channel, got = frame.unmarshal(packed(whole[:7], whole[7:]))
    assert isinstance(got, header.ContentHeader)
    assert (channel, got.body_size) == (7, len(body))
    assert got.properties.headers is not None
    assert got.properties.headers["raw"] == raw
    assert size == len(packed(whole[:7], whole[7:]))


def test_properties_that_nobody_can_read_go_through_as_well() -> None:
    raw = struct.pack(">H", 1 << 3) + b"\x02\xff\xfe"  # an app_id that is no text
    payload = struct.pack(">HHQ", 60, 0, 5) + raw
    whole = struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"
    _, _, got = frame.unmarshal(packed(whole[:7], whole[7:]))
    assert isinstance(got, header.ContentHeader)
    assert got.properties.headers is not None
    assert got.properties.headers["raw"] == raw


@given(headers=HEADERS, counted=st.integers(1, 2**40), kind=st.none() | st.text(max_size=20))
def test_what_a_queue_counted_is_taken_out_and_nothing_else(
    headers: dict[str, Any], counted: int, kind: str | None
) -> None:
    before = _raw(headers or None, content_type=kind, content_encoding=kind, message_id="m")
    with_counts = {**headers, "x-delivery-count": counted, "x-acquired-count": counted}
    after = _raw(with_counts, content_type=kind, content_encoding=kind, message_id="m")
    assert without(after, COUNTED) == before
    assert without(before, COUNTED) == before


def test_a_text_that_only_speaks_of_counts_stays() -> None:
    raw = _raw({"about": "x-delivery-count"})
    assert without(raw, COUNTED) == raw


def test_a_message_is_known_though_its_headers_were_sorted() -> None:
    one, two = b"\1aI\0\0\0\1", b"\1bI\0\0\0\2"
    flags = struct.pack(">HI", 1 << 13, len(one + two))
    mixed = Content("k", flags + two + one, b"b")
    assert mixed.is_of(Content("k", flags + one + two, b"b"))
    assert not mixed.is_of(Content("k", flags + one + one, b"b"))
    assert not mixed.is_of(Content("k", flags + one + two, b"c"))
    assert not mixed.is_of(Content("l", flags + one + two, b"b"))


def test_a_message_is_known_though_its_empty_headers_were_counted_in() -> None:
    empty = struct.pack(">HI", 1 << 13, 0)
    counted = without(_raw({"x-delivery-count": 1}), COUNTED)
    assert Content("k", empty, b"b").is_of(Content("k", counted, b"b"))
