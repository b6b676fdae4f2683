"""A sender and a receiver of oblivious transfers, with fixed coins; what is costly is made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from workers.protocols.groups import SECP256K1, Scalar
from workers.protocols.ot import base, extension, pprf
from workers.protocols.ot.arithmetic import ROWS
from workers.protocols.ot.coins import Coins
from workers.protocols.ot.extension import MASK_SIZE, Shape
from workers.protocols.ot.multiplication import Chunk
from workers.protocols.ot.pads import rows_key

from ..simulate import coins

SID = coins("sid")


@cache
def base_transfers(seed: object = "base") -> tuple[list[tuple[bytes, bytes]], base.Chosen]:
    """Both sides' keys."""
    ours, theirs = Coins(coins(seed, "sender")), Coins(coins(seed, "receiver"))
    sent, received = base.sender_point(ours), base.receiver_points(theirs, SID)
    return base.sender_keys(ours, SID, received), base.receiver_keys(theirs, SID, sent)


@cache
def grown(k: int) -> tuple[bytes, pprf.Trees]:
    """The correction, and the sender's trees."""
    return pprf.grow(SID, base_transfers()[0], k)


@cache
def trees(k: int) -> tuple[pprf.Trees, pprf.Punctured]:
    correction, leaves = grown(k)
    return leaves, pprf.puncture(SID, base_transfers()[1], k, correction)


def receive(shape: Shape, *, nonce: bytes, choice: bytes) -> tuple[bytes, bytes]:
    correction, leaves = grown(shape.k)
    return extension.receive(SID, shape, leaves, correction=correction, nonce=nonce, choice=choice)


def send(shape: Shape, message: bytes) -> extension.Correlated:
    correction, punctured = grown(shape.k)[0], trees(shape.k)[1]
    return extension.send(SID, shape, punctured, correction=correction, message=message)


def choice_of(shape: Shape, *label: object) -> bytes:
    return Coins(coins("choice", *label)).draw(shape.column_size)


@dataclass(frozen=True)
class Extended:
    """An extension that both sides have agreed on."""

    shape: Shape
    choice: bytes
    message: bytes
    rows: bytes
    correlated: extension.Correlated

    @property
    def key(self) -> bytes:
        return rows_key(SID, self.message)

    @property
    def bits(self) -> bytes:
        return self.choice[:-MASK_SIZE]


@cache
def extend(count: int, k: int = 4, label: object = 0) -> Extended:
    """For ``count`` multiplications."""
    shape = Shape(k, ROWS * count)
    choice = choice_of(shape, label)
    message, rows = receive(shape, nonce=coins(label)[:16], choice=choice)
    correlated = send(shape, message)
    return Extended(shape, choice, message, rows, correlated)


def inputs(chunk: Chunk) -> tuple[list[tuple[Scalar, Scalar]], list[Scalar]]:
    """Inputs and check values of each instance."""
    drawn = Coins(coins("inputs")).scalars(3 * chunk.count)
    return list(zip(drawn[0::3], drawn[1::3], strict=True)), drawn[2::3]


def number(data: bytes, place: int) -> Scalar:
    """The place-th number of a string of rows."""
    return SECP256K1.scalar(int.from_bytes(data[32 * place : 32 * place + 32], "little"))
