"""Against a real broker, each test in a vhost of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aio_pika
import pytest
from typer.testing import CliRunner

from ops.stack import vhosts
from ops.stack.services import Services
from tests.patience import until
from topology import BlockedError, apply_all, declared
from topology.apply import apply
from topology.broker import Broker, QueueInUseError
from topology.cli import app
from topology.management import Management
from topology.model import Binding, Exchange, Members, Policy, Queue, Topology
from topology.plan import Action, Change, Ownership, Plan, difference

# One after another: an administrator that one test makes is drift to every other.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("administrators")]

MEMBERS = Members(parties=("p1", "p-2"), clients=("svcA", "svc-a", "svc_a"))
PARTIES_ONLY = Members(parties=MEMBERS.parties)


@dataclass
class Vhost:
    name: str
    url: str
    amqp_url: str
    management: Management
    broker: Broker

    def declared(self, members: Members = MEMBERS) -> Topology:
        return declared(members, vhost=self.name)

    async def plan(self, topology: Topology, *, prune: bool = False) -> Plan:
        return difference(topology, await self.broker.found(), prune=prune)

    async def apply(self, members: Members = MEMBERS) -> Plan:
        return await apply_all(self.url, members=members, vhost=self.name)

    async def make(self, resource: Exchange | Queue | Policy | Binding) -> None:
        """What somebody else does by hand."""
        await self.broker.make(Change(action=Action.CREATE, target=resource))

    async def connect(self) -> aio_pika.abc.AbstractConnection:
        parts = urlsplit(self.amqp_url)
        path = f"/{quote(self.name, safe='')}"
        return await aio_pika.connect(urlunsplit(parts._replace(path=path)))


@pytest.fixture
async def vhost(services: Services) -> AsyncIterator[Vhost]:
    # With a slash, which has to be quoted everywhere.
    name = f"topology/{secrets.token_hex(4)}"
    async with Management(services.management_url) as management:
        broker = Broker(management, vhost=name)
        yield Vhost(name, services.management_url, services.amqp_url, management, broker)
        vhosts.delete(services.management_url, name)


async def publish(
    vhost: Vhost, exchange: str, key: str, body: bytes = b"{}", *, count: int = 1
) -> None:
    connection = await vhost.connect()
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        where = await channel.get_exchange(exchange) if exchange else channel.default_exchange
        for _ in range(count):
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await where.publish(message, key, mandatory=True)


async def depth(vhost: Vhost, queue: str) -> int:
    """The exact number of messages that are ready."""
    connection = await vhost.connect()
    async with connection:
        channel = await connection.channel()
        asked = await channel.declare_queue(queue, passive=True)
        return asked.declaration_result.message_count or 0


async def test_a_new_vhost_becomes_as_declared_and_the_second_plan_is_empty(vhost: Vhost) -> None:
    plan = await vhost.apply()
    assert all(change.action is Action.CREATE for change in plan.changes[:-1])
    assert await vhost.plan(vhost.declared()) == Plan(changes=())
    found = await vhost.broker.found()
    assert found.topology == vhost.declared()
    assert found.owned == frozenset(vhost.declared().by_ref())


async def test_applying_twice_changes_nothing(vhost: Vhost) -> None:
    await vhost.apply()
    assert (await vhost.apply()).changes == ()


async def test_every_queue_runs_under_the_policy_the_files_give_it(vhost: Vhost) -> None:
    await vhost.apply()
    topology = vhost.declared()

    async def effective() -> dict[str, object]:
        queues = await vhost.management.get("queues/{}", vhost.name)
        return {queue["name"]: queue.get("policy") for queue in queues}

    wanted = {
        queue.name: next(policy.name for policy in topology.policies if policy.covers(queue))
        for queue in topology.queues
    }

    # RabbitMQ applies policies, and reports them, in its own time.
    async def as_wanted() -> bool:
        return await effective() == wanted

    await until(as_wanted)


@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        ("warren.requests", "mpc.signing_request", "warren.requests.signing"),
        ("warren.sessions", "p-2", "warren.inbox.p-2"),
        ("warren.rounds", "p-2", "warren.inbox.p-2"),
        ("warren.reports", "done.p1", "warren.reports"),
        ("warren.results", "mpc.mpc_signing_result.complete", "warren.legacy-results"),
        ("warren.results", "mpc.mpc_signing_result.svc-a.complete", "warren.results.svc-a"),
        ("warren.results", "mpc.mpc_signing_result.svc_a.complete", "warren.results.svc_a"),
        ("warren.results", "mpc.mpc_signing_result.nobody.complete", "warren.unclaimed"),
    ],
)
async def test_a_message_arrives_in_its_queue_and_in_no_other(
    vhost: Vhost, exchange: str, key: str, queue: str
) -> None:
    await vhost.apply()
    await publish(vhost, exchange, key)
    depths = {one.name: await depth(vhost, one.name) for one in vhost.declared().queues}
    assert {name for name, count in depths.items() if count} == {queue}
    assert depths[queue] == 1


async def test_a_rejected_message_becomes_a_dead_letter_with_its_reason(vhost: Vhost) -> None:
    await vhost.apply()
    await publish(vhost, "warren.rounds", "p1", b"junk")
    connection = await vhost.connect()
    async with connection:
        channel = await connection.channel()
        inbox = await channel.get_queue("warren.inbox.p1", ensure=False)
        await (await inbox.get()).reject(requeue=False)
        dead = await channel.get_queue("warren.dead", ensure=False)

        async def arrived() -> bool:
            return await depth(vhost, "warren.dead") == 1

        await until(arrived)
        letter = await dead.get()
        assert letter.body == b"junk"
        assert letter.routing_key == "p1"
        # A list of tables, whatever the client's stub calls it.
        deaths: Any = letter.headers["x-death"]
        assert deaths[0]["reason"] == "rejected"
        assert deaths[0]["queue"] == "warren.inbox.p1"
        await letter.ack()


async def test_an_edited_policy_is_changed_in_place_and_no_message_moves(vhost: Vhost) -> None:
    await vhost.apply()
    await publish(vhost, "warren.rounds", "p1")
    (before,) = [one for one in vhost.declared().policies if one.name == "warren-inboxes"]
    await vhost.make(
        Policy(
            name=before.name,
            pattern=before.pattern,
            applies_to="all",
            definition=(("delivery-limit", 3),),
            priority=0,
        )
    )
    plan = await vhost.plan(vhost.declared())
    assert [(change.action, change.target) for change in plan.changes] == [(Action.UPDATE, before)]
    await vhost.apply()
    assert await vhost.plan(vhost.declared()) == Plan(changes=())
    assert await depth(vhost, "warren.inbox.p1") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        Queue(name="warren.reports", type="classic"),
        Queue(name="warren.reports", arguments=(("x-max-length", 5),)),
        Exchange(name="warren.reports", type="direct"),
        Exchange(name="warren.reports", type="topic", arguments=(("alternate-exchange", "x"),)),
    ],
)
async def test_what_cannot_be_changed_blocks_and_nothing_is_touched(
    vhost: Vhost, wrong: Exchange | Queue
) -> None:
    await vhost.management.send("PUT", "vhosts/{}", vhost.name, body={})
    await vhost.make(wrong)
    before = await vhost.broker.found()
    with pytest.raises(BlockedError, match=r"warren\.reports: RabbitMQ cannot change it"):
        await vhost.apply()
    # Depths are statistics: the broker tells them when it has them.
    after = replace(await vhost.broker.found(), depths=before.depths)
    assert after == before


async def test_what_others_made_is_shown_and_left_alone(vhost: Vhost) -> None:
    await vhost.apply()
    await vhost.make(Queue(name="handmade", type="classic"))
    bound = Binding(
        source="warren.results", destination="handmade", key="x.#", arguments=(("a", 1),)
    )
    await vhost.make(bound)
    plan = await vhost.plan(vhost.declared(), prune=True)
    assert plan.changes == ()
    assert set(plan.drift) == {Queue(name="handmade").ref, bound.ref}


async def test_a_workers_own_exclusive_queue_is_no_drift(vhost: Vhost) -> None:
    await vhost.apply()
    connection = await vhost.connect()
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("warren.cancel.p1.x1", exclusive=True)
        await queue.bind("warren.cancel")
        assert await vhost.plan(vhost.declared()) == Plan(changes=())


async def test_the_wrong_members_file_takes_no_clients_results_away(vhost: Vhost) -> None:
    await vhost.apply()
    plan = await vhost.apply(PARTIES_ONLY)
    assert plan.changes == ()
    await publish(vhost, "warren.results", "mpc.mpc_signing_result.svcA.complete")
    assert await depth(vhost, "warren.results.svcA") == 1
    assert (await vhost.apply()).changes == ()


async def test_pruning_deletes_what_is_empty_and_keeps_what_is_not(vhost: Vhost) -> None:
    await vhost.apply()
    await publish(vhost, "warren.results", "mpc.mpc_signing_result.svcA.complete")
    # No settling: the counts may still say "empty", and the queue itself has to be asked.
    plan = await vhost.plan(vhost.declared(PARTIES_ONLY), prune=True)
    applied = await apply(plan, vhost.broker, settle_s=0)
    held = {one.ref for one in (*plan.held, *applied.held)}
    assert Queue(name="warren.results.svcA").ref in held
    after = await vhost.broker.found()
    results = {queue.name for queue in after.topology.queues if ".results." in queue.name}
    assert results == {"warren.results.svcA"}
    assert await depth(vhost, "warren.results.svcA") == 1
    # It is unbound now, so it can be drained; new results of the client are unclaimed.
    await publish(vhost, "warren.results", "mpc.mpc_signing_result.svcA.complete")
    assert await depth(vhost, "warren.unclaimed") == 1


async def test_a_message_that_the_statistics_do_not_know_saves_its_queue(vhost: Vhost) -> None:
    await vhost.apply()
    await publish(vhost, "", "warren.reports")
    queue = Change(action=Action.DELETE, target=Queue(name="warren.reports"))
    with pytest.raises(QueueInUseError, match="holds"):
        await vhost.broker.make(queue)
    assert await depth(vhost, "warren.reports") == 1


async def test_a_consumer_saves_its_queue(vhost: Vhost) -> None:
    await vhost.apply()
    connection = await vhost.connect()
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue("warren.reports", ensure=False)

        async def ignore(_: aio_pika.abc.AbstractIncomingMessage) -> None:
            """Nothing will come."""

        await queue.consume(ignore)
        deletion = Change(action=Action.DELETE, target=Queue(name="warren.reports"))

        # The management API learns of consumers from statistics, seconds later.
        async def known() -> bool:
            found = await vhost.management.get("queues/{}/{}", vhost.name, "warren.reports")
            return bool(found.get("consumer_details"))

        await until(known)
        with pytest.raises(QueueInUseError, match="1 consumers"):
            await vhost.broker.make(deletion)


async def test_every_removal_works_on_the_broker(vhost: Vhost) -> None:
    await vhost.apply()
    plan = await vhost.plan(Topology(), prune=True)
    await apply(plan, vhost.broker, settle_s=0)
    after = await vhost.broker.found()
    assert after.topology == Topology()
    assert after.owned == frozenset()


async def test_every_change_can_be_made_twice(vhost: Vhost) -> None:
    topology = vhost.declared()
    for prune in (False, True):
        plan = await vhost.plan(Topology() if prune else topology, prune=prune)
        for change in plan.changes:
            await vhost.broker.make(change)
            await vhost.broker.make(change)
    assert (await vhost.broker.found()).topology == Topology()


async def test_a_vhost_made_anew_forgets_what_was_ours_in_the_old_one(vhost: Vhost) -> None:
    await vhost.apply()
    await vhost.management.send("DELETE", "vhosts/{}", vhost.name)
    assert (await vhost.broker.found()).owned == frozenset()
    await vhost.apply()
    assert await vhost.plan(vhost.declared()) == Plan(changes=())


async def test_the_record_is_read_back_as_it_was_written(vhost: Vhost) -> None:
    await vhost.management.send("PUT", "vhosts/{}", vhost.name, body={})
    refs = frozenset(
        {
            Queue(name="q").ref,
            Binding(source="s", destination="q", key="a.*.#", arguments=(("x", 1),)).ref,
        }
    )
    record = Ownership(vhost=vhost.name, refs=refs)
    await vhost.broker.make(Change(action=Action.UPDATE, target=record))
    assert (await vhost.broker.found()).owned == refs


async def test_the_command_line_says_what_it_did_and_exits_accordingly(
    vhost: Vhost, tmp_path: Path
) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")
    environment = {
        "WARREN_MANAGEMENT_URL": vhost.url,
        "WARREN_VHOST": vhost.name,
        "WARREN_BROKER_SECRETS": str(tmp_path / "secrets"),
    }

    async def run(*arguments: str) -> tuple[int, str]:
        # The commands have event loops of their own.
        result = await asyncio.to_thread(
            CliRunner().invoke, app, [*arguments, "--members", str(members)], env=environment
        )
        return result.exit_code, result.stdout

    code, said = await run("plan")
    assert code == 2
    assert "+ queue warren.inbox.p1 (quorum)" in said
    code, said = await run("apply")
    assert code == 0
    assert "+ queue warren.inbox.p1 (quorum)" in said
    assert await run("plan") == (0, f"vhost {vhost.name}: no changes\n")
    assert await run("apply") == (0, f"vhost {vhost.name}: no changes\n")

    await vhost.make(
        Policy(
            name="mine", pattern="", applies_to="all", definition=(("max-length", 5),), priority=99
        )
    )
    for command in ("plan", "apply", "drift"):
        code, said = await run(command)
        assert code == 3
        assert "! policy mine: it has priority 99" in said
        code, said = await run(command, "--json")
        assert code == 3
        assert json.loads(said)["conflicts"][0]["name"] == "mine"
