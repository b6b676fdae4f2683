"""The one encoding of everything that is hashed or stored: parts, each behind its length.

Without lengths ``("ab", "c")`` and ``("a", "bc")`` would hash alike, and a party could move bytes
from one field into the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from .groups import Group, Point, Scalar
from .rounds import MAX_PARTIES, PartyIndex

LENGTH_SIZE = 4


def pack(*parts: bytes) -> bytes:
    """Join parts, each behind its length in four big-endian bytes."""
    return b"".join(len(part).to_bytes(LENGTH_SIZE, "big") + part for part in parts)


def unpack(data: bytes) -> tuple[bytes, ...]:
    """Undo ``pack``. ValueError if a part is cut short, so nothing may follow the last one."""
    parts = []
    at = 0
    while at < len(data):
        start = at + LENGTH_SIZE
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise ValueError("packed data ends inside a part")
        parts.append(data[start:at])
    return tuple(parts)


def unpack_tagged(tag: bytes, count: int, data: bytes) -> tuple[bytes, ...]:
    """Undo ``pack(tag, *parts)``. ValueError if the tag or the number of parts differs."""
    parts = unpack(data)
    if not parts or parts[0] != tag:
        raise ValueError(f"not {tag.decode()}")
    if len(parts) != count + 1:
        raise ValueError(f"{tag.decode()} has {count} parts, not {len(parts) - 1}")
    return parts[1:]


def require_size(data: bytes, size: int, what: str) -> bytes:
    """Return ``data`` if it has ``size`` bytes, else ValueError. Comes before any parsing."""
    if len(data) != size:
        raise ValueError(f"{what} is {size} bytes, not {len(data)}")
    return data


def cut(data: bytes, widths: Iterable[int]) -> list[bytes]:
    """Fixed-width parts of data whose size was checked against their sum."""
    parts = []
    at = 0
    for width in widths:
        parts.append(data[at : at + width])
        at += width
    return parts


def digest(tag: bytes, *parts: bytes) -> bytes:
    """SHA-256 over tag and parts. 32 bytes."""
    return hashlib.sha256(pack(tag, *parts)).digest()


def hash_to_scalar(group: Group, tag: bytes, *parts: bytes) -> Scalar:
    """SHA-512 over tag and parts, reduced. 512 bits leave no bias worth the name."""
    return group.scalar_from_bytes_wrapping(hashlib.sha512(pack(tag, *parts)).digest())


###
### Small values
###


def index_to_bytes(index: int) -> bytes:
    """One byte: MAX_PARTIES fits."""
    return index.to_bytes(1, "big")


def index_from_bytes(data: bytes) -> PartyIndex:
    """ValueError unless it is one byte, 1..MAX_PARTIES."""
    value = int.from_bytes(require_size(data, 1, "an index"), "big")
    if not 1 <= value <= MAX_PARTIES:
        raise ValueError(f"a party index is 1..{MAX_PARTIES}, not {value}")
    return PartyIndex(value)


def points_to_bytes(points: Mapping[PartyIndex, Point]) -> bytes:
    """Index and point of each party, in ascending order of index."""
    return b"".join(index_to_bytes(i) + points[i].to_bytes() for i in sorted(points))


def stored_points_from_bytes(group: Group, data: bytes) -> dict[PartyIndex, Point]:
    """Undo ``points_to_bytes`` for data that we stored ourselves."""
    width = 1 + group.point_size
    rows = [data[at : at + width] for at in range(0, len(data), width)]
    return {index_from_bytes(row[:1]): group.point_from_bytes_stored(row[1:]) for row in rows}
