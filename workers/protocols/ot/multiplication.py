"""DKLs23 Protocol 5.2, random vector OLE: shares of chi * a for a secret chi and secret inputs a.

The sender has two inputs a_0, a_1 for each instance, the receiver draws chi (choice bits times a
public gadget). They end with c and d so that c_i + d_i = chi * a_i. Letters are the paper's; the
check column wears a hat there and is the third column here. Instances are numbered through the
whole extension and answered in chunks, each with its own check.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from .. import tags
from ..encoding import digest, hash_to_scalar
from ..groups import SECP256K1, Scalar
from .arithmetic import (
    NUMBER_SIZE,
    ROWS,
    ROWS_SIZE,
    Arithmetic,
    all_below_q,
)
from .arithmetic.interface import CHOICE_SIZE, Pair
from .bits import ROW_SIZE
from .extension import Correlated
from .faults import FailedCheckError
from .pads import pads, shift

MU_SIZE = 32
MULTIPLIER_CHECK = "multiplier"

Shares = list[tuple[Scalar, Scalar]]
"""For each instance, one share of chi * a_0 and one of chi * a_1. Secret."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Which instances one answer is about.

    Attributes:
        start: The first one's place in the extension.
        count: How many follow, the first included.
    """

    start: int
    count: int

    @property
    def message_size(self) -> int:
        """Bytes of the sender's message for this chunk."""
        return self.count * (ROWS_SIZE + NUMBER_SIZE) + MU_SIZE

    def rows(self, data: bytes) -> bytes:
        """This chunk's part of the rows of the whole extension."""
        return data[self.start * ROWS * ROW_SIZE : (self.start + self.count) * ROWS * ROW_SIZE]

    def choice(self, data: bytes) -> bytes:
        """This chunk's part of the choice bits of the whole extension."""
        return data[self.start * CHOICE_SIZE : (self.start + self.count) * CHOICE_SIZE]


@dataclass(frozen=True, slots=True)
class Answer:
    """The sender's message about one chunk.

    Attributes:
        masked: a~, three numbers for each row.
        etas: One number for each instance.
        mu: 32 bytes.
    """

    masked: bytes
    etas: tuple[int, ...]
    mu: bytes

    def __repr__(self) -> str:
        return f"Answer({len(self.etas)} instances)"

    @classmethod
    def from_bytes(cls, chunk: Chunk, data: bytes) -> Answer:
        """ValueError unless the size fits and every number is below q."""
        if len(data) != chunk.message_size:
            raise ValueError(f"an answer is {chunk.message_size} bytes, not {len(data)}")
        numbers = data[:-MU_SIZE]
        if not all_below_q(numbers):
            raise ValueError("an answer's numbers are below the group's order")
        end = chunk.count * ROWS_SIZE
        places = range(end, len(numbers), NUMBER_SIZE)
        etas = (int.from_bytes(numbers[at : at + NUMBER_SIZE], "little") for at in places)
        return cls(numbers[:end], tuple(etas), data[-MU_SIZE:])

    def to_bytes(self) -> bytes:
        etas = b"".join(eta.to_bytes(NUMBER_SIZE, "little") for eta in self.etas)
        return self.masked + etas + self.mu


def multiplicands(choice: bytes, arithmetic: Arithmetic) -> list[Scalar]:
    """The receiver's chi of each instance."""
    return [SECP256K1.scalar(chi) for chi in arithmetic.multiplicands(choice)]


def answer(
    key: bytes,
    chunk: Chunk,
    correlated: Correlated,
    inputs: Sequence[tuple[Scalar, Scalar]],
    checks: Sequence[Scalar],
    arithmetic: Arithmetic,
) -> tuple[Shares, Answer]:
    """Sender, after the extension's check: shares c, and what lets the receiver find d.

    Arguments:
        key: ``pads.rows_key`` of the receiver's message: two messages never meet the same pads.
        inputs: (a_0, a_1) of each instance of the chunk.
        checks: FRESH a^ of each instance.
    """
    place = chunk.start * ROWS
    rows = chunk.rows(correlated.rows)
    alpha_0 = pads(key, rows, place)
    alpha_1 = pads(key, shift(rows, correlated.delta), place)

    # a~_j = alpha_0j - alpha_1j + a
    triples = [(a.value, b.value, h.value) for (a, b), h in zip(inputs, checks, strict=True)]
    masked = arithmetic.mask(alpha_0, alpha_1, triples)

    # theta <- H(a~); eta = a^ + theta * a; mu = H(alpha^_0 + theta * alpha_0)
    thetas = _thetas(key, chunk, masked)
    etas = tuple(
        (h + SECP256K1.scalar(t_0) * a + SECP256K1.scalar(t_1) * b).value
        for (a, b), h, (t_0, t_1) in zip(inputs, checks, thetas, strict=True)
    )
    opened = arithmetic.open_sender(alpha_0, thetas)
    shares = [(-SECP256K1.scalar(x), -SECP256K1.scalar(y)) for x, y in opened.products]
    return shares, Answer(masked, etas, _mu(key, chunk, opened.check))


def finish(
    key: bytes,
    chunk: Chunk,
    rows: bytes,
    choice: bytes,
    received: Answer,
    arithmetic: Arithmetic,
) -> Shares:
    """Receiver: shares d.

    Arguments:
        rows: v_j of the whole extension.
        choice: Choice bits of the whole extension.

    Raises:
        FailedCheckError: The sender used different inputs in different rows. Our choice bits
            decide whether we notice, so noticing tells the sender something of them.
    """
    thetas = _thetas(key, chunk, received.masked)
    ours = pads(key, chunk.rows(rows), chunk.start * ROWS)
    opened = arithmetic.open_receiver(
        ours, chunk.choice(choice), received.masked, thetas, received.etas
    )
    # 5.2: mu == H(d^ + theta * d - beta * eta), where d = alpha_beta + beta * a~
    if not hmac.compare_digest(_mu(key, chunk, opened.check), received.mu):
        raise FailedCheckError(MULTIPLIER_CHECK)
    return [(SECP256K1.scalar(x), SECP256K1.scalar(y)) for x, y in opened.products]


def _thetas(key: bytes, chunk: Chunk, masked: bytes) -> list[Pair]:
    """Challenges of each instance, from everything that was sent before them."""
    transcript = digest(tags.MULTIPLIER_TRANSCRIPT, key, bytes([chunk.start]), masked)
    draws = [
        hash_to_scalar(SECP256K1, tags.MULTIPLIER_THETA, transcript, bytes([i, column])).value
        for i in range(chunk.count)
        for column in (0, 1)
    ]
    return list(zip(draws[0::2], draws[1::2], strict=True))


def _mu(key: bytes, chunk: Chunk, check: bytes) -> bytes:
    return digest(tags.MULTIPLIER_MU, key, bytes([chunk.start]), check)
