from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topology.doubles import NOTHING, FakeBroker, found, of
from topology.apply import apply
from topology.model import Binding, Depth, Exchange, Found, Policy, Queue, Ref, Resource, Topology
from topology.plan import Action, Change, Ownership, Plan, Vhost, difference

WORK = Exchange(name="work", type="topic")
JOBS = Queue(name="jobs")
BOX = Queue(name="box")
BOUND = Binding(source="work", destination="jobs", key="job")
BOX_BOUND = Binding(source="work", destination="box", key="box")


def policy(name: str, pattern: str, *, priority: int = 10, limit: int = 10) -> Policy:
    return Policy(
        name=name,
        pattern=pattern,
        applies_to="queues",
        definition=(("delivery-limit", limit),),
        priority=priority,
    )


LIMITS = policy("limits", "^jobs$")
ALL = (WORK, JOBS, LIMITS, BOUND)


def steps(plan: Plan) -> list[tuple[Action, Ref]]:
    """The changes without the record, which accompanies every other."""
    return [
        (change.action, change.target.ref)
        for change in plan.changes
        if not isinstance(change.target, Ownership)
    ]


def record(plan: Plan) -> frozenset[Ref]:
    (target,) = [one.target for one in plan.changes if isinstance(one.target, Ownership)]
    return target.refs


def test_a_new_broker_gets_everything_in_an_order_without_a_hole() -> None:
    plan = difference(of(*ALL), NOTHING)
    kinds = [change.target.ref.kind for change in plan.changes]
    assert kinds == ["vhost", "exchange", "queue", "policy", "binding", "ownership"]
    assert {change.action for change in plan.changes[:-1]} == {Action.CREATE}
    assert record(plan) == {one.ref for one in ALL}


def test_an_equal_broker_gets_nothing() -> None:
    assert difference(of(*ALL), found(*ALL)) == Plan(changes=())


def test_what_is_already_as_declared_is_adopted_by_the_record_alone() -> None:
    plan = difference(of(*ALL), found(*ALL, owned=frozenset()))
    assert [type(change.target) for change in plan.changes] == [Ownership]
    assert plan.drift == ()


@pytest.mark.parametrize(
    "edited",
    [
        policy("limits", "^jobs$", limit=5),
        policy("limits", "^jobs$", priority=11),
        policy("limits", "^(?:jobs)$"),
        replace(LIMITS, definition=(*LIMITS.definition, ("max-length", 1))),
        replace(LIMITS, applies_to="all"),
    ],
)
def test_an_edited_policy_is_updated_in_place(edited: Policy) -> None:
    plan = difference(of(WORK, JOBS, edited, BOUND), found(*ALL))
    assert plan.changes == (Change(action=Action.UPDATE, target=edited, before=LIMITS),)


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        (replace(JOBS, type="classic"), "type is classic, declared quorum"),
        (replace(JOBS, durable=False), "durable is False, declared True"),
        (replace(JOBS, auto_delete=True), "auto_delete is True, declared False"),
        (
            replace(JOBS, arguments=(("x-message-ttl", 5),)),
            "arguments is {'x-message-ttl': 5}, declared {}",
        ),
        (replace(WORK, type="direct"), "type is direct, declared topic"),
        (replace(WORK, durable=False), "durable is False, declared True"),
        (replace(WORK, auto_delete=True), "auto_delete is True, declared False"),
        (replace(WORK, internal=True), "internal is True, declared False"),
        (
            replace(WORK, arguments=(("alternate-exchange", "x"),)),
            "arguments is {'alternate-exchange': 'x'}, declared {}",
        ),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_what_rabbitmq_cannot_change_is_a_conflict_and_never_a_deletion(
    existing: Exchange | Queue, said: str, ours: bool
) -> None:
    others = [one for one in ALL if one.ref != existing.ref]
    state = found(existing, *others, owned=None if ours else frozenset())
    for prune in (False, True):
        plan = difference(of(*ALL), state, prune=prune)
        (conflict,) = plan.conflicts
        assert conflict.ref == existing.ref
        assert said in conflict.text
        is_queue = isinstance(existing, Queue)
        way = f"migrate-queue {existing.name} " if is_queue else f"{existing.name}.v2"
        assert way in conflict.remedy
        assert plan.blocked
        assert steps(plan) == []


def test_a_conflict_over_a_full_queue_does_not_advise_to_delete_it() -> None:
    wrong = replace(JOBS, type="classic")
    others = (WORK, LIMITS, BOUND)
    full = found(wrong, *others, depths={"jobs": Depth(messages=3)})
    empty = found(wrong, *others)
    assert "it holds 3 messages" in difference(of(*ALL), full).conflicts[0].remedy
    assert "delete_queue" not in difference(of(*ALL), full).conflicts[0].remedy
    assert "rabbitmqctl delete_queue --vhost v jobs" in (
        difference(of(*ALL), empty).conflicts[0].remedy
    )


def test_what_is_not_ours_is_drift_and_stays_even_when_pruning() -> None:
    stranger = (Exchange(name="x", type="fanout"), Queue(name="q", type="classic"))
    binding = Binding(source="x", destination="q")
    beside = policy("beside", "^q$")
    state = found(*ALL, *stranger, binding, beside, owned=frozenset(one.ref for one in ALL))
    for prune in (False, True):
        plan = difference(of(*ALL), state, prune=prune)
        assert plan.changes == ()
        assert set(plan.drift) == {one.ref for one in (*stranger, binding, beside)}
        assert not plan.blocked


@pytest.mark.parametrize(("priority", "overrules"), [(9, False), (10, True), (11, True)])
def test_a_foreign_policy_that_overrules_ours_blocks(priority: int, overrules: bool) -> None:
    stranger = policy("everything", ".*", priority=priority)
    state = found(*ALL, stranger, owned=frozenset(one.ref for one in ALL))
    plan = difference(of(*ALL), state)
    assert plan.blocked is overrules
    assert [conflict.ref for conflict in plan.conflicts] == [stranger.ref] * overrules
    assert plan.drift == (stranger.ref,)


def test_a_queue_no_longer_declared_keeps_its_bindings_and_policy() -> None:
    plan = difference(of(WORK), found(*ALL))
    assert plan.changes == ()
    assert set(plan.retired) == {JOBS.ref, BOUND.ref, LIMITS.ref}
    assert not plan.blocked


def test_pruning_unbinds_first_and_removes_policies_last() -> None:
    plan = difference(of(), found(*ALL), prune=True)
    assert [ref.kind for _, ref in steps(plan)] == ["binding", "queue", "exchange", "policy"]
    assert record(plan) == frozenset()


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (Depth(messages=2), "it holds 2 messages; drain it first, or --lose jobs"),
        (Depth(consumers=1), "it has 1 consumers; stop them first"),
    ],
)
def test_pruning_unbinds_a_queue_in_use_and_keeps_it_with_its_policy(
    depth: Depth, why: str
) -> None:
    plan = difference(of(), found(*ALL, depths={"jobs": depth}), prune=True)
    assert steps(plan) == [(Action.DELETE, BOUND.ref)]
    assert {held.ref: held.why for held in plan.held}[JOBS.ref] == why
    assert {held.ref for held in plan.held} == {JOBS.ref, WORK.ref, LIMITS.ref}
    assert record(plan) == {JOBS.ref, WORK.ref, LIMITS.ref}
    assert plan.blocked


def test_a_full_queue_does_not_hold_up_its_empty_neighbour() -> None:
    state = found(*ALL, BOX, BOX_BOUND, depths={"jobs": Depth(messages=1)})
    plan = difference(of(WORK), state, prune=True)
    assert (Action.DELETE, BOX.ref) in steps(plan)
    assert (Action.DELETE, JOBS.ref) not in steps(plan)


@pytest.mark.parametrize(
    "foreign",
    [
        Binding(source="work", destination="jobs", key="by-hand"),
        Binding(source="work", destination="jobs", key="job", arguments=(("x", 1),)),
    ],
)
def test_pruning_does_not_tear_off_a_foreign_binding(foreign: Binding) -> None:
    state = found(*ALL, foreign, owned=frozenset(one.ref for one in ALL))
    plan = difference(of(), state, prune=True)
    reasons = {held.ref: held.why for held in plan.held}
    assert reasons[JOBS.ref] == f"{foreign.ref} is not ours; remove it by hand first"
    assert reasons[WORK.ref] == reasons[JOBS.ref]
    assert (Action.DELETE, foreign.ref) not in steps(plan)


def test_a_stale_binding_of_a_declared_queue_is_removed_at_once() -> None:
    stale = Binding(source="work", destination="jobs", key="old")
    plan = difference(of(*ALL), found(*ALL, stale))
    assert steps(plan) == [(Action.DELETE, stale.ref)]


def test_a_new_binding_is_made_before_the_old_one_goes() -> None:
    moved = replace(BOUND, key="new")
    plan = difference(of(WORK, JOBS, LIMITS, moved), found(*ALL))
    assert steps(plan) == [(Action.CREATE, moved.ref), (Action.DELETE, BOUND.ref)]


def test_a_renamed_policy_does_not_leave_the_old_one_to_compete() -> None:
    renamed = replace(LIMITS, name="bounds")
    plan = difference(of(WORK, JOBS, renamed, BOUND), found(*ALL))
    assert steps(plan) == [(Action.CREATE, renamed.ref), (Action.DELETE, LIMITS.ref)]
    assert not plan.conflicts


def test_a_policy_that_covers_nothing_any_more_is_removed() -> None:
    idle = policy("idle", "^gone$")
    assert steps(difference(of(*ALL), found(*ALL, idle))) == [(Action.DELETE, idle.ref)]


def test_the_record_forgets_what_somebody_else_deleted() -> None:
    gone = Ref("queue", ("gone",))
    state = found(*ALL, owned=frozenset({gone, *(one.ref for one in ALL)}))
    plan = difference(of(*ALL), state)
    assert [type(change.target) for change in plan.changes] == [Ownership]
    assert gone not in record(plan)


###
### Whatever the files and the broker are
###

_names = st.sampled_from("abcd")


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    exchanges = draw(st.sets(_names))
    queues = draw(st.sets(_names))
    ends = [(source, queue) for source in sorted(exchanges) for queue in sorted(queues)]
    bindings = (
        draw(st.sets(st.tuples(st.sampled_from(ends), st.sampled_from("xy")), max_size=4))
        if ends
        else set()
    )
    # Disjoint, as the rules for files demand.
    covered = draw(st.sets(_names).map(sorted))
    split = draw(st.integers(0, len(covered)))
    name = draw(st.sampled_from(["p", "r"]))
    parts = {name: covered[:split], f"{name}2": covered[split:]}
    policies = [
        policy(name, f"^(?:{'|'.join(part)})$", limit=draw(st.integers(1, 2)))
        for name, part in parts.items()
        if part
    ]
    resources: list[Resource] = [
        *(Exchange(name=name, type="topic") for name in exchanges),
        *(Queue(name=name) for name in queues),
        *policies,
        *(Binding(source=end[0], destination=end[1], key=key) for end, key in bindings),
    ]
    return of(*resources)


@st.composite
def states(draw: st.DrawFn) -> Found:
    topology = draw(topologies())
    refs = sorted(topology.by_ref())
    foreign = draw(st.sets(st.sampled_from(refs), max_size=2)) if refs else set()
    depths = {
        queue.name: Depth(messages=draw(st.integers(0, 1)), consumers=draw(st.integers(0, 1)))
        for queue in topology.queues
    }
    owned = frozenset(refs) - foreign
    return found(*topology.resources(), owned=owned, depths=depths)


@given(topologies(), st.booleans())
def test_nothing_differs_from_itself(topology: Topology, prune: bool) -> None:
    assert difference(topology, found(*topology.resources()), prune=prune) == Plan(changes=())


@given(topologies(), states(), st.booleans())
def test_after_an_apply_there_is_nothing_left_to_do(
    declared: Topology, state: Found, prune: bool
) -> None:
    plan = difference(declared, state, prune=prune)
    if plan.conflicts:
        return
    broker = FakeBroker.like(state)
    asyncio.run(apply(plan, broker, settle_s=0))
    after = broker.found()
    assert difference(declared, after, prune=prune).changes == ()
    assert declared.by_ref().items() <= after.topology.by_ref().items()


@given(topologies(), states(), st.booleans())
def test_only_what_is_ours_and_not_declared_is_ever_deleted(
    declared: Topology, state: Found, prune: bool
) -> None:
    for change in difference(declared, state, prune=prune).changes:
        if change.action is Action.DELETE:
            assert change.target.ref in state.owned
            assert change.target.ref not in declared.by_ref()
            assert prune or change.target.ref.kind in ("binding", "policy")


@given(topologies(), states(), st.booleans())
def test_everything_found_is_declared_kept_or_deleted_and_only_one_of_them(
    declared: Topology, state: Found, prune: bool
) -> None:
    plan = difference(declared, state, prune=prune)
    deleted = [one.target.ref for one in plan.changes if one.action is Action.DELETE]
    kept = [*plan.retired, *(held.ref for held in plan.held)]
    said = sorted([*deleted, *kept, *plan.drift])
    assert said == sorted(state.topology.by_ref().keys() - declared.by_ref().keys())


def test_a_missing_vhost_is_made_before_anything_in_it() -> None:
    assert difference(of(), NOTHING).changes == (
        Change(action=Action.CREATE, target=Vhost(name="v")),
    )
