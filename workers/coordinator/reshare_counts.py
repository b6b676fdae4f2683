"""What a coordinator counts of reshares: each try by itself, as a request may have several."""

from __future__ import annotations

import logging

from prometheus_client import Counter, Histogram

from ..session.coordinator.conduct import Conduct, Progress

MADE = "made"

logger = logging.getLogger(__name__)

BEGUN = Counter(
    "warren_reshares_begun",
    "Tries to give a key new shares that were begun.",
    registry=None,
)
SECONDS = Histogram(
    "warren_reshare_seconds",
    "From the beginning of such a try to its end, by what came of it: made, or a failure's code.",
    ["outcome"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
    registry=None,
)


def begun(conduct: Conduct) -> None:
    """Count a try."""
    BEGUN.inc()
    logger.info("new shares of a key: begun", extra=_told(conduct))


def ended(conduct: Conduct, progress: Progress, now: int) -> None:
    """Count a try that is over; other sessions are not counted."""
    if conduct.begun_at is None:
        return
    failure = progress.failure
    outcome = MADE if failure is None else failure.code.value
    SECONDS.labels(outcome).observe(max(0, now - conduct.begun_at) / 1000)
    told = _told(conduct) | ({} if failure is None else {"failure": failure.message})
    logger.info("new shares of a key: %s", outcome, extra=told)


def _told(conduct: Conduct) -> dict[str, object]:
    key_session = conduct.terms.key_session
    return {
        "session_id": conduct.session_id.hex(),
        "key_id": conduct.request.key_id,
        "key_session": key_session and key_session.hex(),
        "epoch": conduct.terms.epoch,
    }
