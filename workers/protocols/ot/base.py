"""Endemic oblivious transfer (Masny and Rindal, eprint 2019/706), 128 times 1-of-2, in one flow.

The sender learns two keys for each transfer, the receiver one of them, chosen by a bit that the
sender does not see. Both speak at once: the sender's point does not depend on the receiver's.

    receiver, bit w:  r_(1-w) a point of unknown logarithm, r_w = t * G - H(w, r_(1-w))
    sender:           m = s * G, one for all transfers
    key v:            s * (r_v + H(v, r_(1-v)))  =  t * m  where v = w

H hashes to the curve, so a receiver that knew both logarithms would have to know one of H's. H
and the keys' hash differ for every transfer and branch, without which one m could not serve them
all; ops/decisions/0011 has the argument.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .. import tags
from ..encoding import digest, require_size
from ..groups import SECP256K1, Point
from .coins import Coins
from .curve import POINT_SIZE, hash_to_curve, multiply_hashed

TRANSFERS = 128
"""One for each column of the extension: the computational security parameter."""

KEY_SIZE = 32

PAIRS_SIZE = TRANSFERS * 2 * POINT_SIZE


@dataclass(frozen=True, slots=True)
class Pairs:
    """The receiver's message: r_0 and r_1 of each transfer.

    Attributes:
        data: The points behind each other, as they travel; hashes need them again.
        points: The same, parsed.
    """

    data: bytes = field(repr=False)
    points: tuple[Point, ...] = field(repr=False, compare=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Pairs:
        """ValueError unless these are 256 points."""
        require_size(data, PAIRS_SIZE, "the points of a base transfer")
        parse, places = SECP256K1.point_from_bytes_checked, range(0, PAIRS_SIZE, POINT_SIZE)
        return cls(data, tuple([parse(data[at : at + POINT_SIZE]) for at in places]))

    def to_bytes(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the receiver ends with.

    Attributes:
        bits: One bit for each transfer. Secret.
        keys: The key that the bit chose. Secret.
    """

    bits: tuple[int, ...]
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "Chosen(…)"

    def to_bytes(self) -> bytes:
        return bytes(self.bits) + b"".join(self.keys)

    @classmethod
    def from_bytes(cls, data: bytes) -> Chosen:
        require_size(data, TRANSFERS * (1 + KEY_SIZE), "the keys of a receiver")
        places = range(TRANSFERS, len(data), KEY_SIZE)
        keys = tuple(data[at : at + KEY_SIZE] for at in places)
        return cls(tuple(data[:TRANSFERS]), keys)


def sender_point(coins: Coins) -> Point:
    """m, of all transfers."""
    (s,) = coins.scalars(1, b"sender")
    return s * SECP256K1.generator


def receiver_points(coins: Coins, sid: bytes) -> Pairs:
    """r_0 and r_1 of each transfer.

    Arguments:
        sid: 32 bytes, the same for both sides and for no other pair, direction or session.
    """
    g, mask = SECP256K1.generator, digest(tags.OT_BASE_POINT, sid)
    t = coins.scalars(TRANSFERS, b"receiver")
    fresh = digest(tags.OT_BASE_UNKNOWN, coins.draw(KEY_SIZE, b"unknown"))
    data, points = bytearray(), list[Point]()
    for place, w in enumerate(_bits(coins)):
        unknown = hash_to_curve(fresh + _place(place))
        sent = unknown.to_bytes()
        mine = t[place] * g - _mask(mask, place, w, sent)
        points += ((mine, unknown), (unknown, mine))[w]
        data += (mine.to_bytes() + sent, sent + mine.to_bytes())[w]
    return Pairs(bytes(data), tuple(points))


def sender_keys(coins: Coins, sid: bytes, received: Pairs) -> list[tuple[bytes, bytes]]:
    """Both keys of each transfer.

    Raises:
        IdentityError: The receiver sent r_v = -H(v, r_(1-v)).
    """
    (s,) = coins.scalars(1, b"sender")
    mask, data = digest(tags.OT_BASE_POINT, sid), received.data
    label = _label(sid, s * SECP256K1.generator)
    keys = []
    for place in range(TRANSFERS):
        r_0, r_1 = received.points[2 * place : 2 * place + 2]
        at = 2 * place * POINT_SIZE
        sent_0, sent_1 = data[at : at + POINT_SIZE], data[at + POINT_SIZE : at + 2 * POINT_SIZE]
        zero = multiply_hashed(r_0 + _mask(mask, place, 0, sent_1), s)
        one = multiply_hashed(r_1 + _mask(mask, place, 1, sent_0), s)
        keys.append((_key(label, place, 0, zero), _key(label, place, 1, one)))
    return keys


def receiver_keys(coins: Coins, sid: bytes, received: Point) -> Chosen:
    """The chosen key of each transfer."""
    t, bits, label = coins.scalars(TRANSFERS, b"receiver"), _bits(coins), _label(sid, received)
    keys = (
        _key(label, place, w, multiply_hashed(received, t[place])) for place, w in enumerate(bits)
    )
    return Chosen(bits, tuple(keys))


def _bits(coins: Coins) -> tuple[int, ...]:
    return tuple(byte & 1 for byte in coins.draw(TRANSFERS, b"bits"))


def _place(place: int) -> bytes:
    return place.to_bytes(2, "big")


def _mask(key: bytes, place: int, branch: int, other: bytes) -> Point:
    """H(branch, other) of one transfer."""
    return hash_to_curve(key + _place(place) + bytes([branch]) + other)


def _label(sid: bytes, point: Point) -> bytes:
    return digest(tags.OT_BASE_KEY, sid, point.to_bytes())


def _key(label: bytes, place: int, branch: int, product: bytes) -> bytes:
    return hashlib.sha256(label + _place(place) + bytes([branch]) + product).digest()
