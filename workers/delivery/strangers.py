"""Messages that are refused: counted by what is wrong with them, and a few of them kept.

Whoever has a login at the broker can send them as fast as it takes them. A dead letter for each
would cost more than the message did, and push out those of others. So one a second of each kind
that nobody known has signed is kept; of what somebody known has signed, and what does not fit all
the same, `KNOWN_A_SECOND`. The rest is counted, and the log says when that begins and when it ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from contracts.errors import ContractError, UnauthenticatedError
from contracts.sampling import Sampling

logger = logging.getLogger(__name__)

KNOWN_A_SECOND = 10
UNFIT = "unfit"
"""Kind of what somebody known has signed."""

UNAUTHENTICATED = Counter(
    "warren_unauthenticated",
    "Messages that nobody we know is shown to have sent, by what is wrong with them.",
    ["queue", "kind"],
    registry=None,
)
REFUSED = Counter(
    "warren_refused",
    "Messages that were refused, by what is wrong with them, and whether a dead letter was kept.",
    ["queue", "kind", "letter"],
    registry=None,
)
FLOOD = Gauge(
    "warren_refused_flood",
    "Whether so many messages are refused that most are only counted.",
    ["queue"],
    registry=None,
)


class Strangers:
    """Of one queue.

    Arguments:
        clock: Seconds that never go back.
    """

    def __init__(self, queue: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._sampling = Sampling(
            began=self._began, over=self._over, a_second=_letters, clock=clock
        )
        FLOOD.labels(queue).set(0)

    def keeps(self, error: ContractError) -> bool:
        """Count one; returns whether it is to be looked at by somebody."""
        kind = UNFIT
        if isinstance(error, UnauthenticatedError):
            kind = error.kind
            UNAUTHENTICATED.labels(self._queue, kind).inc()
        kept = self._sampling.keeps(kind)
        REFUSED.labels(self._queue, kind, "kept" if kept else "dropped").inc()
        return kept

    def _began(self) -> None:
        FLOOD.labels(self._queue).set(1)
        logger.warning(
            "a flood of messages that are refused: most of them are only counted",
            extra={"queue": self._queue},
        )

    def _over(self, count: int) -> None:
        FLOOD.labels(self._queue).set(0)
        logger.warning(
            "the flood of messages that were refused is over",
            extra={"queue": self._queue, "dropped": count},
        )


def _letters(kind: str) -> int:
    return KNOWN_A_SECOND if kind == UNFIT else 1
