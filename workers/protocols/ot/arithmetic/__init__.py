"""The multiplier's sums modulo q: one interface, numpy or plain integers behind it.

Both give the same bytes, so parties need not agree on one.
"""

from __future__ import annotations

from .batched import BatchedArithmetic
from .interface import COLUMNS, NUMBER_SIZE, ROWS, ROWS_SIZE, Arithmetic, Opened, all_below_q
from .plain import PlainArithmetic

__all__ = [
    "COLUMNS",
    "NUMBER_SIZE",
    "ROWS",
    "ROWS_SIZE",
    "Arithmetic",
    "BatchedArithmetic",
    "Opened",
    "PlainArithmetic",
    "all_below_q",
    "fastest",
]


def fastest() -> Arithmetic:
    """What every round uses unless told otherwise."""
    return BatchedArithmetic()
