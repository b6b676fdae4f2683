"""Of messages that are refused a few are kept, and a flood of them is told of at its beginning and
at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .allowances import Allowance, Flood


class Sampling:
    """Which of what is refused is kept: so many a second of each kind, lest one hide another.

    Arguments:
        began, over: As `Flood` has them; `over` is called from the event loop.
        a_second: How many of a kind are kept.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        began: Callable[[], None],
        over: Callable[[int], None],
        a_second: Callable[[str], int] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._a_second = a_second
        self._clock = clock
        self._kept: dict[str, Allowance] = {}
        self._flood = Flood(began=began, over=over, clock=clock)
        self._timer: asyncio.TimerHandle | None = None

    def keeps(self, kind: str) -> bool:
        """Whether this one is kept. Arguments: kind: One of a few words."""
        allowance = self._kept.get(kind)
        if allowance is None:
            allowance = self._kept[kind] = Allowance(self._a_second(kind), self._clock)
        if allowance.takes():
            return True
        self._flood.came()
        self._look_later()
        return False

    def look(self) -> None:
        """Whether a flood is over. Called by itself, as long as there is one."""
        self._timer = None
        self._flood.look()
        self._look_later()

    def _look_later(self) -> None:
        if not self._flood.on or self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not within a loop: somebody else looks
            return
        self._timer = loop.call_later(Flood.OVER_AFTER_S / 2, self.look)
