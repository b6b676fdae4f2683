"""Base transfers: what each side learns, and what it cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from workers.protocols import tags
from workers.protocols.encoding import digest
from workers.protocols.groups import SECP256K1, IdentityError, Point, Scalar
from workers.protocols.groups.libsecp256k1 import decode_ellswift, serialize
from workers.protocols.ot import base, curve
from workers.protocols.ot.coins import Coins
from workers.protocols.ot.curve import hash_to_curve, hashed, multiply_hashed
from workers.protocols.rounds import MisuseError

from ..simulate import coins
from .two_parties import SID, base_transfers

G = SECP256K1.generator


def test_the_receiver_gets_the_key_its_bit_chose_and_no_other() -> None:
    keys, chosen = base_transfers()
    assert set(chosen.bits) == {0, 1}
    for pair, bit, key in zip(keys, chosen.bits, chosen.keys, strict=True):
        assert key == pair[bit]
        assert key != pair[1 - bit]
    assert len({key for pair in keys for key in pair}) == 2 * base.TRANSFERS


def test_the_same_points_give_other_keys_in_another_session() -> None:
    ours, theirs = Coins(coins("sender")), Coins(coins("receiver"))
    sent, received = base.sender_point(ours), base.receiver_points(theirs, SID)
    elsewhere = base.sender_keys(ours, coins("another sid"), received)
    here = base.receiver_keys(theirs, SID, sent)
    assert not {key for pair in elsewhere for key in pair} & set(here.keys)


def test_one_senders_point_gives_other_keys_to_every_session_sender_transfer_and_branch() -> None:
    """What lets one point serve all transfers: no two of them ever hash the same input."""
    one, two = (base.sender_point(Coins(coins(name))) for name in "ab")
    labels = [base._label(sid, point) for sid in (SID, coins("sid 2")) for point in (one, two)]
    keys = {base._key(x, place, w, b"product") for x in labels for place in (0, 1) for w in (0, 1)}
    assert len(keys) == 16
    masks = {base._mask(x, place, w, b"r") for x in labels for place in (0, 1) for w in (0, 1)}
    assert len(masks) == 16


def test_a_receiver_that_sends_one_pair_for_all_transfers_gets_different_keys() -> None:
    """Without the place in both hashes all keys would be equal, and one bit would choose them."""
    honest = base.receiver_points(Coins(coins("rest")), SID)
    repeated = base.Pairs.from_bytes(honest.data[:66] * base.TRANSFERS)
    keys = base.sender_keys(Coins(coins("sender")), SID, repeated)
    assert len({key for pair in keys for key in pair}) == 2 * base.TRANSFERS


def test_the_senders_point_does_not_depend_on_the_receiver() -> None:
    assert base.sender_point(Coins(coins("a"))) == base.sender_point(Coins(coins("a")))
    assert "sid" not in base.sender_point.__annotations__


def received(name: str) -> base.Pairs:
    return base.receiver_points(Coins(coins(name)), SID)


def test_points_round_trip_and_every_other_size_is_refused() -> None:
    pairs = received("sizes")
    data = pairs.to_bytes()
    assert base.Pairs.from_bytes(data) == pairs
    assert base.Pairs.from_bytes(data).points == pairs.points
    for wrong in (b"", data[:-1], data + b"\x00", data[:-33]):
        with pytest.raises(ValueError, match="points of a base transfer"):
            base.Pairs.from_bytes(wrong)


@pytest.mark.parametrize("bad", [b"\x02" + b"\xff" * 32, bytes(33), b"\x04" + b"\x01" * 32])
def test_a_point_that_is_none_is_refused(bad: bytes) -> None:
    data = received("sizes").to_bytes()
    for place in (0, 100, 255):
        with pytest.raises(ValueError, match="not a compressed point"):
            base.Pairs.from_bytes(data[: 33 * place] + bad + data[33 * place + 33 :])


def known_logarithm(data: bytes) -> Scalar:
    return SECP256K1.scalar_from_bytes_wrapping(hashlib.sha512(data).digest())


def mask_key() -> bytes:
    return digest(tags.OT_BASE_POINT, SID)


def with_first_pair(pairs: base.Pairs, r_0: Point, r_1: Point) -> base.Pairs:
    return base.Pairs.from_bytes(r_0.to_bytes() + r_1.to_bytes() + pairs.data[66:])


def both_keys_of(mask: Callable[[int, Point], Scalar | None]) -> tuple[bool, bool]:
    """A receiver that knows the logarithms of both its points tries to open both keys.

    Arguments:
        mask: The logarithm of H(branch, other point), where the attacker can tell.
    """
    a, b = Coins(coins("ab")).scalars(2)
    r_1 = b * G
    r_0 = a * G - base._mask(mask_key(), 0, 0, r_1.to_bytes())
    sender = Coins(coins("sender"))
    keys = base.sender_keys(sender, SID, with_first_pair(received("rest"), r_0, r_1))
    m = base.sender_point(sender)
    label, log = base._label(SID, m), mask(1, r_0)
    second = multiply_hashed(m, b + log if log else b)
    opened = base._key(label, 0, 0, multiply_hashed(m, a)), base._key(label, 0, 1, second)
    return opened[0] == keys[0][0], opened[1] == keys[0][1]


def test_a_receiver_that_knows_both_logarithms_opens_one_key_only() -> None:
    assert both_keys_of(lambda branch, other: None) == (True, False)


def test_with_a_hash_of_known_logarithm_it_would_open_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same attack, against the hash that must not be."""
    monkeypatch.setattr(base, "hash_to_curve", lambda data: known_logarithm(data) * G)

    def log(branch: int, other: Point) -> Scalar:
        return known_logarithm(mask_key() + bytes([0, 0, branch]) + other.to_bytes())

    assert both_keys_of(log) == (True, True)


def test_hashing_to_the_curve_is_elligator_swift_and_never_a_multiple_of_g() -> None:
    """Figure of BIP-324's ``ellswift_decode_test_vectors.csv``, first line."""
    x = "edd1fd3e327ce90cc7a3542614289aee9682003e9cf7dcc9cf2ca9743be5aa0c"
    assert serialize(decode_ellswift(bytes(64)))[1:].hex() == x
    point = hash_to_curve(b"data")
    assert point.to_bytes() == serialize(decode_ellswift(hashlib.sha512(b"data").digest()))
    assert point != known_logarithm(b"data") * G
    with pytest.raises(ValueError, match="64 bytes"):
        decode_ellswift(bytes(63))


def test_a_point_chosen_against_its_mask_is_an_identity_error() -> None:
    r_1 = SECP256K1.scalar(5) * G
    r_0 = -base._mask(mask_key(), 0, 0, r_1.to_bytes())
    cheat = with_first_pair(received("rest"), r_0, r_1)
    with pytest.raises(IdentityError):
        base.sender_keys(Coins(coins("sender")), SID, cheat)


def test_a_secret_meets_a_foreign_point_as_a_hash() -> None:
    a, b = Coins(coins("dh")).scalars(2)
    assert multiply_hashed(b * G, a) == multiply_hashed(a * G, b) == hashed((a * b) * G)
    with pytest.raises(IdentityError):
        multiply_hashed(b * G, SECP256K1.scalar(0))
    assert not hasattr(curve, "multiply")


def test_coins_hide_in_repr_and_are_hedged() -> None:
    secret, other = SECP256K1.scalar(3), SECP256K1.scalar(4)
    drawn = Coins.hedged(bytes(32), secret, b"here")
    assert drawn != Coins.hedged(bytes(32), other, b"here")
    assert drawn != Coins.hedged(bytes(32), secret, b"there")
    assert drawn.draw(8, b"a") != drawn.draw(8, b"b")
    assert drawn.seed.hex() not in repr(drawn)
    assert str(drawn.seed) not in repr(drawn)
    assert repr(base_transfers()[1]) == "Chosen(…)"
    with pytest.raises(MisuseError):
        Coins.hedged(bytes(31), secret)
