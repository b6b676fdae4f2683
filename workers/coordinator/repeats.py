"""What left for good, and when: so that a report that comes again and again sends little again.

A message that comes twice may come because what it led to was committed and not sent. But whoever
has recorded it can send it as fast as the broker takes it, and for each the coordinator would sign
and publish a result. So what has left, confirmed, within the last second does not leave again;
what has not left does, however often it takes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..delivery.clock import now_ms

PAUSE_MS = 1_000
REMEMBERED = 10_000
"""A hundred bytes each. What is forgotten may leave again."""


class Repeats:
    """Of one process. Arguments: clock: Unix milliseconds."""

    def __init__(self, *, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._left: OrderedDict[tuple[bytes, str], int] = OrderedDict()

    def due(self, session_id: bytes, cause: str) -> bool:
        """Whether what this cause sent in the session may leave again."""
        at = self._left.get((session_id, cause))
        # A clock that was put back says nothing.
        return at is None or not 0 <= self._clock() - at < PAUSE_MS

    def left(self, session_id: bytes, cause: str) -> None:
        """All of it was confirmed, just now."""
        self._left[session_id, cause] = self._clock()
        self._left.move_to_end((session_id, cause))
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
