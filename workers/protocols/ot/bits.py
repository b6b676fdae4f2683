"""Bit matrices as integers. Bit c of a row is bit c of the number; bytes are little-endian."""

from __future__ import annotations

from array import array
from functools import lru_cache

ROW_SIZE = 16
_BLOCK = 128


def transpose(columns: list[int], length: int) -> bytes:
    """128 columns of ``length`` bits to ``length`` rows of 16 bytes.

    The columns lie behind each other in one number, and seven swaps, each of half of what the
    last one moved, transpose all its 128 x 128 blocks at once.
    """
    stride = -(-length // _BLOCK) * _BLOCK
    x = int.from_bytes(b"".join(c.to_bytes(stride // 8, "little") for c in columns), "little")
    for step, mask in _swaps(stride):
        t = (x ^ (x >> step)) & mask
        x ^= t ^ (t << step)
    # Row r of block b lies in row r, at place b; it belongs to place r of block b.
    mixed = array("Q", x.to_bytes(_BLOCK * stride // 8, "little"))
    rows, width = array("Q", bytes(8 * len(mixed))), stride // 64
    for word in range(2 * _BLOCK):
        start = word // 2 * width
        rows[word :: 2 * _BLOCK] = mixed[start + word % 2 : start + width : 2]
    return rows.tobytes()[: length * ROW_SIZE]


@lru_cache(maxsize=4)
def _swaps(stride: int) -> tuple[tuple[int, int], ...]:
    """Distance and mask of each swap: bits in rows without, and columns with, a power of two."""
    swaps = []
    for power in (64, 32, 16, 8, 4, 2, 1):
        in_row = sum(1 << c for c in range(_BLOCK) if c & power)
        row = in_row.to_bytes(ROW_SIZE, "little") * (stride // _BLOCK)
        none = bytes(len(row))
        mask = b"".join(none if r & power else row for r in range(_BLOCK))
        swaps.append((power * (stride - 1), int.from_bytes(mask, "little")))
    return tuple(swaps)


def to_list(data: bytes) -> list[int]:
    """The bits of a string, as a list of 0 and 1."""
    return [byte >> bit & 1 for byte in data for bit in range(8)]
