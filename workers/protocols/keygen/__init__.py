"""Distributed key generation: rounds 1 to 3 and ``finish``. See README.md beside this file."""

from __future__ import annotations

from .messages import Commitment, Opening, Share
from .parameters import Parameters
from .state import Committed, Dealt, Finished, Opened
from .steps import finish, round1, round2, round3

__all__ = [
    "Commitment",
    "Committed",
    "Dealt",
    "Finished",
    "Opened",
    "Opening",
    "Parameters",
    "Share",
    "finish",
    "round1",
    "round2",
    "round3",
]
