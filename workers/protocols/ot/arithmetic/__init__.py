"""The multiplier's sums modulo q: one interface, plain integers or numpy behind it."""

from __future__ import annotations

from functools import cache

from .interface import COLUMNS, NUMBER_SIZE, ROWS, ROWS_SIZE, Arithmetic, Opened, all_below_q
from .plain import PlainArithmetic

__all__ = [
    "COLUMNS",
    "NUMBER_SIZE",
    "ROWS",
    "ROWS_SIZE",
    "Arithmetic",
    "Opened",
    "PlainArithmetic",
    "all_below_q",
    "fastest",
]


@cache
def fastest() -> Arithmetic:
    """numpy's if it is installed. Both give the same bytes, so parties need not agree on one.

    numpy's linear algebra starts threads of its own: whoever starts the process pins them to one
    (``OPENBLAS_NUM_THREADS=1``), because these products are too small to share.
    """
    try:
        from .batched import BatchedArithmetic
    except ImportError:
        return PlainArithmetic()
    return BatchedArithmetic()
