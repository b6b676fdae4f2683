"""When presignatures would be there that somebody wants now, by what others have cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from contracts.failures import Failure, FailureCode

from ..delivery.clock import now_ms
from ..session.coordinator.rates import Rates
from ..store.records import PoolName, PoolRecord
from .departures import Departures
from .gates import OverloadedError, bounded, named

KIND = "presign"


class Supply:
    """Of all pools, which take turns as `Pools` has it.

    Arguments:
        clock: Unix milliseconds.
        monotonic: Seconds.
    """

    def __init__(
        self,
        departures: Departures,
        *,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._departures = departures
        self._clock = clock
        self._monotonic = monotonic
        self._rates = Rates()
        self._wanted: Counter[PoolName] = Counter()

    def began(self, batch: bytes, count: int) -> None:
        """A batch of so many is in the making, by its session's id."""

        def ended(late: bool) -> None:
            self._rates.ended(batch, now=self._monotonic(), late=late)

        self._rates.began(batch, KIND, count, now=self._monotonic())
        self._departures.expect(batch, ended)

    def note(self, pools: Iterable[PoolRecord]) -> None:
        """What is wanted, as of the last look at all pools."""
        lacking = {pool.name: pool.waiting - pool.stock for pool in pools}
        self._wanted = Counter({name: count for name, count in lacking.items() if count > 0})

    def require(self, owner: str, pool: PoolName, count: int, deadline: int) -> None:
        """Count so many as wanted. Raises OverloadedError if they would come after the deadline."""
        done_s = self.forecast_s(pool, count)
        left_s = (deadline - self._clock()) / 1000
        if done_s is not None and done_s > left_s:
            raise OverloadedError(
                Failure.of(
                    FailureCode.OVERLOADED,
                    f"{count} presignatures for {named(owner)} would be made after {done_s:.1f} s, "
                    f"and the deadline is in {max(left_s, 0.0):.1f} s: ask again later, for fewer "
                    "signatures, or give it more time",
                    retry_after_ms=bounded(1000 * (done_s - left_s)),
                )
            )
        self._wanted[pool] += count

    def forecast_s(self, pool: PoolName, count: int) -> float | None:
        """Seconds until so many more would be there; None as long as nobody knows."""
        cost = self._rates.known(KIND, now=self._monotonic())
        if cost is None:
            return None
        own = self._wanted[pool] + count
        others = sum(min(each, own) for name, each in self._wanted.items() if name != pool)
        return cost * (own + others)
