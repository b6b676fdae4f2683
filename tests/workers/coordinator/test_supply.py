"""When presignatures would be there, by what earlier ones have cost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from contracts.failures import FailureCode
from workers.coordinator.departures import Departures
from workers.coordinator.gates import OverloadedError
from workers.coordinator.supply import Supply
from workers.store.records import PoolName, PoolRecord

OWN = PoolName(key_session=bytes(32), epoch=0, signers="1,2")
OTHER = PoolName(key_session=bytes([1]) * 32, epoch=0, signers="1,3")


@dataclass
class Workshop:
    """Makes one presignature in a tenth of a second."""

    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.departures = Departures(monotonic=lambda: self.now_s)
        self.supply = Supply(
            self.departures, clock=lambda: round(1000 * self.now_s), monotonic=lambda: self.now_s
        )

    def work(self) -> None:
        for batch in range(0, 8, 2):
            names = [bytes([batch + each]) * 32 for each in (0, 1)]
            for name in names:
                self.supply.began(name, 10)
            self.now_s += 2
            for name in names:
                self.departures.over(name)

    def deadline(self, seconds: float) -> int:
        return round(1000 * (self.now_s + seconds))


def waiting(name: PoolName, count: int) -> PoolRecord:
    return PoolRecord(
        name=name, owner="", key_id="", used_at=0, stock=0, making=0, waiting=count, leaving=0
    )


def test_as_long_as_nobody_knows_what_they_cost_nobody_is_refused() -> None:
    shop = Workshop()
    shop.supply.note([waiting(OWN, 1_000_000)])
    shop.supply.require("svcA", OWN, 256, shop.deadline(0.1))


def test_what_would_come_after_the_deadline_is_refused_at_once_and_by_name() -> None:
    shop = Workshop()
    shop.work()
    assert shop.supply.forecast_s(OWN, 10) == pytest.approx(1.0)
    shop.supply.require("svcA", OWN, 10, shop.deadline(2))
    with pytest.raises(OverloadedError, match="20 presignatures for tenant 'shop'") as caught:
        shop.supply.require("svcA/shop", OWN, 20, shop.deadline(2))
    assert caught.value.failure.code is FailureCode.OVERLOADED
    assert caught.value.failure.retry_after_ms == 1000


def test_what_others_want_counts_as_much_as_it_comes_first() -> None:
    shop = Workshop()
    shop.work()
    shop.supply.note([waiting(OTHER, 1000), waiting(OWN, 5)])
    # A pool's turn comes after another one's: so it waits for as many of the other as of its own.
    assert shop.supply.forecast_s(OWN, 5) == pytest.approx(2.0)
    shop.supply.note([])
    assert shop.supply.forecast_s(OWN, 5) == pytest.approx(0.5)
