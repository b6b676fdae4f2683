"""A key's next epoch: rounds 1 to 5 of a reshare. See README.md beside this file."""

from __future__ import annotations

from .messages import Commitment, Echo, Opening, Possession, Share
from .parameters import Member, Parameters
from .state import Committed, Dealing, Dealt, Echoed, Finished, Opened
from .steps import (
    check_possessions,
    finish,
    possession_holds,
    round1,
    round2,
    round3,
    round4,
    round5,
)

__all__ = [
    "Commitment",
    "Committed",
    "Dealing",
    "Dealt",
    "Echo",
    "Echoed",
    "Finished",
    "Member",
    "Opened",
    "Opening",
    "Parameters",
    "Possession",
    "Share",
    "check_possessions",
    "finish",
    "possession_holds",
    "round1",
    "round2",
    "round3",
    "round4",
    "round5",
]
