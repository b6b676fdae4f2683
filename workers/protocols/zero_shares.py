"""Shares of zero, DKLs23 functionality F_Zero: each pair of parties adds and subtracts one number.

A pair's number comes from a seed that both contributed to over their own sealed channel. If one
of the two is corrupted the seed is known to the adversary anyway, and if both are honest nobody
steers it; hence no commitments.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import tags
from .encoding import digest, hash_to_scalar
from .groups import SECP256K1, Scalar
from .rounds import PartyIndex

CONTRIBUTION_SIZE = 32


def pair_seed(binding: bytes, contributions: Mapping[PartyIndex, bytes]) -> bytes:
    """The seed of two parties from what each drew FRESH and sent the other, 32 bytes each."""
    ordered = (contributions[i] for i in sorted(contributions))
    return digest(tags.ZERO_SHARE_SEED, binding, *ordered)


def zero_share(
    binding: bytes, i: PartyIndex, seeds: Mapping[PartyIndex, bytes], position: int
) -> Scalar:
    """Party i's share; over all parties they add up to zero.

    Arguments:
        binding: The session. Another one gives other shares from the same seeds.
        seeds: Of party i with each other party. Secret.
        position: Which of several sharings in the session.
    """
    total = SECP256K1.scalar(0)
    for j, seed in seeds.items():
        place = position.to_bytes(2, "big")
        number = hash_to_scalar(SECP256K1, tags.ZERO_SHARE, seed, binding, place)
        total = total + number if i < j else total - number
    return total
