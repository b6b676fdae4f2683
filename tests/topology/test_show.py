from __future__ import annotations

import json
from dataclasses import replace

from rich.console import Console

from tests.topology.doubles import NOTHING, found, of
from topology.model import Binding, Depth, Exchange, Policy, Queue
from topology.plan import Plan, difference
from topology.show import as_json, as_text

WORK = Exchange(name="work", type="topic")
JOBS = Queue(name="jobs")
# What rich would take for markup.
BOUND = Binding(source="work", destination="jobs", key="[red]x[/]")
LIMITS = Policy(
    name="limits",
    pattern="^jobs$",
    applies_to="queues",
    definition=(("delivery-limit", 10), ("overflow", "drop-head")),
    priority=10,
)
ALL = (WORK, JOBS, LIMITS, BOUND)


def lines(plan: Plan) -> list[str]:
    console = Console(width=500, highlight=False)
    with console.capture() as captured:
        console.print(as_text(plan, vhost="v"))
    return captured.get().splitlines()


def test_a_plan_reads_as_a_diff() -> None:
    assert lines(difference(of(*ALL), NOTHING)) == [
        "+ vhost v  [risk none]",
        "+ exchange work (topic)  [risk none]",
        "+ queue jobs (quorum)  [risk none]",
        "+ policy limits for queues ^jobs$  [risk none]",
        "+ binding work -> jobs by [red]x[/]  [risk low: messages go there that did not]",
        "~ the record of what is ours: 4 things  [risk none]",
        "vhost v: 5 to create, 1 to update",
    ]


def test_an_edit_shows_what_was_and_what_will_be() -> None:
    before = replace(LIMITS, priority=0, definition=(("delivery-limit", 5), ("max-length", 1)))
    assert lines(difference(of(*ALL), found(WORK, JOBS, before, BOUND))) == [
        "~ policy limits: delivery-limit 5 -> 10; max-length 1 -> unset; "
        "overflow unset -> drop-head; priority 0 -> 10  "
        "[risk low: holds at once, also for messages that are there]",
        "vhost v: 1 to update",
    ]


def test_what_stays_is_listed_apart_from_what_changes() -> None:
    stranger = Queue(name="q")
    state = found(*ALL, stranger, owned=frozenset(one.ref for one in ALL))
    assert lines(difference(of(WORK), state)) == [
        "No longer declared, kept as it is; apply --prune removes it:",
        "    binding work -> jobs by [red]x[/]",
        "    policy limits",
        "    queue jobs",
        "Not declared and not ours, left alone:",
        "    queue q",
        "vhost v: no changes",
    ]


def test_a_conflict_says_what_to_do_and_that_nothing_happens() -> None:
    said = lines(difference(of(*ALL), found(replace(JOBS, type="classic"))))
    assert "! queue jobs: RabbitMQ cannot change it: type is classic, declared quorum" in said
    remedy = next(line for line in said if line.startswith("    what to do: "))
    assert "warren topology migrate-queue jobs" in remedy
    assert said[-1] == "vhost v: blocked, nothing will be changed"


def test_what_pruning_must_keep_is_told_with_its_reason() -> None:
    state = found(*ALL, depths={"jobs": Depth(messages=2)})
    said = lines(difference(of(WORK), state, prune=True))
    assert "! queue jobs is kept: it holds 2 messages; drain it first, or --lose jobs" in said
    assert said[-1] == "vhost v: 1 to update, 1 to delete, some kept"


def test_json_holds_every_part_of_a_plan() -> None:
    before = replace(LIMITS, priority=0)
    state = found(replace(WORK, type="direct"), before, Queue(name="q"), owned=frozenset())
    said = json.loads(json.dumps(as_json(difference(of(*ALL), state), vhost="v")))
    assert [(one["action"], one["kind"], one["name"]) for one in said["changes"]] == [
        ("create", "queue", "jobs"),
        ("update", "policy", "limits"),
        ("create", "binding", "work -> jobs by [red]x[/]"),
        ("update", "ownership", "v"),
    ]
    assert said["changes"][0]["type"] == "quorum"
    assert said["changes"][1]["before"]["priority"] == 0
    assert said["changes"][1]["definition"] == {"delivery-limit": 10, "overflow": "drop-head"}
    assert said["changes"][2]["key"] == "[red]x[/]"
    assert said["conflicts"][0]["name"] == "work"
    assert said["drift"] == [{"kind": "queue", "name": "q"}]
    assert said["held"] == said["retired"] == []
    assert said["vhost"] == "v"
