"""All secrets of one round, drawn from one seed, each under its own label.

A state keeps the seed in place of what can be drawn again, and a test that fixes the seed fixes
the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .. import tags
from ..encoding import digest, pack
from ..groups import SECP256K1, Scalar
from ..rounds import MisuseError

SEED_SIZE = 32
_WIDE = 64
"""Bytes drawn for one scalar: 512 bits leave no bias worth the name."""


@dataclass(frozen=True, slots=True)
class Coins:
    """Randomness that is drawn by label from one seed, so that a state need keep the seed only.
    Secret."""

    seed: bytes = field(repr=False)

    @classmethod
    def hedged(cls, randomness: bytes, secret: Scalar, *place: bytes) -> Coins:
        """Mix a secret into fresh randomness, so that a weak source alone reveals nothing.

        Arguments:
            randomness: FRESH, 32 bytes.
            place: Session and round; the same randomness elsewhere gives other coins.

        Raises:
            MisuseError: Randomness of a wrong size.
        """
        if len(randomness) != SEED_SIZE:
            raise MisuseError(f"randomness is {SEED_SIZE} bytes")
        return cls(digest(tags.COINS_HEDGED, randomness, secret.to_bytes(), *place))

    def child(self, *label: bytes) -> Coins:
        """Coins of their own for a part of the work."""
        return Coins(self.draw(SEED_SIZE, *label))

    def draw(self, size: int, *label: bytes) -> bytes:
        """The same bytes for the same label, each time."""
        return hashlib.shake_256(pack(tags.COINS, self.seed, *label)).digest(size)

    def scalars(self, count: int, *label: bytes) -> list[Scalar]:
        """So many scalars, each from enough bytes that none is likelier than another."""
        data = self.draw(count * _WIDE, *label)
        return [
            SECP256K1.scalar_from_bytes_wrapping(data[at : at + _WIDE])
            for at in range(0, len(data), _WIDE)
        ]
