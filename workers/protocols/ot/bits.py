"""Bit matrices, eight bits to a byte. Bit j of a string is bit j % 8 of byte j // 8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

COLUMNS = 128
ROW_SIZE = COLUMNS // 8

_SWAPS = [(7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)]
"""Distance and mask of the swaps that transpose the 8 x 8 bits of one word."""


def transpose(columns: Bytes) -> bytes:
    """128 columns to rows of 16 bytes: bit c of row j is bit j of column c."""
    width = columns.shape[1]
    blocks = columns.reshape(ROW_SIZE, 8, width).transpose(2, 0, 1)
    x = np.ascontiguousarray(blocks).view("<u8")
    for distance, mask in _SWAPS:
        t = (x ^ (x >> distance)) & mask
        x = x ^ t ^ (t << distance)
    return x.view(np.uint8).reshape(width, ROW_SIZE, 8).transpose(0, 2, 1).tobytes()


def to_list(data: bytes) -> list[int]:
    """The bits of a string, as a list of 0 and 1."""
    return [byte >> bit & 1 for byte in data for bit in range(8)]
