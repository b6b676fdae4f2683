"""Stored states of a reshare: rows carry no names, so what does not fit its session is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workers.protocols import reshare
from workers.protocols.encoding import pack, unpack
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.rounds import MisuseError

from .simulate import coins
from .test_stored_forms import Stored, specimens

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
Change = Callable[[bytes], bytes]


def cut(data: bytes) -> bytes:
    return data[:-1]


def extended(data: bytes) -> bytes:
    return data + b"\x00"


def emptied(_: bytes) -> bytes:
    return b""


def doubled(data: bytes) -> bytes:
    return data + data


def as_if(state: str, part: int) -> Change:
    """The same part of another member's state."""
    return lambda _: unpack(specimens(SECP256K1)[state][0].to_bytes())[part]


def with_part(value: Stored, part: int, change: Change) -> bytes:
    """A stored form with one of its parts changed, the tag being part 0."""
    parts = list(unpack(value.to_bytes()))
    parts[part] = change(parts[part])
    return pack(*parts)


WIDTHS = [
    ("reshare.Parameters", 1, "a place"),
    ("reshare.Parameters", 3, "a member"),
    ("reshare.Parameters", 7, "an epoch"),
    ("reshare.Parameters", 8, "a threshold"),
    ("reshare.Opened", 3, "what the other dealers committed to"),
    ("reshare.Echoed", 2, "what we deal"),
    ("reshare.Echoed", 3, "all dealers' vectors"),
    ("reshare.Echoed", 4, "a digest"),
    ("reshare.Dealt", 2, "a scalar"),
    ("reshare.Dealt", 3, "all dealers' vectors"),
    ("reshare.Dealt", 4, "a digest"),
    ("reshare.Finished", 4, "a digest"),
]


@GROUPS
@pytest.mark.parametrize("change", [cut, extended])
@pytest.mark.parametrize(("state", "part", "what"), WIDTHS)
def test_every_part_has_its_width(
    group: Group, state: str, part: int, what: str, change: Change
) -> None:
    value, from_bytes = specimens(group)[state]
    with pytest.raises(ValueError, match=what):
        from_bytes(with_part(value, part, change))


@pytest.mark.parametrize(
    ("state", "part", "change"),
    [
        ("reshare.Committed, newcomer", 2, as_if("reshare.Committed", 2)),
        ("reshare.Committed", 2, emptied),
        ("reshare.Opened, newcomer", 2, as_if("reshare.Opened", 2)),
        ("reshare.Opened", 2, emptied),
        ("reshare.Opened", 3, doubled),
        ("reshare.Opened, newcomer", 3, as_if("reshare.Opened", 3)),
        ("reshare.Echoed, newcomer", 2, as_if("reshare.Echoed", 2)),
        ("reshare.Echoed", 2, emptied),
        ("reshare.Echoed", 3, doubled),
        ("reshare.Dealt", 3, doubled),
        ("reshare.Finished", 3, as_if("reshare.Finished, newcomer", 3)),
        ("reshare.Finished, newcomer", 3, emptied),
    ],
)
def test_what_another_role_would_keep_is_refused(state: str, part: int, change: Change) -> None:
    value, from_bytes = specimens(SECP256K1)[state]
    with pytest.raises(ValueError, match=r"bytes|not warren/state|unpack"):
        from_bytes(with_part(value, part, change))


@pytest.mark.parametrize("change", [cut, extended, emptied, doubled])
def test_a_polynomial_has_as_many_coefficients_as_the_new_threshold(change: Change) -> None:
    value, _ = specimens(SECP256K1)["reshare.Committed"]
    assert isinstance(value, reshare.Committed)
    coefficients, opening = unpack(unpack(value.to_bytes())[2])
    wrong = pack(change(coefficients), opening)
    with pytest.raises(ValueError, match="a polynomial"):
        reshare.Dealing.from_bytes(value.parameters, wrong)


@pytest.mark.parametrize("part", [2, 3, 4])
def test_stored_parameters_are_held_to_what_new_ones_are(part: int) -> None:
    """Session id, members, key: as a party would refuse them to begin with."""
    value, from_bytes = specimens(SECP256K1)["reshare.Parameters"]
    assert isinstance(value, reshare.Parameters)
    other = {2: coins("id")[:31], 3: bytes(2), 4: specimens(SECP256K1)["KeyView"][0].to_bytes()}
    with pytest.raises(MisuseError):
        from_bytes(with_part(value, part, lambda _: other[part]))


@pytest.mark.parametrize("data", [b"\x07\x00", b"\x00\x09", b"\x07\x09"])
def test_a_member_is_two_bytes_of_which_zero_is_none(data: bytes) -> None:
    member = reshare.Member.from_bytes(data)
    assert member.to_bytes() == data
    assert (member.deals_as is None) == (data[0] == 0)
    assert (member.receives_as is None) == (data[1] == 0)
