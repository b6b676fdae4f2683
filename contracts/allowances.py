"""How much of what anybody can send is kept, and how much of it is only counted."""

from __future__ import annotations

import time
from collections.abc import Callable


class OneASecond:
    """Allows one thing, and the next one when a second has passed.

    Arguments:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock()

    def takes(self) -> bool:
        """Whether this one is allowed. If so, it counts."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + 1
        return True
