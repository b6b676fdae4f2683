"""Endemic oblivious transfer (Masny and Rindal, eprint 2019/706), 128 times 1-of-2, in one flow.

The sender learns two keys for each transfer, the receiver one of them, chosen by a bit that the
sender does not see. Both speak at once: the sender's points do not depend on the receiver's.

    receiver, bit w:  r_(1-w) a point of unknown logarithm, r_w = t * G - H(w, r_(1-w))
    sender:           m_v = s_v * G  for v = 0, 1
    key v:            s_v * (r_v + H(v, r_(1-v)))  =  t * m_w  where v = w

H hashes to the curve, so a receiver that knew both logarithms would have to know one of H's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import tags
from ..encoding import digest, require_size
from ..groups import SECP256K1, Point
from .coins import Coins
from .curve import POINT_SIZE, hash_to_curve, multiply_hashed

TRANSFERS = 128
"""One for each column of the extension: the computational security parameter."""

KEY_SIZE = 32

Pairs = tuple[tuple[Point, Point], ...]
"""Two points for each transfer: r_0 and r_1, or m_0 and m_1."""

PAIRS_SIZE = TRANSFERS * 2 * POINT_SIZE


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


def sender_points(coins: Coins) -> Pairs:
    """m_0 and m_1 of each transfer."""
    g = SECP256K1.generator
    points = [s * g for s in coins.scalars(2 * TRANSFERS, b"sender")]
    return tuple(zip(points[0::2], points[1::2], strict=True))


def receiver_points(coins: Coins, sid: bytes) -> Pairs:
    """r_0 and r_1 of each transfer.

    Arguments:
        sid: 32 bytes, the same for both sides and for no other pair, direction or session.
    """
    g = SECP256K1.generator
    t = coins.scalars(TRANSFERS, b"receiver")
    fresh = coins.draw(KEY_SIZE, b"unknown")
    pairs = []
    for place, w in enumerate(_bits(coins)):
        unknown = hash_to_curve(tags.OT_BASE_UNKNOWN, fresh, _place(place))
        mine = t[place] * g - _mask(sid, place, w, unknown)
        pairs.append(((mine, unknown), (unknown, mine))[w])
    return tuple(pairs)


def sender_keys(coins: Coins, sid: bytes, received: Pairs) -> list[tuple[bytes, bytes]]:
    """Both keys of each transfer.

    Raises:
        IdentityError: The receiver sent r_v = -H(v, r_(1-v)).
    """
    s = coins.scalars(2 * TRANSFERS, b"sender")
    keys = []
    for place, (r_0, r_1) in enumerate(received):
        one = multiply_hashed(r_0 + _mask(sid, place, 0, r_1), s[2 * place])
        two = multiply_hashed(r_1 + _mask(sid, place, 1, r_0), s[2 * place + 1])
        keys.append((_key(sid, place, 0, one), _key(sid, place, 1, two)))
    return keys


def receiver_keys(coins: Coins, sid: bytes, received: Pairs) -> Chosen:
    """The chosen key of each transfer."""
    t = coins.scalars(TRANSFERS, b"receiver")
    bits = _bits(coins)
    keys = (
        _key(sid, place, w, multiply_hashed(received[place][w], t[place]))
        for place, w in enumerate(bits)
    )
    return Chosen(bits, tuple(keys))


def pairs_to_bytes(pairs: Pairs) -> bytes:
    return b"".join(point.to_bytes() for pair in pairs for point in pair)


def pairs_from_bytes(data: bytes) -> Pairs:
    """ValueError unless these are 256 points."""
    require_size(data, PAIRS_SIZE, "the points of a base transfer")
    points: Sequence[Point] = [
        SECP256K1.point_from_bytes_checked(data[at : at + POINT_SIZE])
        for at in range(0, len(data), POINT_SIZE)
    ]
    return tuple(zip(points[0::2], points[1::2], strict=True))


def _bits(coins: Coins) -> tuple[int, ...]:
    return tuple(byte & 1 for byte in coins.draw(TRANSFERS, b"bits"))


def _place(place: int) -> bytes:
    return place.to_bytes(2, "big")


def _mask(sid: bytes, place: int, branch: int, other: Point) -> Point:
    where = (sid, _place(place), bytes([branch]))
    return hash_to_curve(tags.OT_BASE_POINT, *where, other.to_bytes())


def _key(sid: bytes, place: int, branch: int, product: bytes) -> bytes:
    return digest(tags.OT_BASE_KEY, sid, _place(place), bytes([branch]), product)
