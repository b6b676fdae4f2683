"""Dead letters that faults explain, by the words of their reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from contracts import addresses

from .facts import DeadLetter
from .faults import Kind

EXPIRED = "expired"

EXPLAINED: Mapping[str, frozenset[Kind]] = {
    "there is no such session": frozenset({Kind.GREEDY, Kind.DATABASE_KILL}),
    "the instruction is from the future": frozenset({Kind.SKEW}),
}
"""Part of a reason -> the kinds of which any explains it."""


def understood(letter: DeadLetter, kinds: Collection[Kind]) -> bool:
    return any(
        part in letter.reason and not explaining.isdisjoint(kinds)
        for part, explaining in EXPLAINED.items()
    )


def expired_requests(letters: Iterable[DeadLetter]) -> frozenset[str]:
    """Ids of requests that the broker gave up, because nobody took them before their deadline."""
    return frozenset(
        letter.message_id for letter in letters if is_expired_request(letter) and letter.message_id
    )


def is_expired_request(letter: DeadLetter) -> bool:
    return letter.queue.startswith(addresses.REQUESTS) and letter.reason == EXPIRED
