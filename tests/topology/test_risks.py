"""Each line of a plan says what it may do to those who use the broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topology.doubles import NOTHING, found, of
from topology import declared
from topology.model import (
    Binding,
    Exchange,
    Members,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    UserLimits,
    VhostLimits,
)
from topology.names import pattern
from topology.plan import Action, Change, Target, difference
from topology.risks import Level, risk

USER = User(name="u")
PERMISSION = Permission(user="u", configure="^$", write=pattern(["a"]), read=pattern(["b"]))
TOPIC = TopicPermission(user="u", exchange="a", write=pattern(["k.{id}"]), read="^$")
POLICY = Policy(name="p", pattern="^x$", applies_to="queues", definition=(), priority=0)


def of_update(before: Target, after: Target) -> Level:
    return risk(Change(action=Action.UPDATE, target=after, before=before)).level


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        (PERMISSION, replace(PERMISSION, read=pattern(["b", "c"])), Level.LOW),
        (PERMISSION, replace(PERMISSION, read="^$"), Level.HIGH),
        (PERMISSION, replace(PERMISSION, read=pattern(["c"])), Level.HIGH),
        (replace(PERMISSION, read=".*"), PERMISSION, Level.HIGH),
        (PERMISSION, replace(PERMISSION, read=pattern(["{id}"])), Level.LOW),
        (TOPIC, replace(TOPIC, write=pattern(["k.x"])), Level.HIGH),
        (TOPIC, replace(TOPIC, write=pattern(["#"])), Level.LOW),
        (USER, replace(USER, tags=("monitoring",)), Level.LOW),
        (USER, replace(USER, new_password=True), Level.HIGH),
        (POLICY, replace(POLICY, priority=1), Level.LOW),
        (UserLimits(user="u", limits=()), UserLimits(user="u", limits=(("x", 1),)), Level.LOW),
        (VhostLimits(vhost="v", limits=()), VhostLimits(vhost="v", limits=(("x", 1),)), Level.LOW),
    ],
)
def test_whoever_loses_something_is_a_high_risk(
    before: Target, after: Target, level: Level
) -> None:
    assert of_update(before, after) is level


@pytest.mark.parametrize(
    ("target", "level"),
    [
        (Queue(name="q"), Level.HIGH),
        (Exchange(name="e", type="topic"), Level.HIGH),
        (USER, Level.HIGH),
        (PERMISSION, Level.HIGH),
        (TOPIC, Level.LOW),
        (Binding(source="e", destination="q"), Level.LOW),
        (POLICY, Level.LOW),
        (UserLimits(user="u", limits=()), Level.NONE),
    ],
)
def test_what_is_deleted(target: Target, level: Level) -> None:
    assert risk(Change(action=Action.DELETE, target=target)).level is level


def test_every_line_of_a_first_plan_has_its_risk_and_none_is_high() -> None:
    members = Members(parties=("p1",), clients=("svcA",))
    plan = difference(declared(members), NOTHING)
    assert {risk(change).level for change in plan.changes} == {Level.NONE, Level.LOW}
    assert all(risk(change).why for change in plan.changes if risk(change).level is Level.LOW)


def test_a_permission_is_never_wider_on_the_way() -> None:
    """Topic permissions come before the permissions that they narrow, and go after them."""
    permission, topic = PERMISSION, TOPIC
    made = [one.target for one in difference(of(USER, permission, topic), NOTHING).changes]
    assert made.index(topic) < made.index(permission)
    narrowed = replace(permission, write="^$")
    plan = difference(of(USER, narrowed), found(USER, permission, topic))
    assert [(one.action, one.target) for one in plan.changes[:2]] == [
        (Action.UPDATE, narrowed),
        (Action.DELETE, topic),
    ]


def test_what_a_declared_user_may_do_is_ours_whoever_gave_it() -> None:
    extra = replace(TOPIC, exchange="other")
    stranger = replace(TOPIC, user="stranger")
    state = found(
        USER,
        PERMISSION,
        TOPIC,
        extra,
        stranger,
        owned=frozenset(of(USER, PERMISSION, TOPIC).by_ref()),
    )
    plan = difference(of(USER, PERMISSION, TOPIC), state)
    assert [one.target for one in plan.changes] == [extra]
    assert plan.drift == (stranger.ref,)


def test_a_user_goes_with_all_it_may_do_in_one_step() -> None:
    state = found(USER, PERMISSION, TOPIC)
    assert difference(of(), state).retired == tuple(
        sorted(one.ref for one in (USER, PERMISSION, TOPIC))
    )
    pruned = difference(of(), state, prune=True)
    assert [one.target for one in pruned.changes if one.action is Action.DELETE] == [USER]
