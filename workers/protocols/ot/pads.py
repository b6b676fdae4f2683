"""Rows of an extension to random strings: SHAKE-128, a correlation-robust hash for each row."""

from __future__ import annotations

import hashlib
from array import array
from functools import lru_cache

from .. import tags
from ..encoding import digest
from .bits import ROW_SIZE

PAD_SIZE = 96
"""Three numbers of 256 bits; unreduced, because a sum follows (bias 2^-128)."""


KEY_SIZE = 32
_RECORD = KEY_SIZE + 8 + ROW_SIZE


def rows_key(sid: bytes, message: bytes) -> bytes:
    """What keys the row hash: the session *and* the receiver's own message.

    Two different messages answered under one sid would otherwise meet the same pads, and the two
    answers together would reveal the sender's inputs, with every check passing.
    """
    return digest(tags.OT_ROWS, sid, message)


def pads(key: bytes, rows: bytes, start: int) -> bytes:
    """One pad for each row of 16 bytes; ``start`` is the place of the first one."""
    # Key, place and row of each, behind each other: words move faster than strings.
    count, words = len(rows) // ROW_SIZE, array("Q", rows)
    records = array("Q", key + bytes(_RECORD - KEY_SIZE)) * count
    records[4::7] = _places(start, count)
    records[5::7], records[6::7] = words[0::2], words[1::2]
    data, shake = records.tobytes(), hashlib.shake_128
    places = range(0, len(data), _RECORD)
    return b"".join([shake(data[at : at + _RECORD]).digest(PAD_SIZE) for at in places])


def shift(rows: bytes, delta: bytes) -> bytes:
    """Add ``delta`` to every row."""
    repeated = int.from_bytes(delta * (len(rows) // ROW_SIZE), "little")
    return (int.from_bytes(rows, "little") ^ repeated).to_bytes(len(rows), "little")


@lru_cache(maxsize=8)
def _places(start: int, count: int) -> array[int]:
    places = range(start, start + count)
    return array("Q", b"".join(place.to_bytes(8, "little") for place in places))
