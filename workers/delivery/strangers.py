"""Messages that nobody known has signed: counted, and a few of them kept.

Whoever has a login at the broker can send them as fast as it takes them. A dead letter for each
would cost more than the message did, and push out those of others.
"""

from __future__ import annotations

from prometheus_client import Counter

from contracts.allowances import OneASecond
from contracts.errors import UnauthenticatedError

UNAUTHENTICATED = Counter(
    "warren_unauthenticated",
    "Messages that nobody we know is shown to have sent, by what is wrong with them.",
    ["queue", "kind"],
    registry=None,
)


class Strangers:
    """Of one queue. Arguments: letters: How many are kept."""

    def __init__(self, queue: str, letters: OneASecond | None = None) -> None:
        self._queue = queue
        self._letters = letters or OneASecond()

    def keeps(self, error: UnauthenticatedError) -> bool:
        """Count one; returns whether it is to be looked at by somebody."""
        UNAUTHENTICATED.labels(self._queue, error.kind).inc()
        return self._letters.takes()
