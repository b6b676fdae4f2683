"""What the coordinator's store promises about pools of presignatures."""

from __future__ import annotations

from dataclasses import replace

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    Outcome,
    PoolRecord,
)

from .conftest import RawDatabase
from .examples import (
    FAR_FUTURE,
    KEY,
    batch,
    coordinator_change,
    key,
    pool,
    pooled,
    quarrel,
    session_id,
    waiter,
)
from .stocks import ask, stock, wait_for

ROLE = "coordinator"


###
### Pools
###


async def test_a_pool_tells_its_stock_and_what_is_made_and_wanted(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.use_pool(pool(), "svcA", "treasury", 10)
    await coordinator.use_pool(pool("1,3"), "svcA", "treasury", 20)
    await stock(coordinator, pooled(5), pooled(2, batch="second"))
    for name, count in [("a", 16), ("b", 32)]:
        await coordinator.commit(coordinator_change(name, batch=batch(count)))
        await wait_for(coordinator, f"list {name}", count * 2)
    await coordinator.commit(coordinator_change("c", batch=batch(7, "2,3")))

    full = PoolRecord(
        name=pool(),
        owner="svcA",
        key_id="treasury",
        used_at=10,
        stock=7,
        making=48,
        waiting=96,
    )
    empty = PoolRecord(
        name=pool("1,3"),
        owner="svcA",
        key_id="treasury",
        used_at=20,
        stock=0,
        making=0,
        waiting=0,
    )
    assert await coordinator.pools(0) == [empty, full]


async def test_pools_that_were_not_used_lately_are_left_out_unless_somebody_needs_them(
    coordinator: CoordinatorStore,
) -> None:
    for used_at, signers in enumerate(["1,2", "1,3", "1,4", "2,3", "2,4"]):
        await coordinator.use_pool(pool(signers), "svcA", "treasury", used_at)
    await stock(coordinator, pooled(3))
    await wait_for(coordinator, "list", signers="1,3")
    await coordinator.commit(coordinator_change("making", batch=batch(signers="1,4")))

    listed = [record.name.signers for record in await coordinator.pools(3)]
    assert listed == ["2,4", "1,4", "1,3"]
    assert [record.name.signers for record in await coordinator.pools(9)] == ["1,4", "1,3"]


async def test_a_pool_that_somebody_waits_for_before_its_use_is_noted_is_its_key_s(
    coordinator: CoordinatorStore,
) -> None:
    """Whoever makes presignatures must hear of it, or a request would wait for a sweep."""
    await coordinator.commit(coordinator_change("key", status="completed", key=key()))
    await wait_for(coordinator, "list", 64)
    await coordinator.commit(coordinator_change("making", batch=batch(16, "1,3")))
    record = PoolRecord(
        name=pool(),
        owner="svcA",
        key_id="treasury",
        used_at=0,
        stock=0,
        making=0,
        waiting=64,
    )
    making = replace(record, name=pool("1,3"), waiting=0, making=16)
    assert await coordinator.pools(5) == [record, making]


async def test_the_latest_use_of_a_pool_counts(coordinator: CoordinatorStore) -> None:
    for at in [5, 9, 7]:
        await coordinator.use_pool(pool(), "svcA", "treasury", at)
    await coordinator.use_pool(pool(epoch=1), "svcA", "treasury", 6)
    assert [(record.name, record.used_at) for record in await coordinator.pools(0)] == [
        (pool(), 9),
        (pool(epoch=1), 6),
    ]


async def test_only_that_pool_s_presignatures_are_forgotten(
    coordinator: CoordinatorStore,
) -> None:
    await stock(
        coordinator,
        pooled(3),
        pooled(2, batch="second"),
        pooled(1, "1,3", "other signers"),
        pooled(1, batch="other epoch", epoch=1),
        pooled(1, batch="other key", key_session=session_id("other")),
    )
    assert await coordinator.forget_presignatures(pool()) == 5
    assert await coordinator.forget_presignatures(pool()) == 0
    assert await ask(coordinator, ["1,2", "1,3"]) == pooled(1, "1,3", "other signers")
    assert len(await coordinator.claim_presignatures(pool(epoch=1), 1)) == 1
    other = pool(key_session=session_id("other"))
    assert len(await coordinator.claim_presignatures(other, 1)) == 1


async def test_purge_leaves_pools_and_nothing_of_the_sessions_that_filled_them(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await coordinator.use_pool(pool(), "svcA", "treasury", 10)
    change = coordinator_change(
        "done", status="completed", batch=batch(), waiter=waiter("done"), presignatures=pooled(2)
    )
    assert await coordinator.commit(change) is Outcome.COMMITTED
    # As workers of the version before would end a session that waits or makes a batch.
    for name in ["waits", "makes"]:
        begun = {"waiter": waiter(name)} if name == "waits" else {"batch": batch()}
        await coordinator.commit(coordinator_change(name, **begun))
    await raw.query("UPDATE sessions SET ended_at = 5 WHERE ended_at IS NULL RETURNING 1")

    assert await coordinator.purge(ended_before=FAR_FUTURE) == 3

    assert {table for table, _ in await raw.everything()} == {
        "pools",
        "presignatures",
        "warren_coordinator_version",
    }
    assert await ask(coordinator, ["1,2"], 2) != ()


###
### Keys and quarrels
###


async def test_a_key_comes_back_by_the_session_that_made_it(coordinator: CoordinatorStore) -> None:
    other = key(key_id="another", key_session=session_id("another"))
    for name, made in [("1", key()), ("2", other), ("3", key(epoch=1))]:
        await coordinator.commit(coordinator_change(name, status="completed", key=made))
    assert await coordinator.key_of(KEY) == key(epoch=1)
    assert await coordinator.key_of(session_id("another")) == other
    assert await coordinator.key_of(session_id("none")) is None


async def test_the_latest_quarrel_of_two_parties_stays(coordinator: CoordinatorStore) -> None:
    said = [
        quarrel(at=7),
        quarrel(at=5),
        quarrel("party-2", "party-1", 6),
        quarrel("party-1", "party-3", 8),
        quarrel("party-1", "party-3", 9),
    ]
    for number, one in enumerate(said):
        await coordinator.commit(coordinator_change(str(number), status="failed", quarrels=(one,)))

    assert await coordinator.quarrels(0) == [said[4], said[0], said[2]]
    assert await coordinator.quarrels(7) == [said[4], said[0]]
    assert await coordinator.quarrels(10) == []


async def test_one_change_may_tell_of_a_quarrel_twice(coordinator: CoordinatorStore) -> None:
    change = coordinator_change(status="failed", quarrels=(quarrel(at=9), quarrel(at=7)))
    assert await coordinator.commit(change) is Outcome.COMMITTED
    assert await coordinator.quarrels(0) == [quarrel(at=9)]


async def test_quarrels_outlive_their_session(coordinator: CoordinatorStore) -> None:
    both = (quarrel(), quarrel("party-1", "party-3"))
    await coordinator.commit(coordinator_change(status="failed", quarrels=both))
    await coordinator.purge(ended_before=FAR_FUTURE)
    assert await coordinator.quarrels(0) == list(both)
