"""numpy: whole batches as matrices of limbs, multiplied exactly in floating point.

A number is 16 limbs of 16 bits, lowest first. A constant that multiplies many numbers becomes a
matrix: row i has the limbs of the constant times 2^(16 i), reduced, so that a product of numbers
is a product of matrices and needs no room above 2^256. All sums stay below 2^47, and float64 with
its fast matrix products is exact below 2^53.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .interface import (
    NUMBER_SIZE,
    ROWS,
    ROWS_SIZE,
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
"""2^256 modulo q: 129 bits."""

_FOLD_LIMBS = np.array([[FOLD >> 32 * i & 0xFFFFFFFF] for i in range(5)])


class BatchedArithmetic(Arithmetic):
    """With numpy: exact products of 16-bit limbs in float64."""

    def multiplicands(self, choice: bytes) -> list[int]:
        return _numbers(_reduce(_bits(choice).astype(np.float64) @ _gadget_limbs()))

    def mask(self, pads_0: bytes, pads_1: bytes, inputs: Sequence[Triple]) -> bytes:
        zeros, ones = _instances(pads_0, "<u4"), _instances(pads_1, "<u4")
        masked = []
        for x, y, triple in zip(zeros, ones, inputs, strict=True):
            a = b"".join(value.to_bytes(NUMBER_SIZE, "little") for value in triple)
            total = x.astype(np.int64) - y + np.frombuffer(a, "<u4").astype(np.int64)
            masked.append(_canonical(np.ascontiguousarray(total.reshape(-1, 8).T)))
        return b"".join(masked)

    def open_sender(self, pads_0: bytes, thetas: Sequence[Pair]) -> Opened:
        ours = (alpha.astype(np.float64) for alpha in _instances(pads_0, "<u2"))
        return _open(ours, map(_theta_matrix, thetas))

    def open_receiver(
        self,
        pads: bytes,
        choice: bytes,
        masked: bytes,
        thetas: Sequence[Pair],
        etas: Sequence[int],
    ) -> Opened:
        ours, theirs, bits = _instances(pads, "<u2"), _instances(masked, "<u2"), _bits(choice)
        # beta * eta is one more column of one limb. -beta has all bits set, or none.
        d = (
            np.hstack([alpha.astype(np.float64) + (sent & -beta), beta])
            for alpha, sent, beta in zip(ours, theirs, bits[:, :, np.newaxis], strict=True)
        )
        factors = (
            np.vstack([_theta_matrix(theta), _limbs([-eta])])
            for theta, eta in zip(thetas, etas, strict=True)
        )
        return _open(d, factors)


def _open(d: Iterable[Floats], factors: Iterable[Floats]) -> Opened:
    """``d`` has, for each instance, 416 rows with the limbs of all three columns side by side.

    An instance at a time: one fits the processor's cache, sixteen do not.
    """
    gadget_limbs = _gadget_limbs().T
    mu, pairs = [], []
    for limbs, factor in zip(d, factors, strict=True):
        mu.append(_reduce(limbs @ factor))
        # Limb a of the gadget times limb c of a column belongs to limb a + c of the product.
        products = np.matmul(gadget_limbs, limbs[:, : 2 * LIMBS]).astype(np.int64)
        pairs.append((_join(products[:, :LIMBS]), _join(products[:, LIMBS:])))
    return Opened(b"".join(mu), pairs)


def _join(products: Integers) -> int:
    """One product from its 16 x 16 limbs, below 2^43 each.

    Behind 16 zeros and re-cut one shorter, each row lies one place further right than the last.
    """
    skewed = np.zeros((LIMBS, 2 * LIMBS), np.int64)
    skewed[:, :LIMBS] = products
    limbs: list[int] = skewed.reshape(-1)[:-LIMBS].reshape(LIMBS, -1).sum(axis=0).tolist()
    return sum(limb << 16 * place for place, limb in enumerate(limbs)) % Q


###
### Limbs
###


def _instances(data: bytes, limb: str) -> NDArray[np.unsignedinteger[Any]]:
    """Instances x 416 x limbs of three numbers; ``limb`` is numpy's name of their type."""
    return np.frombuffer(data, limb).reshape(len(data) // ROWS_SIZE, ROWS, -1)


def _bits(choice: bytes) -> NDArray[np.uint16]:
    bits = np.unpackbits(np.frombuffer(choice, np.uint8), bitorder="little")
    return bits.astype(np.uint16).reshape(-1, ROWS)


def _numbers(data: bytes) -> list[int]:
    places = range(0, len(data), NUMBER_SIZE)
    return [int.from_bytes(data[at : at + NUMBER_SIZE], "little") for at in places]


def _limbs(numbers: Iterable[int]) -> Floats:
    """A row for each number, reduced."""
    data = b"".join([(number % Q).to_bytes(NUMBER_SIZE, "little") for number in numbers])
    return np.frombuffer(data, "<u2").astype(np.float64).reshape(-1, LIMBS)


@cache
def _gadget_limbs() -> Floats:
    return _limbs(gadget())


def _theta_matrix(theta: Pair) -> Floats:
    """48 x 16: times theta_0, times theta_1, times one; all three added up."""
    return _limbs([value << 16 * i for value in (*theta, 1) for i in range(LIMBS)])


def _reduce(columns: Floats) -> bytes:
    """Rows of 16 non-negative limbs below 2^46 to numbers below q, 32 bytes each."""
    limbs = columns.T.astype(np.int64)
    return _canonical(limbs[0::2] + (limbs[1::2] << 16))


def _canonical(x: Integers) -> bytes:
    """Signed sums of 32-bit limbs, 8 x n, below 2^62 each, to numbers below q.

    Limb after limb: all at once, with the top's carry folded in meanwhile, is half the price, and
    a carry and a borrow can then chase each other for ever.
    """
    while True:
        for i in range(7):
            x[i + 1] += x[i] >> 32
            x[i] &= 0xFFFFFFFF
        over = x[7] >> 32  # what lies above 2^256; -1 where the number is negative
        x[7] &= 0xFFFFFFFF
        if not over.any():
            break
        x[:5] += over * _FOLD_LIMBS
    data = np.ascontiguousarray(x.T).astype("<u4").tobytes()
    # Left are numbers between q and 2^256: one in 2^127, or made so on purpose.
    ones = (x[7] == 0xFFFFFFFF) & (x[6] == 0xFFFFFFFF) & (x[5] == 0xFFFFFFFF)
    if not ones.any():
        return data
    return b"".join((n % Q).to_bytes(NUMBER_SIZE, "little") for n in _numbers(data))
