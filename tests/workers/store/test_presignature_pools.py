"""What the coordinator's store promises about pools of presignatures."""

from __future__ import annotations

import asyncio
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import replace

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    Admission,
    CoordinatorChange,
    Event,
    Outcome,
    PooledPresignature,
    PoolRecord,
    WaitingSession,
)

from .conftest import RawDatabase
from .examples import (
    FAR_FUTURE,
    KEY,
    batch,
    commitment,
    coordinator_change,
    key,
    outgoing,
    pool,
    pooled,
    quarrel,
    received,
    request,
    session_id,
    waiter,
)

ROLE = "coordinator"
FINAL = ["completed", "failed", "expired", "cancelled"]


async def stock(store: CoordinatorStore, *batches: Sequence[PooledPresignature]) -> None:
    for made in batches:
        change = coordinator_change(
            f"batch {made[0].batch.hex()}", status="completed", presignatures=tuple(made)
        )
        assert await store.commit(change) is Outcome.COMMITTED


async def ask(
    store: CoordinatorStore, pools: Sequence[str], count: int = 1
) -> tuple[PooledPresignature, ...]:
    """What a request that nobody knows gets."""
    admission = await store.admit(
        "svcA",
        "nobody's",
        request().digest,
        key_session=KEY,
        epoch=0,
        pools=pools,
        presignatures=count,
    )
    assert admission.request is None
    assert admission.claimed == {}
    return admission.presignatures


async def left(raw: RawDatabase) -> int:
    return len(await raw.query("SELECT * FROM presignatures"))


async def wait_for(
    store: CoordinatorStore, name: str, count: int = 1, signers: str = "1,2"
) -> None:
    change = coordinator_change(name, status="waiting", waiter=waiter(name, count, signers))
    assert await store.commit(change) is Outcome.COMMITTED


###
### Admission
###


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


###
### Waiting
###


async def test_a_pool_that_somebody_waits_for_is_passed_over(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(2), pooled(2, "1,3", "second"))
    await wait_for(coordinator, "list", 64)

    assert await ask(coordinator, ["1,2"]) == ()
    assert set(await ask(coordinator, ["1,2", "1,3"])) < set(pooled(2, "1,3", "second"))
    assert await left(raw) == 3


async def test_whoever_waits_for_another_pool_is_in_nobody_s_way(
    coordinator: CoordinatorStore,
) -> None:
    await stock(coordinator, pooled(1))
    await wait_for(coordinator, "other signers", signers="1,3")
    for elsewhere in [pool(epoch=1), pool(key_session=session_id("other"))]:
        name = f"waits for {elsewhere}"
        record = replace(waiter(name), pool=elsewhere)
        await coordinator.commit(coordinator_change(name, waiter=record))
    assert await ask(coordinator, ["1,2"]) == pooled(1)


async def test_waiters_come_in_the_order_in_which_they_came(coordinator: CoordinatorStore) -> None:
    names = ["d", "a", "c", "b"]
    for count, name in enumerate(names, start=1):
        await wait_for(coordinator, name, count)
    await wait_for(coordinator, "other", signers="1,3")
    queue = [waiter(name, count) for count, name in enumerate(names, start=1)]

    assert await coordinator.waiters(pool(), 10) == queue
    assert await coordinator.waiters(pool(), 2) == queue[:2]
    assert await coordinator.waiters(pool("2,3"), 10) == []


async def test_whoever_comes_again_is_last(coordinator: CoordinatorStore) -> None:
    for name in ["first", "second"]:
        await wait_for(coordinator, name)
    again = coordinator_change(
        "first", expected_version=1, cause="2", served=True, waiter=waiter("first", 2)
    )
    assert await coordinator.commit(again) is Outcome.COMMITTED
    assert await coordinator.waiters(pool(), 10) == [waiter("second"), waiter("first", 2)]


@pytest.mark.parametrize("status", ["in_progress", *FINAL])
async def test_whoever_is_served_or_over_waits_no_more(
    coordinator: CoordinatorStore, status: str
) -> None:
    for name in ["mine", "theirs"]:
        await wait_for(coordinator, name)
    change = coordinator_change(
        "mine", expected_version=1, cause="2", status=status, served=status == "in_progress"
    )
    await coordinator.commit(change)
    assert await coordinator.waiters(pool(), 10) == [waiter("theirs")]


async def test_whoever_waits_goes_on_waiting_while_its_session_moves_on(
    coordinator: CoordinatorStore,
) -> None:
    await wait_for(coordinator, "mine")
    await coordinator.commit(coordinator_change("mine", expected_version=1, cause="2"))
    assert await coordinator.waiters(pool(), 10) == [waiter("mine")]


async def test_whoever_waited_claims_all_or_nothing_whoever_else_waits(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(3), pooled(9, "1,3", "second"))
    await wait_for(coordinator, "first")
    await wait_for(coordinator, "second")

    assert await coordinator.claim_presignatures(pool(), 4) == ()
    assert await left(raw) == 12
    assert set(await coordinator.claim_presignatures(pool(), 3)) == set(pooled(3))
    assert await coordinator.claim_presignatures(pool(), 1) == ()
    assert await coordinator.claim_presignatures(pool(epoch=1), 1) == ()


async def test_of_many_who_claim_the_same_exactly_one_gets_them(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    await stock(coordinator, pooled(5))
    answers = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).claim_presignatures(pool(), 3)
            for racer in range(10)
        )
    )
    assert sorted(map(len, answers)) == [0] * 9 + [3]


###
### Serving
###


async def line_up(store: CoordinatorStore, *names: str, count: int = 1) -> None:
    """Sessions with requests, which wait in this order."""
    for name in names:
        asked = request(f"asks for {name}", session_id=session_id(name))
        waits = waiter(name, count)
        change = coordinator_change(name, status="waiting", request=asked, waiter=waits)
        assert await store.commit(change) is Outcome.COMMITTED


def go_on(
    waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
) -> CoordinatorChange:
    """Tells what it was given."""
    session = waiting.session
    return CoordinatorChange(
        session_id=session.session_id,
        expected_version=session.version,
        protocol=session.protocol,
        key_session=session.key_session,
        status="in_progress",
        deadline=session.deadline + 1,
        state=repr(sorted((each.batch, each.position) for each in presignatures)).encode(),
        cause="served",
        outgoing=(outgoing(waiting.session.session_id.hex()),),
    )


def given(changes: Sequence[CoordinatorChange]) -> list[tuple[bytes, int]]:
    return [place for change in changes for place in literal_eval(change.state.decode())]


def ids(*names: str) -> list[bytes]:
    return [session_id(name) for name in names]


async def test_those_who_wait_are_served_in_their_order_as_far_as_it_goes(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(5))
    await line_up(coordinator, "d", "a", count=2)
    await line_up(coordinator, "c", count=2)
    await line_up(coordinator, "b")
    changes = await coordinator.serve(pool(), 10, go_on)
    # There would be enough for the last one, whose turn it is not.
    assert [change.session_id for change in changes] == ids("d", "a")
    assert len(set(given(changes))) == 4
    assert await left(raw) == 1
    for change in changes:
        session = await coordinator.session(change.session_id)
        assert session is not None
        assert (session.status, session.version) == ("in_progress", 2)
        assert (session.state, session.deadline) == (change.state, change.deadline)
        assert await coordinator.outgoing(change.session_id, "served") == change.outgoing
    assert await coordinator.serve(pool(), 10, go_on) == []
    assert await left(raw) == 1


async def test_whoever_is_served_is_shown_as_it_stands(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2))
    await line_up(coordinator, "mine", count=2)
    moved = coordinator_change("mine", expected_version=1, cause="2", status="waiting")
    await coordinator.commit(moved)
    session = await coordinator.session(session_id("mine"))
    assert session is not None
    seen: list[WaitingSession] = []

    def look(
        waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
    ) -> CoordinatorChange:
        seen.append(waiting)
        assert set(presignatures) == set(pooled(2))
        return go_on(waiting, presignatures)

    await coordinator.serve(pool(), 10, look)
    asked = request("asks for mine")
    expected = WaitingSession(
        session=session, count=2, request=asked.body, signature=asked.signature
    )
    assert seen == [expected]


async def test_so_many_are_served_at_once(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(9))
    await line_up(coordinator, *"abc")
    for names in ["ab", "c", ""]:
        changes = await coordinator.serve(pool(), 2, go_on)
        assert [change.session_id for change in changes] == ids(*names)


async def test_only_that_pool_s_line_is_served(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2), pooled(2, "1,3", "second"))
    await line_up(coordinator, "mine")
    for other in [pool("1,3"), pool(epoch=1), pool(key_session=session_id("other"))]:
        assert await coordinator.serve(other, 10, go_on) == []
    (change,) = await coordinator.serve(pool(), 10, go_on)
    assert given([change])[0][0] == session_id("batch")


async def test_whoever_is_over_is_not_served(coordinator: CoordinatorStore) -> None:
    await stock(coordinator, pooled(2))
    await line_up(coordinator, "mine", "theirs")
    over = coordinator_change("mine", expected_version=1, cause="2", status="cancelled")
    await coordinator.commit(over)
    (change,) = await coordinator.serve(pool(), 10, go_on)
    assert change.session_id == session_id("theirs")


async def test_nobody_is_served_if_one_of_them_cannot_go_on(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(3))
    await line_up(coordinator, *"abc")
    before = await raw.everything()

    def fails_at_last(
        waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
    ) -> CoordinatorChange:
        if waiting.session.session_id == session_id("c"):
            raise ValueError("unreadable")
        return go_on(waiting, presignatures)

    with pytest.raises(ValueError, match="unreadable"):
        await coordinator.serve(pool(), 10, fails_at_last)
    assert await raw.everything() == before
    assert len(await coordinator.serve(pool(), 10, go_on)) == 3


async def test_whoever_was_served_is_leaving_until_it_says_so(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.use_pool(pool(), "svcA", "treasury", 10)
    await stock(coordinator, pooled(3))
    await line_up(coordinator, *"abcd")
    await line_up(coordinator, "e", count=64)
    assert await coordinator.leaving(pool(), 10) == []
    await coordinator.serve(pool(), 10, go_on)

    assert await coordinator.leaving(pool(), 10) == ids(*"abc")
    assert await coordinator.leaving(pool(), 2) == ids(*"ab")
    assert await coordinator.leaving(pool("1,3"), 2) == []
    (record,) = await coordinator.pools(0)
    assert (record.stock, record.waiting, record.leaving) == (0, 65, 3)
    await coordinator.stop_waiting(ids(*"ac"))
    assert await coordinator.leaving(pool(), 10) == ids("b")
    assert await coordinator.waiters(pool(), 10) == [waiter("b"), waiter("d"), waiter("e", 64)]
    (record,) = await coordinator.pools(0)
    assert (record.waiting, record.leaving) == (65, 1)


async def test_two_who_serve_one_line_give_each_in_it_its_own(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    names = [f"session {number}" for number in range(24)]
    await stock(coordinator, pooled(20))
    await line_up(coordinator, *names)
    answers = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).serve(pool(), 5, go_on)
            for racer in range(6)
        )
    )
    places = given([change for changes in answers for change in changes])
    assert len(places) == len(set(places)) == 20
    served = [[change.session_id for change in changes] for changes in answers if changes]
    assert sorted(map(ids(*names).index, (first for first, *_ in served))) == [0, 5, 10, 15]
    assert {each for several in served for each in several} == set(ids(*names[:20]))


async def test_whoever_comes_while_others_wait_gets_what_they_leave(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await stock(coordinator, pooled(7))
    await wait_for(coordinator, "list", 4)
    await wait_for(coordinator, "another")
    assert await ask(coordinator, ["1,2"], 3) == ()
    assert len(await ask(coordinator, ["1,2"], 2)) == 2
    assert await ask(coordinator, ["1,2"]) == ()
    assert await left(raw) == 5


async def test_the_stock_is_counted_by_key_whether_its_pool_is_in_use_or_not(
    coordinator: CoordinatorStore,
) -> None:
    assert await coordinator.stock() == {}
    other = session_id("other key")
    await stock(
        coordinator,
        pooled(3),
        pooled(2, "1,3", "second"),
        pooled(1, batch="other", key_session=other),
    )
    assert await coordinator.stock() == {KEY: 5, other: 1}


###
### Batches
###


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
