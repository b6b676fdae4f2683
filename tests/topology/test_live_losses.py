"""What would lose messages is refused until each queue is named: on a real broker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.patience import until
from tests.topology.realms import MEMBERS, NOBODY, Realm
from topology.apply import apply
from topology.cli import app
from topology.model import Policy, Queue, Topology
from topology.plan import Plan, difference

# One after another: an administrator that one test makes is drift to every other.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("administrators")]

RESULTS = "warren.results.svcA"


async def holds(realm: Realm, queue: str, count: int) -> None:
    """The management API learns of it from statistics, seconds later."""

    async def known() -> bool:
        depth = (await realm.broker.found()).depths.get(queue)
        return depth is not None and depth.messages == count and depth.bytes > 0

    await until(known)


async def messages(realm: Realm, queue: str) -> int:
    body = {"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"}
    got = await realm.management.send(
        "POST", "queues/{}/{}/get", realm.name, queue, body=body, missing_ok=True
    )
    return -1 if got is None else len(got)


async def test_a_queue_that_holds_messages_is_pruned_only_when_it_is_named(realm: Realm) -> None:
    await realm.apply()
    await realm.publish(RESULTS)
    await realm.publish("warren.results.shop")
    await holds(realm, RESULTS, 1)
    await holds(realm, "warren.results.shop", 1)
    plan = await realm.plan(NOBODY, prune=True)
    kept = {one.ref: one.why for one in plan.held}
    assert kept[Queue(name=RESULTS).ref] == (
        f"it holds 1 messages; drain it first, or --lose {RESULTS}"
    )
    plan = await realm.plan(NOBODY, prune=True, lose=frozenset([RESULTS]))
    assert Queue(name=RESULTS).ref not in {one.ref for one in plan.held}
    await apply(plan, realm.broker, settle_s=0)
    assert await messages(realm, RESULTS) == -1
    assert await messages(realm, "warren.results.shop") == 1


async def test_a_message_that_came_since_the_plan_is_lost_only_by_name(realm: Realm) -> None:
    await realm.apply()
    named = await realm.plan(NOBODY, prune=True, lose=frozenset([RESULTS]))
    unnamed = await realm.plan(NOBODY, prune=True)
    await realm.publish(RESULTS)
    applied = await apply(unnamed, realm.broker, settle_s=0)
    assert Queue(name=RESULTS).ref in {one.ref for one in applied.held}
    assert await messages(realm, RESULTS) == 1
    await holds(realm, RESULTS, 1)
    await apply(named, realm.broker, settle_s=0)
    assert await messages(realm, RESULTS) == -1


@pytest.mark.parametrize(
    ("limits", "lost"),
    [
        ({"max-length": 2}, "it holds 3, of which max-length would keep 2"),
        ({"max-length-bytes": 2}, "it holds {bytes}, of which max-length-bytes would keep 2"),
    ],
)
async def test_a_limit_that_drops_messages_is_refused_until_the_queue_is_named(
    realm: Realm, limits: dict[str, int], lost: str
) -> None:
    await realm.apply()
    await realm.publish("warren.dead", 3)
    await holds(realm, "warren.dead", 3)
    (old,) = [one for one in realm.declared().policies if one.name == "warren-dead"]
    definition = {**dict(old.definition), **limits}
    new: Policy = replace(old, definition=tuple(sorted(definition.items())))
    wanted = Topology.of([one for one in realm.declared().resources() if one != old] + [new])
    found = await realm.broker.found()
    # How many bytes a message has, releases count differently.
    lost = lost.format(bytes=found.depths["warren.dead"].bytes)
    (conflict,) = difference(wanted, found).conflicts
    assert (str(conflict.ref), conflict.text) == ("queue warren.dead", lost)
    assert conflict.remedy.endswith("--lose warren.dead")
    assert await messages(realm, "warren.dead") == 3

    plan = difference(wanted, found, lose=frozenset(["warren.dead"]))
    assert plan.conflicts == ()
    await apply(plan, realm.broker)

    async def dropped() -> bool:
        return await messages(realm, "warren.dead") < 3

    await until(dropped)


async def test_the_command_line_takes_the_names(realm: Realm, tmp_path: Path) -> None:
    await realm.apply()
    await realm.publish(RESULTS)
    members = tmp_path / "members.yaml"
    members.write_text("parties: [p1]\n", encoding="utf-8")
    environment = {
        "WARREN_MANAGEMENT_URL": realm.services.management_url,
        "WARREN_VHOST": realm.name,
    }

    async def run(*more: str) -> tuple[int, str]:
        arguments = ["apply", "--prune", "--members", str(members), *more]
        told = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        return told.exit_code, told.stdout

    code, said = await run("--lose", "warren.results.nobody")
    assert code == 3
    assert "queue warren.results.nobody: the broker has no such queue" in said
    code, said = await run()
    assert code == 3
    assert f"queue {RESULTS} is kept: " in said
    await holds(realm, RESULTS, 1)
    code, said = await run("--lose", RESULTS)
    assert code == 0
    assert f"- queue {RESULTS}  [risk high: its messages go with it, as was said]" in said
    assert await realm.plan(NOBODY) == Plan(changes=())
    assert await realm.plan(MEMBERS) != Plan(changes=())
