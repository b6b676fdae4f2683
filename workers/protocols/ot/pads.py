"""Rows of an extension to random strings: SHAKE-128, a correlation-robust hash for each row."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from .. import tags
from ..encoding import digest
from .bits import ROW_SIZE

PAD_SIZE = 96
"""Three numbers of 256 bits; unreduced, because a sum follows (bias 2^-128)."""


def rows_key(sid: bytes, message: bytes) -> bytes:
    """What keys the row hash: the session *and* the receiver's own message.

    Two different messages answered under one sid would otherwise meet the same pads, and the two
    answers together would reveal the sender's inputs, with every check passing.
    """
    return digest(tags.OT_ROWS, sid, message)


def pads(key: bytes, rows: bytes, start: int) -> bytes:
    """One pad for each row of 16 bytes; ``start`` is the place of the first one."""
    shake, places = hashlib.shake_128, _places(start, len(rows) // ROW_SIZE)
    return b"".join(
        [
            shake(key + place + rows[at : at + ROW_SIZE]).digest(PAD_SIZE)
            for at, place in zip(range(0, len(rows), ROW_SIZE), places, strict=True)
        ]
    )


def shift(rows: bytes, delta: bytes) -> bytes:
    """Add ``delta`` to every row."""
    repeated = int.from_bytes(delta * (len(rows) // ROW_SIZE), "little")
    return (int.from_bytes(rows, "little") ^ repeated).to_bytes(len(rows), "little")


@lru_cache(maxsize=8)
def _places(start: int, count: int) -> tuple[bytes, ...]:
    return tuple(place.to_bytes(4, "big") for place in range(start, start + count))
