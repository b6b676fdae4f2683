"""Dead letters that faults explain, by the words of their reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .facts import DeadLetter
from .faults import Kind

_STATE_LOST = frozenset({Kind.DATABASE_KILL})

EXPLAINED: Mapping[str, frozenset[Kind]] = {
    "there is no such session": frozenset({Kind.GREEDY, *_STATE_LOST}),
}
"""Part of a reason -> the kinds of which any explains it."""


def understood(letter: DeadLetter, kinds: Collection[Kind]) -> bool:
    return any(
        part in letter.reason and not explaining.isdisjoint(kinds)
        for part, explaining in EXPLAINED.items()
    )
