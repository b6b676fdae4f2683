"""Both groups by one battery: operators, parsing, and what must not be possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nacl import bindings

from workers import protocols
from workers.protocols.groups import ED25519, SECP256K1, Group, IdentityError, group_by_name

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
NUMBERS = st.integers(1, 2**260)

# The points of order 2, 4 and 8 of edwards25519, all in canonical encoding.
TORSION = [
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


@GROUPS
@settings(max_examples=30, deadline=None)
@given(a=NUMBERS, b=NUMBERS)
def test_points_follow_their_scalars(group: Group, a: int, b: int) -> None:
    g, x, y = group.generator, group.scalar(a), group.scalar(b)
    sums = (a, b, a + b, a + b + 1)
    assume(all(total % group.order for total in sums))  # the identity is no point
    one = group.scalar(1) * g
    assert (x * g) + (y * g) == (x + y) * g
    assert (x * g).multiply_public(y) == (x * y) * g
    assert one.multiply_public(x) == x * g
    assert -(x * g) == (-x) * g
    assert x / y * y == x
    assert group.sum([one, x * g, y * g]) == (group.scalar(1) + x + y) * g
    if x != y:
        assert (x * g) - (y * g) == (x - y) * g
        assert x * g != y * g


@GROUPS
@given(a=NUMBERS)
def test_bytes_round_trip(group: Group, a: int) -> None:
    scalar = group.scalar(a)
    assert group.scalar_from_bytes_checked(scalar.to_bytes()) == scalar
    assert group.scalar_from_bytes_wrapping(scalar.to_bytes()) == scalar
    assume(scalar != group.scalar(0))
    point = scalar * group.generator
    assert len(point.to_bytes()) == group.point_size
    assert group.point_from_bytes_checked(point.to_bytes()) == point
    assert group.point_from_bytes_stored(point.to_bytes()) == point
    assert len({point, group.point_from_bytes_checked(point.to_bytes())}) == 1


@GROUPS
@given(data=st.binary(max_size=70) | st.binary(min_size=32, max_size=33))
def test_parsing_raises_nothing_but_value_error_and_is_canonical(group: Group, data: bytes) -> None:
    for parse in (group.point_from_bytes_checked, group.scalar_from_bytes_checked):
        try:
            parsed = parse(data)
        except ValueError:
            continue
        assert parsed.to_bytes() == data


@GROUPS
def test_the_identity_is_no_point(group: Group) -> None:
    zero, point = group.scalar(0), group.scalar(5) * group.generator
    with pytest.raises(IdentityError):
        zero * group.generator
    with pytest.raises(IdentityError):
        point.multiply_public(zero)
    with pytest.raises(IdentityError):
        point - point
    with pytest.raises(IdentityError):
        group.sum([point, -point])


@GROUPS
def test_scalars_are_below_the_order_on_the_wire(group: Group) -> None:
    order = group.order.to_bytes(32, group.byteorder)
    below = (group.order - 1).to_bytes(32, group.byteorder)
    assert group.scalar_from_bytes_checked(below) == -group.scalar(1)
    for data in (order, b"\xff" * 32, below[:-1], below + b"\x00", b""):
        with pytest.raises(ValueError, match="scalar"):
            group.scalar_from_bytes_checked(data)
    assert group.scalar_from_bytes_wrapping(order) == group.scalar(0)


@GROUPS
def test_a_secret_cannot_be_multiplied_with_a_foreign_point_by_operator(group: Group) -> None:
    scalar = group.scalar(5)
    point = scalar * group.generator
    with pytest.raises(TypeError):
        scalar * point  # type: ignore[operator]
    with pytest.raises(TypeError):
        point * scalar  # type: ignore[operator]


def test_groups_do_not_mix() -> None:
    k1, ed = SECP256K1.scalar(5), ED25519.scalar(5)
    assert k1 != ed
    assert k1 * SECP256K1.generator != ed * ED25519.generator
    for mixed in (
        lambda: k1 + ed,
        lambda: k1 - ed,
        lambda: k1 * ed,
        lambda: k1 / ed,
        lambda: k1 * ED25519.generator,
        lambda: (k1 * SECP256K1.generator).multiply_public(ed),
        lambda: (ed * ED25519.generator).multiply_public(k1),
        lambda: (k1 * SECP256K1.generator) + (ed * ED25519.generator),
        lambda: (ed * ED25519.generator) + (k1 * SECP256K1.generator),
    ):
        with pytest.raises(TypeError):
            mixed()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(33),
        b"\x02" + b"\xff" * 32,  # x is not below the field's prime
        b"\x02" + bytes(31) + b"\x05",  # x = 5 is on the twist
        b"\x05" + bytes(31) + b"\x01",
        (SECP256K1.scalar(1) * SECP256K1.generator).to_bytes() + b"\x00",
        (SECP256K1.scalar(1) * SECP256K1.generator).to_bytes()[1:],
        b"\x04" + bytes(64),
    ],
    ids=lambda data: data.hex()[:12] + f"-{len(data)}",
)
def test_secp256k1_refuses_what_is_no_compressed_point(data: bytes) -> None:
    for parse in (SECP256K1.point_from_bytes_checked, SECP256K1.point_from_bytes_stored):
        with pytest.raises(ValueError, match="secp256k1"):
            parse(data)


def test_uncompressed_points_are_refused_though_the_library_knows_them() -> None:
    x_and_y = (
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    with pytest.raises(ValueError, match="secp256k1"):
        SECP256K1.point_from_bytes_checked(bytes.fromhex("04" + x_and_y))


@pytest.mark.parametrize("torsion", TORSION)
def test_ed25519_refuses_points_of_small_order_alone_and_added_to_a_good_one(torsion: str) -> None:
    small = bytes.fromhex(torsion)
    good = (ED25519.scalar(7) * ED25519.generator).to_bytes()
    mixed = bindings.crypto_core_ed25519_add(good, small)
    assert mixed != good
    for data in (small, mixed):
        with pytest.raises(ValueError, match="prime-order"):
            ED25519.point_from_bytes_checked(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01" + bytes(31),  # the identity
        b"\xee" + b"\xff" * 30 + b"\x7f",  # the identity again, y = p + 1
        b"\x02" + bytes(31),  # not on the curve
        (ED25519.scalar(1) * ED25519.generator).to_bytes()[:-1],
        (ED25519.scalar(1) * ED25519.generator).to_bytes() + b"\x00",
    ],
    ids=lambda data: data.hex()[:8] + f"-{len(data)}",
)
def test_ed25519_refuses_identity_foreign_and_non_canonical_points(data: bytes) -> None:
    with pytest.raises(ValueError, match="prime-order"):
        ED25519.point_from_bytes_checked(data)


def test_stored_points_still_have_their_size() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ED25519.point_from_bytes_stored(bytes(31))


@GROUPS
def test_secrets_do_not_print(group: Group) -> None:
    assert repr(group.scalar(123456789)) == str(group.scalar(123456789)) == "Scalar(…)"


@GROUPS
def test_groups_are_found_by_name(group: Group) -> None:
    assert group_by_name(group.name) is group
    assert group.name in repr(group)
    assert group.name in repr(group.generator)
    assert (group.scalar(1) * group.generator).to_bytes().hex() in repr(
        group.scalar(1) * group.generator
    )


def test_an_unknown_group_is_a_value_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match="secp256k1, ed25519"):
        group_by_name("p256")


@GROUPS
def test_scalars_and_points_differ_from_everything_else(group: Group) -> None:
    point = group.scalar(1) * group.generator
    assert group.scalar(1) != 1
    assert point != point.to_bytes()


def test_scalars_and_points_of_two_groups_differ() -> None:
    point = SECP256K1.scalar(1) * SECP256K1.generator
    assert ED25519.scalar(1) * ED25519.generator != point
    assert len({SECP256K1.scalar(1), SECP256K1.scalar(1), ED25519.scalar(1)}) == 2


def test_one_module_knows_the_private_handle() -> None:
    (folder,) = map(Path, protocols.__path__)
    users = {path.name for path in folder.rglob("*.py") if "coincurve" in path.read_text("utf-8")}
    assert users == {"libsecp256k1.py"}
