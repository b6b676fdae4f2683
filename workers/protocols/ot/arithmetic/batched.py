"""numpy: whole batches as matrices of limbs, multiplied exactly in floating point.

A number is 16 limbs of 16 bits, lowest first. Products of limbs are below 2^33 here, and sums of
416 x 16 of them below 2^47, so float64 (exact below 2^53) and its fast matrix products will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .interface import (
    CHOICE_SIZE,
    COLUMNS,
    NUMBER_SIZE,
    ROWS,
    Arithmetic,
    Opened,
    Pair,
    Q,
    Triple,
    gadget,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LIMBS = 16
FOLD = 2**256 - Q
"""2^256 modulo q: 129 bits, 9 limbs of 16 or 5 of 32."""


class BatchedArithmetic(Arithmetic):
    def multiplicands(self, choice: bytes) -> list[int]:
        columns = np.zeros((len(choice) // CHOICE_SIZE, 2 * LIMBS))
        columns[:, :LIMBS] = _bits(choice) @ _gadget_limbs()
        return _numbers(_reduce(columns))

    def mask(self, pads_0: bytes, pads_1: bytes, inputs: Sequence[Triple]) -> bytes:
        a = b"".join(x.to_bytes(NUMBER_SIZE, "little") for triple in inputs for x in triple)
        shape = (len(inputs), ROWS, COLUMNS * 8)
        total = np.frombuffer(pads_0, "<u4").astype(np.int64)
        total -= np.frombuffer(pads_1, "<u4")
        addend = np.frombuffer(a, "<u4").astype(np.int64).reshape(len(inputs), 1, COLUMNS * 8)
        total = (total.reshape(shape) + addend).reshape(-1, 8)
        return _canonical(np.ascontiguousarray(total.T))

    def open_sender(self, pads_0: bytes, thetas: Sequence[Pair]) -> Opened:
        return _open(_limbs(pads_0, len(thetas)), thetas, None)

    def open_receiver(
        self,
        pads: bytes,
        choice: bytes,
        masked: bytes,
        thetas: Sequence[Pair],
        etas: Sequence[int],
    ) -> Opened:
        bits = _bits(choice)[:, :, None]
        d = _limbs(pads, len(thetas)) + _limbs(masked, len(thetas)) * bits
        negated = b"".join(((Q - eta) % Q).to_bytes(NUMBER_SIZE, "little") for eta in etas)
        less = np.frombuffer(negated, "<u2").astype(np.float64).reshape(len(etas), 1, LIMBS) * bits
        return _open(d, thetas, less)


def _open(d: Floats, thetas: Sequence[Pair], addend: Floats | None) -> Opened:
    """``d`` has the limbs of all three columns side by side: instances x 416 x 48."""
    mu = np.empty((len(thetas), ROWS, 2 * LIMBS))
    for instance, theta in enumerate(thetas):
        np.matmul(d[instance], _theta_matrix(theta), out=mu[instance])
    if addend is not None:
        mu[:, :, :LIMBS] += addend

    # Limb a of the gadget times limb c of a column belongs to limb a + c of the product. Behind
    # 16 zeros and re-cut one shorter, each row lies one place further right than the one above.
    products = np.matmul(_gadget_limbs().T, d[:, :, : 2 * LIMBS])
    products = products.reshape(-1, LIMBS, 2, LIMBS).transpose(0, 2, 1, 3).reshape(-1, LIMBS, LIMBS)
    skewed = np.zeros((len(products), LIMBS, 2 * LIMBS))
    skewed[:, :, :LIMBS] = products
    skewed = skewed.reshape(len(products), -1)[:, :-LIMBS].reshape(-1, LIMBS, 2 * LIMBS - 1)
    columns = np.zeros((len(products), 2 * LIMBS))
    columns[:, :-1] = skewed.sum(axis=1)
    values = _numbers(_reduce(columns))
    pairs = list(zip(values[0::2], values[1::2], strict=True))
    return Opened(_reduce(mu.reshape(-1, 2 * LIMBS)), pairs)


###
### Limbs
###


def _limbs(data: bytes, instances: int) -> Floats:
    limbs = np.frombuffer(data, "<u2").astype(np.float64)
    return limbs.reshape(instances, ROWS, COLUMNS * LIMBS)


def _bits(choice: bytes) -> Floats:
    bits = np.unpackbits(np.frombuffer(choice, np.uint8), bitorder="little")
    return bits.astype(np.float64).reshape(-1, ROWS)


def _numbers(data: bytes) -> list[int]:
    places = range(0, len(data), NUMBER_SIZE)
    return [int.from_bytes(data[at : at + NUMBER_SIZE], "little") for at in places]


@cache
def _gadget_limbs() -> Floats:
    data = b"".join(g.to_bytes(NUMBER_SIZE, "little") for g in gadget())
    return np.frombuffer(data, "<u2").astype(np.float64).reshape(ROWS, LIMBS)


def _theta_matrix(theta: Pair) -> Floats:
    """48 x 32: times theta_0, times theta_1, times one; the products' limbs added up."""
    matrix = np.zeros((COLUMNS * LIMBS, 2 * LIMBS))
    for part, value in enumerate((*theta, 1)):
        limbs = np.frombuffer(value.to_bytes(NUMBER_SIZE, "little"), "<u2")
        for i in range(LIMBS):
            matrix[LIMBS * part + i, i : i + LIMBS] = limbs
    return matrix


@cache
def _fold_matrix(rows: int) -> Floats:
    """What 2^256 times each of ``rows`` limbs is modulo q, as limbs."""
    limbs = np.frombuffer(FOLD.to_bytes(18, "little"), "<u2")
    matrix = np.zeros((rows, rows + len(limbs) - 1))
    for i in range(rows):
        matrix[i, i : i + len(limbs)] = limbs
    return matrix


def _carry(limbs: Integers) -> Integers:
    """One parallel step of carrying. The last limb must have nothing to carry."""
    carried = limbs & 0xFFFF
    carried[:, 1:] += limbs[:, :-1] >> 16
    return carried


def _reduce(columns: Floats) -> bytes:
    """Rows of 32 non-negative limbs below 2^47 to numbers below q, 32 bytes each.

    Two carries bring limbs down to 17 bits or so; the limbs above 2^256 are then folded onto the
    lower ones, until none is left: 34, 28, 22, 16 limbs.
    """
    limbs: Integers = np.zeros((len(columns), 34), np.int64)
    limbs[:, : 2 * LIMBS] = columns
    while limbs.shape[1] > LIMBS:
        limbs = _carry(_carry(limbs))
        high = limbs[:, LIMBS:].astype(np.float64)
        folded = (high @ _fold_matrix(high.shape[1])).astype(np.int64)
        room = folded.shape[1] + 2 if folded.shape[1] > LIMBS else LIMBS
        lower: Integers = np.zeros((len(limbs), room), np.int64)
        lower[:, :LIMBS] = limbs[:, :LIMBS]
        lower[:, : folded.shape[1]] += folded
        limbs = lower
    wide = limbs[:, 0::2] + (limbs[:, 1::2] << 16)
    return _canonical(np.ascontiguousarray(wide.T))


_FOLD_WIDE = [FOLD >> 32 * i & 0xFFFFFFFF for i in range(5)]


def _canonical(x: Integers) -> bytes:
    """Signed sums of 32-bit limbs, 8 x n, below 2^53 each, to numbers below q."""
    while True:
        for i in range(7):
            x[i + 1] += x[i] >> 32
            x[i] &= 0xFFFFFFFF
        over = x[7] >> 32  # what lies above 2^256; -1 where the number is negative
        x[7] &= 0xFFFFFFFF
        if not over.any():
            break
        for i, limb in enumerate(_FOLD_WIDE):
            x[i] += over * limb
    data = np.ascontiguousarray(x.T).astype("<u4").tobytes()
    # Left are numbers between q and 2^256: one in 2^127, or made so on purpose.
    ones = (x[7] == 0xFFFFFFFF) & (x[6] == 0xFFFFFFFF) & (x[5] == 0xFFFFFFFF)
    if not ones.any():
        return data
    return b"".join((n % Q).to_bytes(NUMBER_SIZE, "little") for n in _numbers(data))
