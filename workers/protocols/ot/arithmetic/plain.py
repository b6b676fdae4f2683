"""Python integers, a row at a time: short, and what the other path is measured against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import mul

from ..bits import to_list
from .interface import (
    CHOICE_SIZE,
    NUMBER_SIZE,
    ROWS_SIZE,
    Arithmetic,
    Opened,
    Pair,
    Q,
    Triple,
    gadget,
)


class PlainArithmetic(Arithmetic):
    """With Python's integers, as the paper writes it: what the fast one is held to."""

    def multiplicands(self, choice: bytes) -> list[int]:
        return [sum(map(mul, gadget(), bits)) % Q for bits in _choices(choice)]

    def mask(self, pads_0: bytes, pads_1: bytes, inputs: Sequence[Triple]) -> bytes:
        masked = []
        for zeros, ones, triple in zip(_instances(pads_0), _instances(pads_1), inputs, strict=True):
            for column_0, column_1, a in zip(zeros, ones, triple, strict=True):
                masked.append([(x - y + a) % Q for x, y in zip(column_0, column_1, strict=True)])
        return b"".join(
            number.to_bytes(NUMBER_SIZE, "little")
            for instance in range(len(inputs))
            for row in zip(*masked[3 * instance : 3 * instance + 3], strict=True)
            for number in row
        )

    def open_sender(self, pads_0: bytes, thetas: Sequence[Pair]) -> Opened:
        opened = [
            _open(columns, theta, [0] * len(columns[0]), 0)
            for columns, theta in zip(_instances(pads_0), thetas, strict=True)
        ]
        return _join(opened)

    def open_receiver(
        self,
        pads: bytes,
        choice: bytes,
        masked: bytes,
        thetas: Sequence[Pair],
        etas: Sequence[int],
    ) -> Opened:
        opened = []
        for ours, theirs, bits, theta, eta in zip(
            _instances(pads), _instances(masked), _choices(choice), thetas, etas, strict=True
        ):
            columns = [
                [x + beta * y for x, y, beta in zip(column, sent, bits, strict=True)]
                for column, sent in zip(ours, theirs, strict=True)
            ]
            opened.append(_open(columns, theta, bits, eta))
        return _join(opened)


def _open(columns: list[list[int]], theta: Pair, bits: list[int], eta: int) -> Opened:
    """Of one instance: mu_j = d^_j + theta_0 * d_0j + theta_1 * d_1j - beta_j * eta."""
    (theta_0, theta_1), (first, second, check) = theta, columns
    rows = zip(first, second, check, bits, strict=True)
    mu = [(z + theta_0 * x + theta_1 * y - beta * eta) % Q for x, y, z, beta in rows]
    g = gadget()
    products = sum(map(mul, g, first)) % Q, sum(map(mul, g, second)) % Q
    return Opened(b"".join(m.to_bytes(NUMBER_SIZE, "little") for m in mu), [products])


def _join(opened: list[Opened]) -> Opened:
    return Opened(
        b"".join(one.check for one in opened), [p for one in opened for p in one.products]
    )


def _instances(data: bytes) -> Iterator[list[list[int]]]:
    """The three columns of each instance."""
    for start in range(0, len(data), ROWS_SIZE):
        places = range(start, start + ROWS_SIZE, NUMBER_SIZE)
        numbers = [int.from_bytes(data[at : at + NUMBER_SIZE], "little") for at in places]
        yield [numbers[0::3], numbers[1::3], numbers[2::3]]


def _choices(choice: bytes) -> Iterator[list[int]]:
    for at in range(0, len(choice), CHOICE_SIZE):
        yield to_list(choice[at : at + CHOICE_SIZE])
