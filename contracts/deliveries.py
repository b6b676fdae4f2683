"""How often a message has been delivered before, as its quorum queue counts.

Two headers. Up to RabbitMQ 4.2 every return counts as a failed delivery, in `x-delivery-count`.
From 4.3 on a plain return (`basic.nack`) is no failure, and is counted in `x-acquired-count` only,
with all others: who hesitates the longer the more often a message came goes by that where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ACQUIRED = "x-acquired-count"
FAILED = "x-delivery-count"


def returns_of(headers: Mapping[str, Any]) -> int:
    """How often a message went back to its queue, for whatever reason; 0 the first time."""
    for name in (ACQUIRED, FAILED):
        count = headers.get(name)
        if isinstance(count, int) and not isinstance(count, bool):
            return max(count, 0)
    return 0


def used_of_limit(headers: Mapping[str, Any], *, failed: bool) -> int:
    """How much of its queue's delivery limit a message has used up.

    Arguments:
        failed: Whether it is to go back as failed. If not, and plain returns do not count, nothing
            is used up.
    """
    count = headers.get(FAILED)
    counts = failed or ACQUIRED not in headers
    return count if counts and isinstance(count, int) and not isinstance(count, bool) else 0
