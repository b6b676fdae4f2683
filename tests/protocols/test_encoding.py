"""The encoding of everything hashed or stored, and the tags in front."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocols import tags
from workers.protocols.encoding import (
    digest,
    hash_to_scalar,
    index_from_bytes,
    index_to_bytes,
    pack,
    points_to_bytes,
    require_size,
    stored_points_from_bytes,
    unpack,
    unpack_tagged,
)
from workers.protocols.groups import ED25519, SECP256K1
from workers.protocols.rounds import PartyIndex

PARTS = st.lists(st.binary(max_size=20), max_size=5).map(tuple)
TAGS = {name: value for name, value in vars(tags).items() if isinstance(value, bytes)}


@given(PARTS)
def test_parts_come_back(parts: tuple[bytes, ...]) -> None:
    assert unpack(pack(*parts)) == parts


@given(PARTS, PARTS)
def test_different_parts_never_pack_alike(one: tuple[bytes, ...], two: tuple[bytes, ...]) -> None:
    assert (pack(*one) == pack(*two)) == (one == two)


@given(st.binary(max_size=40))
def test_whatever_unpacks_packs_to_the_same_bytes(data: bytes) -> None:
    try:
        parts = unpack(data)
    except ValueError:
        return
    assert pack(*parts) == data


def test_the_packed_form_is_pinned() -> None:
    assert pack(b"ab", b"", b"c") == bytes.fromhex("00000002616200000000" + "0000000163")


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x00\x00\x01", b"\x00\x00\x00\x02a", b"\xff" * 4])
def test_a_part_cut_short_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="ends inside"):
        unpack(pack(b"whole") + data)


def test_tag_and_number_of_parts_must_fit() -> None:
    assert unpack_tagged(b"tag", 2, pack(b"tag", b"a", b"b")) == (b"a", b"b")
    for data in (pack(b"other", b"a", b"b"), b"", pack()):
        with pytest.raises(ValueError, match="not tag"):
            unpack_tagged(b"tag", 2, data)
    for data in (pack(b"tag", b"a"), pack(b"tag", b"a", b"b", b"c")):
        with pytest.raises(ValueError, match="has 2 parts"):
            unpack_tagged(b"tag", 2, data)


def test_hashes_depend_on_tag_and_on_where_parts_end() -> None:
    inputs = [(b"t", b"ab", b"c"), (b"t", b"a", b"bc"), (b"u", b"ab", b"c"), (b"t", b"abc")]
    assert len({digest(*parts) for parts in inputs}) == len(inputs)
    assert len({hash_to_scalar(SECP256K1, *parts) for parts in inputs}) == len(inputs)
    assert len({hash_to_scalar(ED25519, *parts) for parts in inputs}) == len(inputs)


def test_hashes_are_pinned() -> None:
    assert digest(b"t", b"a").hex() == (
        "a95c55fc0d7c5e78f6221b1fcba5a4fe8caec730b3a04ca16eb5806995b46f89"
    )


def test_a_size_is_required_with_a_sentence() -> None:
    assert require_size(b"abc", 3, "a thing") == b"abc"
    with pytest.raises(ValueError, match="a thing is 4 bytes, not 3"):
        require_size(b"abc", 4, "a thing")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x15", b"\x00\x01"])
def test_an_index_is_one_byte_from_1_to_20(data: bytes) -> None:
    with pytest.raises(ValueError, match="index"):
        index_from_bytes(data)
    assert index_from_bytes(index_to_bytes(20)) == 20


def test_points_of_parties_are_written_in_ascending_order() -> None:
    points = {PartyIndex(i): SECP256K1.scalar(i) * SECP256K1.generator for i in (3, 1, 2)}
    data = points_to_bytes(points)
    assert [data[at] for at in range(0, len(data), 34)] == [1, 2, 3]
    assert stored_points_from_bytes(SECP256K1, data) == points
    with pytest.raises(ValueError, match="secp256k1"):
        stored_points_from_bytes(SECP256K1, data[:-1])


def test_no_two_tags_are_alike() -> None:
    assert len(set(TAGS.values())) == len(TAGS) > 15


def test_our_tags_carry_a_version() -> None:
    ours = [value for name, value in TAGS.items() if value.startswith(b"warren/")]
    assert len(ours) > 10
    assert all(re.fullmatch(rb"v[1-9]", value.rpartition(b"/")[2]) for value in ours)


def test_no_tag_begins_another() -> None:
    """The published suites join context and purpose without lengths."""
    values = sorted(TAGS.values())
    assert not any(two.startswith(one) for one, two in pairwise(values))
