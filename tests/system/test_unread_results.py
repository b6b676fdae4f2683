"""A client id whose results nobody has read: 1,050 of them, at a whole Warren."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from typer.testing import CliRunner

from contracts import addresses
from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.cli.main import app
from ops.stack.deployment import Deployment
from tests.patience import until
from tests.system.conftest import UNREAD
from tests.system.producers import Producer

MANY = 1_050


@pytest.fixture
async def unread(deployment: Deployment) -> AsyncIterator[int]:
    """As many results in the queue, of questions that a process asked and did not wait for."""
    async with Producer.connect(deployment, UNREAD) as producer:
        for part in _parts(MANY, 50):
            await asyncio.gather(*(_ask(producer, number) for number in part))
        await until(lambda: _lie(deployment, MANY))
        yield MANY
        await (await producer.channel.get_queue(addresses.results_queue(UNREAD))).purge()


def _parts(count: int, size: int) -> list[range]:
    return [range(at, min(at + size, count)) for at in range(0, count, size)]


async def _ask(producer: Producer, number: int) -> None:
    await producer.send(producer.body("query_session", target=f"nothing-{number}"))


async def _lie(deployment: Deployment, count: int) -> bool:
    async with await aio_pika.connect(deployment.amqp_urls[UNREAD]) as connection:
        channel = await connection.channel()
        found = await channel.declare_queue(addresses.results_queue(UNREAD), passive=True)
        return (found.declaration_result.message_count or 0) >= count


async def told(deployment: Deployment, *arguments: str) -> Any:
    environment = {"WARREN_CLIENT_CONFIG": str(deployment.clients[UNREAD])}
    ended = await asyncio.to_thread(
        CliRunner().invoke, app, [*arguments, "--json"], env=environment
    )
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


async def test_a_thousand_results_that_nobody_reads_keep_nobody_waiting(
    deployment: Deployment, unread: int
) -> None:
    assert len((await told(deployment, "key", "list"))["keys"]) >= 0
    settings = ClientSettings.load(deployment.clients[UNREAD])
    async with Client.connect(settings) as client, Client.connect(settings) as other:
        key_id = f"unread-{unread}"
        await client.create_key(key_id, curve=Curve.ED25519, threshold=2, party_count=3)
        done = await asyncio.gather(
            *(
                each.sign(key_id, message=bytes([at]), scheme=Scheme.ED25519)
                for at in range(5)
                for each in (client, other)
            )
        )
        assert sorted(each.message or b"" for each in done) == sorted(
            bytes([at]) for at in [*range(5)] * 2
        )
    await until(lambda: _lie(deployment, MANY))  # nothing is lost

    listed = await told(deployment, "results", "list")
    # What took long may have been sent twice.
    assert {each["result"] for each in listed["results"]} <= {"query_session", "sign", "query_keys"}
    assert MANY <= listed["matching"] <= MANY + 2 * len(done) + 1
    one = next(each for each in listed["results"] if each["result"] == "query_session")
    shown = await told(deployment, "results", "show", one["request_id"])
    assert shown["content"]["failure"]["code"] == "unknown_request"
    gone = await told(deployment, "results", "discard", one["id"], "--yes")
    assert [each["request_id"] for each in gone["discarded"]] == [one["request_id"]]
    gone = await told(deployment, "results", "discard", "--all", "--yes")
    assert len(gone["discarded"]) == listed["matching"] - 1
    assert (await told(deployment, "results", "list"))["looked_at"] == 0
