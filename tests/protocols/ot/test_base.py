"""Base transfers: what each side learns, and what it cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from workers.protocols import tags
from workers.protocols.encoding import pack
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
    sent, received = base.sender_points(ours), base.receiver_points(theirs, SID)
    elsewhere = base.sender_keys(ours, coins("another sid"), received)
    here = base.receiver_keys(theirs, SID, sent)
    assert not {key for pair in elsewhere for key in pair} & set(here.keys)
    where = [(SID, 0, 0), (coins("another sid"), 0, 0), (SID, 1, 0), (SID, 0, 1)]
    assert len({base._key(*place, b"product") for place in where}) == 4


def test_the_senders_points_do_not_depend_on_the_receiver() -> None:
    assert base.sender_points(Coins(coins("a"))) == base.sender_points(Coins(coins("a")))
    assert "sid" not in base.sender_points.__annotations__


def test_points_round_trip_and_every_other_size_is_refused() -> None:
    data = base.pairs_to_bytes(base.sender_points(Coins(coins("sizes"))))
    assert base.pairs_to_bytes(base.pairs_from_bytes(data)) == data
    for wrong in (b"", data[:-1], data + b"\x00", data[:-33]):
        with pytest.raises(ValueError, match="points of a base transfer"):
            base.pairs_from_bytes(wrong)


@pytest.mark.parametrize("bad", [b"\x02" + b"\xff" * 32, bytes(33), b"\x04" + b"\x01" * 32])
def test_a_point_that_is_none_is_refused(bad: bytes) -> None:
    data = base.pairs_to_bytes(base.sender_points(Coins(coins("sizes"))))
    for place in (0, 100, 255):
        with pytest.raises(ValueError, match="not a compressed point"):
            base.pairs_from_bytes(data[: 33 * place] + bad + data[33 * place + 33 :])


def known_logarithm(tag: bytes, *parts: bytes) -> Scalar:
    return SECP256K1.scalar_from_bytes_wrapping(hashlib.sha512(pack(tag, *parts)).digest())


def both_keys_of(mask: Callable[[int, Point], Scalar | None]) -> tuple[bool, bool]:
    """A receiver that knows the logarithms of both its points tries to open both keys.

    Arguments:
        mask: The logarithm of H(branch, other point), where the attacker can tell.
    """
    honest, a, b = base.receiver_points(Coins(coins("rest")), SID), *Coins(coins("ab")).scalars(2)
    r_1 = b * G
    r_0 = a * G - base._mask(SID, 0, 0, r_1)
    sender = Coins(coins("sender"))
    keys = base.sender_keys(sender, SID, ((r_0, r_1), *honest[1:]))
    m_0, m_1 = base.sender_points(sender)[0]
    log = mask(1, r_0)
    second = multiply_hashed(m_1, b + log if log else b)
    opened = base._key(SID, 0, 0, multiply_hashed(m_0, a)), base._key(SID, 0, 1, second)
    return opened[0] == keys[0][0], opened[1] == keys[0][1]


def test_a_receiver_that_knows_both_logarithms_opens_one_key_only() -> None:
    assert both_keys_of(lambda branch, other: None) == (True, False)


def test_with_a_hash_of_known_logarithm_it_would_open_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same attack, against the hash that must not be."""
    monkeypatch.setattr(base, "hash_to_curve", lambda tag, *parts: known_logarithm(tag, *parts) * G)

    def log(branch: int, other: Point) -> Scalar:
        where = (SID, (0).to_bytes(2, "big"), bytes([branch]), other.to_bytes())
        return known_logarithm(tags.OT_BASE_POINT, *where)

    assert both_keys_of(log) == (True, True)


def test_hashing_to_the_curve_is_elligator_swift_and_never_a_multiple_of_g() -> None:
    """Figure of BIP-324's ``ellswift_decode_test_vectors.csv``, first line."""
    x = "edd1fd3e327ce90cc7a3542614289aee9682003e9cf7dcc9cf2ca9743be5aa0c"
    assert serialize(decode_ellswift(bytes(64)))[1:].hex() == x
    uniform = hashlib.sha512(pack(b"tag", b"data")).digest()
    point = hash_to_curve(b"tag", b"data")
    assert point.to_bytes() == serialize(decode_ellswift(uniform))
    assert point != known_logarithm(b"tag", b"data") * G
    with pytest.raises(ValueError, match="64 bytes"):
        decode_ellswift(bytes(63))


def test_a_point_chosen_against_its_mask_is_an_identity_error() -> None:
    honest = base.receiver_points(Coins(coins("rest")), SID)
    r_1 = G.__rmul__(SECP256K1.scalar(5))
    cheat = (-base._mask(SID, 0, 0, r_1), r_1)
    with pytest.raises(IdentityError):
        base.sender_keys(Coins(coins("sender")), SID, (cheat, *honest[1:]))


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
