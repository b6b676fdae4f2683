"""How much of what anybody can send is kept, and how much of it is only counted."""

from __future__ import annotations

import time
from collections.abc import Callable

_ROUNDING = 1e-6


class Allowance:
    """Allows so many things at once, and so many more with each second that passes.

    Arguments:
        clock: Seconds that never go back.
    """

    def __init__(self, a_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second = a_second
        self._clock = clock
        self._left = float(a_second)
        self._at = clock()

    def takes(self) -> bool:
        """Whether this one is allowed. If so, it counts."""
        now = self._clock()
        # Nothing is saved up for longer than a second.
        self._left = min(self._left + (now - self._at) * self._a_second, float(self._a_second))
        self._at = now
        if self._left < 1 - _ROUNDING:
            return False
        self._left -= 1
        return True


class Flood:
    """Whether there is one of what is only counted: it begins with the `BEGINS_WITH`th within a
    second, and is over when none came for `OVER_AFTER_S`. Nobody is told of anything in between.

    Arguments:
        began: Called once at the beginning.
        over: Called once at the end, with how many there were.
        clock: Seconds that never go back.
    """

    BEGINS_WITH = 20
    OVER_AFTER_S = 10.0

    def __init__(
        self,
        *,
        began: Callable[[], None],
        over: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began = began
        self._over = over
        self._clock = clock
        self._count = 0
        self._first = self._last = clock()
        self.on = False

    def came(self) -> None:
        """One more."""
        self.look()
        now = self._clock()
        if not self.on and now - self._first >= 1:
            self._count, self._first = 0, now
        self._count += 1
        self._last = now
        if not self.on and self._count >= self.BEGINS_WITH:
            self.on = True
            self._began()

    def look(self) -> None:
        """Whether it is over; to be called now and then, for an end comes by nothing."""
        if self.on and self._clock() - self._last >= self.OVER_AFTER_S:
            self.on = False
            count, self._count = self._count, 0
            self._over(count)
