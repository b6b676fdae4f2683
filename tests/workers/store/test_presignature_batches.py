"""How many batches of presignatures may be in the making."""

from __future__ import annotations

import asyncio

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    Event,
    Outcome,
)

from .conftest import RawDatabase
from .examples import (
    batch,
    coordinator_change,
    outgoing,
    quarrel,
    received,
)

ROLE = "coordinator"
FINAL = ["completed", "failed", "expired", "cancelled"]


async def test_so_many_batches_of_a_pool_and_no_more(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    for name in "ab":
        change = coordinator_change(name, batch=batch())
        assert await coordinator.commit(change) is Outcome.COMMITTED
    before = await raw.everything()

    third = coordinator_change(
        "c",
        batch=batch(),
        received=(received(),),
        outgoing=(outgoing(),),
        events=(Event(event="session_created"),),
        quarrels=(quarrel(),),
    )
    assert await coordinator.commit(third) is Outcome.BATCH_REFUSED
    assert await raw.everything() == before

    for other in [batch(signers="1,3"), batch(limit_pool=3)]:
        change = coordinator_change(f"for {other.pool.signers}", batch=other)
        assert await coordinator.commit(change) is Outcome.COMMITTED


async def test_so_many_batches_of_all_pools_and_no_more(coordinator: CoordinatorStore) -> None:
    for number, signers in enumerate(["1,2", "1,3", "2,3"]):
        change = coordinator_change(signers, batch=batch(signers=signers, limit_all=2))
        meant = Outcome.COMMITTED if number < 2 else Outcome.BATCH_REFUSED
        assert await coordinator.commit(change) is meant


@pytest.mark.parametrize("status", FINAL)
async def test_a_batch_that_is_over_makes_room_for_another(
    coordinator: CoordinatorStore, status: str
) -> None:
    first = coordinator_change("first", batch=batch(limit_pool=1))
    second = coordinator_change("second", batch=batch(limit_pool=1))
    await coordinator.commit(first)
    await coordinator.commit(coordinator_change("first", expected_version=1, cause="2"))
    assert await coordinator.commit(second) is Outcome.BATCH_REFUSED

    over = coordinator_change("first", expected_version=2, cause="3", status=status)
    assert await coordinator.commit(over) is Outcome.COMMITTED
    assert await coordinator.commit(second) is Outcome.COMMITTED


@pytest.mark.parametrize(
    ("limits", "meant"),
    [({"limit_pool": 3, "limit_all": 9}, 6), ({"limit_pool": 9, "limit_all": 5}, 5)],
)
async def test_the_limits_hold_against_many_at_the_same_time(
    coordinator: CoordinatorStore,
    coordinator_twin: CoordinatorStore,
    raw: RawDatabase,
    limits: dict[str, int],
    meant: int,
) -> None:
    outcomes = await asyncio.gather(
        *(
            (coordinator if racer % 4 < 2 else coordinator_twin).commit(
                coordinator_change(
                    f"batch {racer}", batch=batch(signers=["1,2", "1,3"][racer % 2], **limits)
                )
            )
            for racer in range(20)
        )
    )
    assert outcomes.count(Outcome.COMMITTED) == meant
    assert outcomes.count(Outcome.BATCH_REFUSED) == 20 - meant
    assert len(await raw.query("SELECT * FROM presign_batches")) == meant
