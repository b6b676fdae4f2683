from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.encoding import pack, unpack
from contracts.errors import ContractError

PARTS = st.lists(st.binary(max_size=40), max_size=5)


@given(PARTS)
def test_packed_parts_come_back(parts: list[bytes]) -> None:
    assert unpack(pack(parts), len(parts)) == tuple(parts)


@given(PARTS, PARTS)
def test_different_parts_never_share_an_encoding(one: list[bytes], other: list[bytes]) -> None:
    assert (pack(one) == pack(other)) == (one == other)


@given(st.binary(max_size=60), st.integers(0, 6))
def test_what_unpacks_is_what_would_be_packed(data: bytes, count: int) -> None:
    try:
        parts = unpack(data, count)
    except ContractError:
        return
    assert pack(parts) == data


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 1),
        (b"\x00\x00\x00", 1),
        (b"\x00\x00\x00\x02a", 1),
        (b"\xff\xff\xff\xffa", 1),
        (b"\x00\x00\x00\x01ab", 1),
        (pack((b"a", b"b")), 1),
        (pack((b"a",)), 2),
    ],
)
def test_truncated_or_overlong_bytes_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(ContractError):
        unpack(data, count)


def test_parts_stand_behind_their_length_as_four_big_endian_bytes() -> None:
    assert pack((b"ab", b"", b"\x00")) == b"\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x01\x00"
