"""Which edits of a policy take messages away, by what a queue holds."""

from __future__ import annotations

import pytest

from tests.topology.doubles import found, of
from topology.model import Depth, Policy, Queue
from topology.plan import Conflict, Plan, difference

JOBS = Queue(name="jobs")
HELD = Depth(messages=5, bytes=50)


def limits(**definition: object) -> Policy:
    told = {key.replace("_", "-"): value for key, value in definition.items()}
    return Policy(
        name="limits",
        pattern="^jobs$",
        applies_to="queues",
        # Values of the types that RabbitMQ takes: the tests write no others.
        definition=tuple(sorted(told.items())),  # type: ignore[arg-type]
        priority=10,
    )


def planned(before: Policy, after: Policy, *, lose: frozenset[str] = frozenset()) -> Plan:
    return difference(of(JOBS, after), found(JOBS, before, depths={"jobs": HELD}), lose=lose)


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (limits(max_length=9), limits(max_length=5), ""),
        (
            limits(max_length=9),
            limits(max_length=4),
            "it holds 5, of which max-length would keep 4",
        ),
        (limits(priority=1), limits(max_length=4), "it holds 5, of which max-length would keep 4"),
        (limits(max_length=4), limits(max_length=4), ""),
        (limits(max_length=9), limits(max_length=4, overflow="reject-publish"), ""),
        (limits(max_length=9), limits(max_length=4, dead_letter_exchange="dead"), ""),
        (
            limits(max_length_bytes=99),
            limits(max_length_bytes=49),
            "it holds 50, of which max-length-bytes would keep 49",
        ),
        (limits(message_ttl=9), limits(message_ttl=9), ""),
        (limits(message_ttl=9), limits(message_ttl=10), ""),
        (limits(message_ttl=9), limits(max_length=9), ""),
        (
            limits(message_ttl=9),
            limits(message_ttl=8),
            "those of its 5 messages that are older than 8 ms may go",
        ),
        (
            limits(max_length=9),
            limits(max_length=3, message_ttl=8),
            "it holds 5, of which max-length would keep 3, and those of its 5 messages that are "
            "older than 8 ms may go",
        ),
    ],
)
def test_an_edit_that_takes_messages_is_a_conflict(
    before: Policy, after: Policy, lost: str
) -> None:
    assert [one.text for one in planned(before, after).conflicts] == ([lost] if lost else [])
    assert planned(before, after, lose=frozenset(["jobs"])).conflicts == ()


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (
            limits(max_length_bytes=99),
            limits(max_length_bytes=98),
            "it holds 5 messages of a size that the broker does not tell yet, of which "
            "max-length-bytes would keep 98 bytes",
        ),
        (limits(max_length_bytes=99), limits(max_length_bytes=100), ""),
        (limits(max_length=9), limits(max_length=8), ""),
    ],
)
def test_messages_whose_size_is_not_known_yet_may_be_too_many(
    before: Policy, after: Policy, lost: str
) -> None:
    state = found(JOBS, before, depths={"jobs": Depth(messages=5)})
    plan = difference(of(JOBS, after), state)
    assert [one.text for one in plan.conflicts] == ([lost] if lost else [])


def test_what_nobody_has_cannot_be_lost() -> None:
    plan = planned(limits(max_length=9), limits(max_length=4), lose=frozenset(["job", "jobs"]))
    assert plan.conflicts == (
        Conflict(
            ref=Queue(name="job").ref,
            text="the broker has no such queue whose messages could be lost",
            remedy="leave its name out",
        ),
    )


def test_an_empty_queue_loses_nothing() -> None:
    state = found(JOBS, limits(max_length=9), depths={"jobs": Depth()})
    assert difference(of(JOBS, limits(max_length=1)), state).conflicts == ()


def test_the_strongest_policy_is_the_one_that_counts() -> None:
    weak = Policy(
        name="weak",
        pattern="",
        applies_to="queues",
        definition=(("max-length", 1),),
        priority=0,
    )
    state = found(JOBS, weak, limits(max_length=4), depths={"jobs": HELD})
    assert difference(of(JOBS, weak, limits(max_length=4)), state).conflicts == ()
