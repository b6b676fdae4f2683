"""Requests that are admitted with the presignatures that they take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    Admission,
)

from .conftest import RawDatabase
from .examples import (
    KEY,
    commitment,
    coordinator_change,
    pooled,
    request,
    session_id,
)
from .stocks import ask, left, stock

ROLE = "coordinator"


async def test_a_new_request_is_admitted_with_its_presignatures(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(3))
    claimed = await ask(coordinator, ["1,2"], 2)
    assert len(claimed) == 2
    assert set(claimed) < set(pooled(3))
    assert await left(raw) == 1
    assert set(await ask(coordinator, ["1,2"])) == set(pooled(3)) - set(claimed)
    assert await ask(coordinator, ["1,2"]) == ()


async def test_a_list_of_256_gets_256(coordinator: CoordinatorStore, raw: RawDatabase) -> None:
    made = pooled(250), pooled(10, batch="second")
    await stock(coordinator, *made)
    claimed = await ask(coordinator, ["1,2"], 256)
    assert len(set(claimed)) == 256
    assert set(claimed) < {*made[0], *made[1]}
    assert await left(raw) == 4


async def test_too_few_are_left_alone(coordinator: CoordinatorStore, raw: RawDatabase) -> None:
    await stock(coordinator, pooled(3))
    assert await ask(coordinator, ["1,2"], 4) == ()
    assert await left(raw) == 3


async def test_the_first_pool_that_has_enough_gives_them_all(
    coordinator: CoordinatorStore,
) -> None:
    both = pooled(2), pooled(5, "1,3", "second")
    await stock(coordinator, *both, pooled(9, "2,3", "third"))

    claimed = await ask(coordinator, ["2,4", "1,2", "1,3", "2,3"], 3)
    assert set(claimed) < set(both[1])
    assert await ask(coordinator, ["2,4", "1,2"], 3) == ()
    assert set(await ask(coordinator, ["1,2", "1,3", "2,3"], 2)) == set(both[0])


async def test_only_that_key_s_and_epoch_s_presignatures_are_claimed(
    coordinator: CoordinatorStore,
) -> None:
    await stock(
        coordinator,
        pooled(1, batch="other epoch", epoch=1),
        pooled(1, batch="other key", key_session=session_id("other")),
    )
    assert await ask(coordinator, ["1,2"]) == ()
    admission = await coordinator.admit(
        "svcA", "new", request().digest, key_session=KEY, epoch=1, pools=["1,2"], presignatures=1
    )
    assert admission.presignatures == pooled(1, batch="other epoch", epoch=1)


async def test_the_newest_presignatures_go_first(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(2, batch="a"), pooled(2, batch="b"), pooled(2, batch="c"))
    await raw.query(
        "UPDATE presignatures SET made_at = made_at + 1000"
        f" WHERE batch = {raw.literal(session_id('b'))} RETURNING 1"
    )
    assert set(await ask(coordinator, ["1,2"], 2)) == set(pooled(2, batch="b"))


async def test_a_known_request_takes_no_presignature(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(coordinator_change(request=request(), presignatures=pooled(2)))
    admission = await coordinator.admit(
        "svcA",
        "request",
        request().digest,
        key_session=KEY,
        epoch=0,
        pools=["1,2"],
        presignatures=2,
    )
    assert admission == Admission(request=request(), claimed={})
    assert await left(raw) == 2


async def test_presignatures_and_commitments_are_not_each_other_s(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.commit(
        coordinator_change(presignatures=pooled(1), commitments=(commitment(),))
    )
    assert await ask(coordinator, ["1,2"]) == pooled(1)
    assert len(await raw.query("SELECT * FROM commitments")) == 1

    admission = await coordinator.admit(
        "svcA", "new", request().digest, key_session=KEY, scheme="ed25519", parties=["party-1"]
    )
    assert admission == Admission(request=None, claimed={"party-1": commitment()})


async def test_each_presignature_goes_to_one_of_many_requests(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    made = {*pooled(20), *pooled(20, "1,3", "second")}
    await stock(coordinator, pooled(20), pooled(20, "1,3", "second"))

    async def ask_until_there_is_none(
        store: CoordinatorStore, pools: Sequence[str]
    ) -> list[object]:
        mine: list[object] = []
        while claimed := await ask(store, pools, 2):
            mine += claimed
        return mine

    answers = await asyncio.gather(
        *(
            ask_until_there_is_none(
                coordinator if racer % 2 else coordinator_twin,
                ["1,2", "1,3"] if racer % 3 else ["1,3", "1,2"],
            )
            for racer in range(10)
        )
    )

    taken = [claimed for mine in answers for claimed in mine]
    assert len(taken) == 40
    assert set(taken) == made


async def test_of_many_lists_for_which_there_is_enough_once_one_gets_it(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    """Two that take turns at the rows would both find too few."""
    for attempt in range(10):
        await stock(coordinator, pooled(64, batch=f"batch {attempt}"))
        answers = await asyncio.gather(
            *(
                ask(coordinator if racer % 2 else coordinator_twin, ["1,2"], 64)
                for racer in range(6)
            )
        )
        assert sorted(map(len, answers)) == [0, 0, 0, 0, 0, 64]
