"""Rows of an extension to random strings: a correlation-robust hash for each row."""

from __future__ import annotations

import hashlib

import numpy as np

from .. import tags
from ..encoding import digest
from .bits import ROW_SIZE

_RECORD = np.dtype([("key", "V32"), ("place", "<u8"), ("row", f"V{ROW_SIZE}")])


def rows_key(sid: bytes, message: bytes) -> bytes:
    """What keys the row hash: the session *and* the receiver's own message.

    Two different messages answered under one sid would otherwise meet the same pads, and the two
    answers together would reveal the sender's inputs, with every check passing.
    """
    return digest(tags.OT_ROWS, sid, message)


def pads(key: bytes, rows: bytes, start: int) -> bytes:
    """One pad of 96 bytes for each row of 16; ``start`` is the place of the first one.

    A pad is three numbers of 256 bits; unreduced, because a sum follows (bias 2^-128).

    BLAKE2b for the inputs' two numbers and BLAKE2s for the check's, one compression each. Most of
    the time goes into the calls, and hashlib's SHAKE takes longer for one than these for two.
    """
    records = np.empty(len(rows) // ROW_SIZE, _RECORD)
    records["key"] = np.void(key)
    records["place"] = np.arange(start, start + len(records))
    records["row"] = np.frombuffer(rows, _RECORD["row"])
    inputs, check, made = hashlib.blake2b, hashlib.blake2s, bytearray()
    for record in records.view(f"V{_RECORD.itemsize}").tolist():
        made += inputs(record).digest()
        made += check(record).digest()
    return bytes(made)


def shift(rows: bytes, delta: bytes) -> bytes:
    """Add ``delta`` to every row."""
    words = np.frombuffer(rows, np.uint64).reshape(-1, 2)
    return (words ^ np.frombuffer(delta, np.uint64)).tobytes()
