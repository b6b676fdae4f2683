"""What the multiplier computes modulo q, for many instances at once.

Strings hold numbers of 32 little-endian bytes. An instance has 416 rows of three columns: two
for the inputs, one for the check. ``pads`` hold any 256 bits; what is sent holds less than q.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

from ... import tags
from ...encoding import hash_to_scalar
from ...groups import SECP256K1

Q = SECP256K1.order

ROWS = 416
"""xi = kappa + 2 * lambda_s with kappa = 256 and lambda_s = 80: transfers for each product."""

COLUMNS = 3
"""l = 2 inputs, rho = 1 check column. *verify*: published implementations use rho = 1 or 2."""

NUMBER_SIZE = 32
ROW_SIZE = COLUMNS * NUMBER_SIZE
ROWS_SIZE = ROWS * ROW_SIZE
"""One instance's share of a message: 39,936 bytes."""

CHOICE_SIZE = ROWS // 8

Pair = tuple[int, int]
"""One value for each input."""

Triple = tuple[int, int, int]
"""Both inputs, then the check column's."""


class Opened(NamedTuple):
    """One side's view of the check and of the products.

    Attributes:
        check: A number below q for each row of each instance, the same on both sides if honest.
        products: Sum of gadget times column, for both inputs of each instance. Secret.
    """

    check: bytes
    products: list[Pair]


class Arithmetic(Protocol):
    """The multiplier's sums over many instances. Two implementations, one battery: what they return
    is the same."""

    def multiplicands(self, choice: bytes) -> list[int]:
        """chi of each instance: the sum of the gadget's elements whose choice bit is set."""

    def mask(self, pads_0: bytes, pads_1: bytes, inputs: Sequence[Triple]) -> bytes:
        """Sender: alpha_0 - alpha_1 + input, for every row and column."""

    def open_sender(self, pads_0: bytes, thetas: Sequence[Pair]) -> Opened:
        """Sender: alpha_0's check column plus theta times its inputs' columns; the products."""

    def open_receiver(
        self,
        pads: bytes,
        choice: bytes,
        masked: bytes,
        thetas: Sequence[Pair],
        etas: Sequence[int],
    ) -> Opened:
        """Receiver: the same of pads + choice * masked, less choice * eta in the check column."""


@cache
def gadget() -> tuple[int, ...]:
    """416 public numbers, uniform and with nothing up a sleeve.

    *verify*: the paper samples them; here they are the same in every session.
    """
    places = (j.to_bytes(2, "big") for j in range(ROWS))
    return tuple(hash_to_scalar(SECP256K1, tags.MULTIPLIER_GADGET, place).value for place in places)


def all_below_q(data: bytes) -> bool:
    """Whether every number of the string is below q.

    A number that is not has 15 bytes of ones at its end, and random strings have them nowhere.
    """
    if b"\xff" * 15 not in data:
        return True
    places = range(0, len(data), NUMBER_SIZE)
    return all(int.from_bytes(data[at : at + NUMBER_SIZE], "little") < Q for at in places)
