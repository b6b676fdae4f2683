"""What is kept of a message that is moved, and what is told to whom. On a real broker."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import Counter

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp import commands
from typer.testing import CliRunner

from tests.patience import until
from tests.topology.migration.scene import (
    CLASSIC,
    QUORUM,
    Consumer,
    Publisher,
    Scene,
    meanwhile,
)
from topology.cli import app
from topology.migration.conduct import WaitingError
from topology.migration.contents import Content, RawProperties, tag_of
from topology.migration.findings import RefusedError
from topology.model import Policy, Queue


def _table(*entries: tuple[bytes, bytes]) -> bytes:
    """Properties with headers as they are written here: each name, type and value."""
    body = b"".join(bytes([len(name)]) + name + value for name, value in entries)
    return struct.pack(">HI", 1 << 13, len(body)) + body


UNUSUAL = [
    # Integers of three sizes, which a library would write as one.
    _table(
        (b"a", b"l" + struct.pack(">q", 5)), (b"b", b"s" + struct.pack(">h", 5)), (b"c", b"b\5")
    ),
    _table((b"CC", b"A" + struct.pack(">I", 0)), (b"d", b"d" + struct.pack(">d", 0.1))),
    # In the order of their names, as the broker writes them.
    _table((b"v", b"V"), (b"x", b"x" + struct.pack(">I", 3) + b"\0\xff\0")),
    struct.pack(">H", 1 << 3) + b"\x02\xff\xfe",  # an app_id that is no text
    struct.pack(">H", 0),
]


async def test_messages_are_moved_to_the_byte(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    user = scene.management.user
    usual = commands.Basic.Properties(
        content_type="text/x", delivery_mode=2, priority=3, message_id="m", user_id=user
    ).marshal()
    async with scene.raw() as channel:
        for number, raw in enumerate([*UNUSUAL, bytes(usual)] * 2):
            await channel.basic_publish(
                b"%d" % number,
                exchange="work",
                routing_key="job.a" if number % 2 else "job.urgent",
                properties=RawProperties(raw, str(number)),
            )
        # What they are is what the broker makes of them, so look at them once, and give them back.
        seen = [await channel.basic_get("jobs") for _ in range(12)]
        await channel.basic_nack(tag_of(seen[-1]), multiple=True)
    scene.say(QUORUM)
    await scene.migrate()
    after = await scene.taken("jobs")
    # From RabbitMQ 4.0 on a quorum queue gives what has a priority first.
    with_priority = [int(one.body) for one in after if one.properties == usual]
    others = [int(one.body) for one in after if one.properties != usual]
    assert (with_priority, others) == ([5, 11], [0, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    in_order = sorted(after, key=lambda one: int(one.body))
    assert [one.properties for one in in_order] == [*UNUSUAL, usual] * 2
    assert Counter(one.routing_key for one in after) == {"job.a": 6, "job.urgent": 6}


async def test_dead_letters_keep_their_history(scene: Scene) -> None:
    scene.say(QUORUM)  # RabbitMQ 3.10 holds no policy with a delivery limit for a classic queue
    await scene.apply()
    await scene.send(b"bad")
    async with scene.raw() as channel:
        message = await channel.basic_get("jobs")
        await channel.basic_reject(tag_of(message), requeue=False)
        await until(lambda: _has(scene, "dead", 1))
        letter = await channel.basic_get("dead")
        await channel.basic_nack(tag_of(letter))
        await until(lambda: _has(scene, "dead", 1))
    text = (scene.directory / "flow.yaml").read_text(encoding="utf-8")
    text = text.replace("  dead:\n    bindings:", "  dead:\n    type: classic\n    bindings:")
    (scene.directory / "flow.yaml").write_text(text, encoding="utf-8")
    await scene.migrate("dead", "dead")
    (after,) = await scene.taken("dead")
    assert after == Content.of(letter)
    assert b"x-first-death-reason" in after.properties
    # The broker's own long integer: a shorter one is what a library makes of it.
    assert b"countl" + struct.pack(">q", 1) in after.properties


async def _has(scene: Scene, queue: str, count: int) -> bool:
    return await scene.depth(queue) == count


async def test_an_old_queue_with_consumers_is_left_for_them_to_leave(scene: Scene) -> None:
    scene.say(QUORUM)
    await scene.apply()
    publisher, old = Publisher(scene, pace_s=0.005), Consumer(scene, "jobs")
    async with meanwhile(publisher):
        async with meanwhile(old):
            await until(lambda: len(old.got) > 20)
            scene.say(QUORUM, "jobs.v2")
            with pytest.raises(WaitingError, match="1 consumers wait at it"):
                await scene.migrate(new="jobs.v2")
        await scene.migrate(new="jobs.v2")
    new = Consumer(scene, "jobs.v2")
    async with meanwhile(new):
        await until(lambda: len(old.got) + len(new.got) >= publisher.sent)
    assert old.got + new.got == list(range(publisher.sent))
    found = await scene.broker.found()
    assert "jobs" not in {queue.name for queue in found.topology.queues}
    users = {user["name"] for user in await scene.management.get("users")}
    assert not {name for name in users if name.startswith(f"{scene.vhost}.migration")}


async def test_a_message_that_a_consumer_holds_keeps_its_queue(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    await scene.send(b"1")
    connection = await aio_pika.connect(scene.amqp)
    async with connection:
        channel = await connection.channel()
        jobs = await channel.get_queue("jobs", ensure=False)
        held = asyncio.Event()

        async def hold(_: AbstractIncomingMessage) -> None:
            held.set()

        await jobs.consume(hold)
        await held.wait()

        async def known() -> bool:
            told = await scene.management.get("queues/{}/{}", scene.vhost, "jobs")
            return bool(told.get("messages_unacknowledged"))

        await until(known)
        scene.say(QUORUM)
        with pytest.raises(WaitingError, match="do not say that they are done"):
            await scene.migrate(patience_s=1.0)
    # The connection is gone, so the message is back.
    await scene.migrate()
    assert len(await scene.taken("jobs")) == 1


async def test_another_migration_to_something_else_has_to_be_finished_first(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    scene.say(QUORUM)
    assert await scene.killed(at=("begun", "turn"))
    scene.say("\n    arguments:\n      x-single-active-consumer: true")
    with pytest.raises(RefusedError, match="finish it with the files as they were"):
        await scene.migrate()


async def test_a_wide_policy_of_others_forbids_it_and_nothing_changes(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    wide = Policy(
        name="wide", pattern="", applies_to="queues", definition=(("message-ttl", 5),), priority=-1
    )
    await scene.make(wide)
    before = (await scene.broker.found()).topology
    scene.say(QUORUM)
    with pytest.raises(RefusedError, match="policy wide would hold"):
        await scene.migrate()
    assert (await scene.broker.found()).topology == before


async def test_the_command_says_steps_and_risks_and_what_it_did(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    scene.say(QUORUM)
    environment = {
        "WARREN_MANAGEMENT_URL": scene.services.management_url,
        "WARREN_MIGRATION_AMQP": scene.services.amqp_url,
        "WARREN_VHOST": scene.vhost,
    }

    async def run(*arguments: str) -> tuple[int, str]:
        line = ["migrate-queue", *arguments, "--directory", str(scene.directory)]
        line += ["--members", str(scene.members())]
        result = await asyncio.to_thread(CliRunner().invoke, app, line, env=environment)
        return result.exit_code, result.stdout

    code, said = await run("jobs", "--dry-run")
    assert code == 0
    assert said.count("~ ") == 9
    assert "delete jobs, which is empty, and make it as declared  [risk high" in said
    assert await scene.queue() == Queue(name="jobs", type="classic")
    code, said = await run("jobs", "--json")
    assert code == 0
    told = json.loads(said)
    assert (told["done"], told["moved"], told["late"], told["perhaps_doubled"]) == (True, 0, 0, 0)
    assert await scene.queue() == Queue(name="jobs")
    code, said = await run("jobs")
    assert (code, said) == (
        3,
        "! queue jobs is what the files say already: there is nothing to change\n",
    )
    code, said = await run("nowhere", "--json")
    assert code == 3
    assert "is not declared" in json.loads(said)["reasons"][0]
