"""What a unit of each kind of work costs, learned from how long sessions were under way.

While work is under way, each moment is divided among its units. A session's cost is its units'
share of the time that it was under way, so the costs of all sessions add up to the time in which
there was work, and their mean is the reciprocal of the rate, whether one or many are served at
once. A session that was alone may have left the parties idle; its cost is no more than a bound.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass

ENOUGH = 3
"""Sessions of a kind that must have been seen before its cost is known."""
FRESH_S = 60.0
"""After so long without any, what was known is not known any more."""
WEIGHT_OF_NEW = 0.2
"""Of the latest session, in what is known: some ten count."""
GUESS_S = 0.05
"""Of a kind that is not known, where something has to be taken for it in the order of turns."""
RECOVERY = 0.25
"""Of a setback, that a session takes back which is done."""
MOST_SETBACKS = 6.0
"""That count. Recovery must not take longer for a long outage."""
SHARED = 1.9
"""So many times its share a session must have been under way, or it was as good as alone and says
only what it costs at most. Two that are equal and together have twice."""
ALONE = 0.9
"""The part of its time that a session must have been alone to show how long one takes."""
REMEMBERED = 8
"""Of those, the shortest of the latest so many counts."""
BUSY = 2.0
"""Times what is done while one session takes its time. Less would leave the parties idle now and
then; more would only stand in their queues."""


@dataclass(slots=True)
class _Stay:
    kind: str
    units: int
    began: float
    shared_at: float


@dataclass(slots=True)
class _Cost:
    seconds: float
    seen: int
    at: float


class Rates:
    """Of one lane, whose kinds of work compete for the same processes.

    Times are in seconds by the caller's clock, and never go back.
    """

    def __init__(self) -> None:
        self._stays: dict[Hashable, _Stay] = {}
        self._units = 0
        self._shared = 0.0
        """The integral of 1 / units over the time in which there were any."""
        self._at = 0.0
        self._costs: dict[str, _Cost] = {}
        self._done_at: dict[str, float] = {}
        self._setbacks: defaultdict[str, float] = defaultdict(float)
        self._set_back_at: dict[str, float] = {}
        self._alone_s: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=REMEMBERED)
        )

    @property
    def under_way(self) -> int:
        """Units."""
        return self._units

    def began(self, name: Hashable, kind: str, units: int, *, now: float) -> None:
        """Work is under way from now on; a name that is under way already changes nothing."""
        self._move(now)
        if name in self._stays:
            return
        self._stays[name] = _Stay(kind, units, now, self._shared)
        self._units += units

    def ended(self, name: Hashable, *, now: float, late: bool = False) -> None:
        """It was done, well or not. What has not begun here teaches nothing.

        Arguments:
            late: It was not done by its deadline.
        """
        stay = self.forget(name, now=now)
        if stay is None or now <= stay.began:
            return
        cost = self._shared - stay.shared_at
        if cost * stay.units >= ALONE * (now - stay.began) and not late:
            self._alone_s[stay.kind].append(now - stay.began)
        alone = cost * stay.units * SHARED > now - stay.began
        if late:
            self._set_back(stay, now)
            return
        self._learn(stay.kind, cost, alone, now)
        self._done_at[stay.kind] = now
        self._setbacks[stay.kind] = max(0.0, self._setbacks[stay.kind] - RECOVERY)

    def forget(self, name: Hashable, *, now: float) -> _Stay | None:
        """It hangs, and is no more work from now on; nor is anything learned from it."""
        self._move(now)
        stay = self._stays.pop(name, None)
        if stay is not None:
            self._units -= stay.units
        return stay

    def known(self, kind: str, *, now: float) -> float | None:
        """Seconds that a unit costs; None as long as that is not known, or no longer."""
        cost = self._costs.get(kind)
        if cost is None or cost.seen < ENOUGH or now - cost.at > FRESH_S:
            return None
        return cost.seconds

    def cost(self, kind: str, *, now: float) -> float:
        """The same, or a guess."""
        return self.known(kind, now=now) or GUESS_S

    def enough(self, kind: str, *, now: float) -> float:
        """How many units of a kind at a time keep the parties busy, though a session spends most of
        its time on the way to them and back; 0 as long as none was seen alone, or none lately."""
        cost = self.known(kind, now=now)
        if cost is None or kind not in self._alone_s:
            return 0.0
        return BUSY * min(self._alone_s[kind]) / cost

    def setbacks(self, kind: str) -> int:
        """How often only half as many should be under way, until some are done in time."""
        return math.ceil(self._setbacks[kind])

    def left(self, *, now: float) -> float:
        """What all that is under way costs; what is not known counts nothing."""
        return sum(
            stay.units * (self.known(stay.kind, now=now) or 0.0) for stay in self._stays.values()
        )

    def _set_back(self, stay: _Stay, now: float) -> None:
        """Where others were done meanwhile, it was not late for there being too many; and those
        that were under way together count once."""
        kind = stay.kind
        if max(self._done_at.get(kind, 0.0), self._set_back_at.get(kind, 0.0)) <= stay.began:
            self._setbacks[kind] = min(self._setbacks[kind] + 1, MOST_SETBACKS)
            self._set_back_at[kind] = now

    def _move(self, now: float) -> None:
        if self._units and now > self._at:
            self._shared += (now - self._at) / self._units
        self._at = max(self._at, now)

    def _learn(self, kind: str, seconds: float, alone: bool, now: float) -> None:
        before = self._costs.get(kind)
        if before is not None and now - before.at > FRESH_S:
            before = None
        if alone and (before is None or seconds >= before.seconds):
            return
        if before is None:
            self._costs[kind] = _Cost(seconds, 1, now)
            return
        before.seconds += WEIGHT_OF_NEW * (seconds - before.seconds)
        before.seen += 1
        before.at = now
