from __future__ import annotations

import pytest

from tests.topology.doubles import NOTHING, FakeBroker, found, of
from topology.apply import BlockedError, apply
from topology.management import UnavailableError
from topology.model import Binding, Exchange, Policy, Queue
from topology.plan import Change, difference

WORK = Exchange(name="work", type="topic")
JOBS = Queue(name="jobs")
BOX = Queue(name="box")
LIMITS = Policy(
    name="limits",
    pattern="^jobs$",
    applies_to="queues",
    definition=(("delivery-limit", 10),),
    priority=10,
)
BOUND = Binding(source="work", destination="jobs", key="job")
ALL = (WORK, JOBS, LIMITS, BOUND)


async def test_each_change_is_told_as_it_is_made() -> None:
    plan = difference(of(*ALL), NOTHING)
    told: list[Change] = []
    applied = await apply(plan, FakeBroker.like(NOTHING), made=told.append)
    assert tuple(told) == plan.changes == applied.made
    assert applied.held == ()


async def test_a_conflict_stops_everything_and_says_what_to_do() -> None:
    state = found(Queue(name="jobs", type="classic"), owned=frozenset())
    broker = FakeBroker.like(state)
    with pytest.raises(BlockedError, match=r"queue jobs: .* What to do: .*migrate-queue jobs"):
        await apply(difference(of(*ALL), state), broker)
    assert broker.made == []


async def test_a_queue_that_filled_up_since_the_plan_keeps_what_it_needs() -> None:
    state = found(*ALL, BOX)
    broker = FakeBroker.like(state, busy=frozenset({"jobs"}))
    applied = await apply(difference(of(), state, prune=True), broker, settle_s=0)
    assert set(broker.resources) == {WORK.ref, JOBS.ref, LIMITS.ref}
    assert {held.ref for held in applied.held} == {WORK.ref, JOBS.ref, LIMITS.ref}
    # Still ours, so the next prune can finish.
    assert broker.owned == {WORK.ref, JOBS.ref, LIMITS.ref}


async def test_a_prune_that_was_held_up_finishes_the_next_time() -> None:
    state = found(*ALL)
    broker = FakeBroker.like(state, busy=frozenset({"jobs"}))
    await apply(difference(of(), state, prune=True), broker, settle_s=0)
    broker.busy = frozenset()
    await apply(difference(of(), broker.found(), prune=True), broker, settle_s=0)
    assert broker.resources == {}
    assert broker.owned == frozenset()


class _Failing(FakeBroker):
    """Goes away after a number of changes."""

    left: int

    async def make(self, change: Change) -> None:
        if self.left == 0:
            raise UnavailableError("gone")
        self.left -= 1
        await super().make(change)


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("prune", [False, True])
async def test_an_apply_cut_short_anywhere_is_finished_by_the_next(after: int, prune: bool) -> None:
    state = found(BOX, WORK, Binding(source="work", destination="box", key="k"))
    broker = _Failing.like(state)
    broker.left = after
    plan = difference(of(*ALL), broker.found(), prune=prune)
    assert len(plan.changes) <= 12
    if after < len(plan.changes):
        with pytest.raises(UnavailableError):
            await apply(plan, broker, settle_s=0)
    broker.left = 100
    await apply(difference(of(*ALL), broker.found(), prune=prune), broker, settle_s=0)
    kept = set() if prune else {BOX.ref, Binding(source="work", destination="box", key="k").ref}
    assert set(broker.resources) == {one.ref for one in ALL} | kept
    assert broker.owned == set(broker.resources)
