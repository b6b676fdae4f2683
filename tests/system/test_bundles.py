"""Bundles in a whole Warren: who sends and gets them, and what a killed process loses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from contracts import addresses, bundles
from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.producers import Producer

BURST = 60
KEY = "bundled"
PATIENCE_S = 60
_COUNTED = re.compile(r'^warren_bundled_messages_total\{exchange="([^"]+)"\} ([0-9.e+]+)', re.M)


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB"), health=True).compact()
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
async def key(crew: Deployment) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key(KEY, curve=Curve.ED25519, threshold=2, party_count=3)


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    """One that takes bundles."""
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected:
        await until(lambda: connected._correspondence.takes_bundles)
        yield connected


@pytest.fixture
async def producer(crew: Deployment) -> AsyncIterator[Producer]:
    async with Producer.connect(crew, "svcB") as connected:
        yield connected


async def bundled(crew: Deployment, name: str) -> dict[str, float]:
    """By exchange, how many messages a process has sent in bundles."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        text = (await http.get(f"{crew.health_urls[name]}/metrics")).text
    return {exchange: float(count) for exchange, count in _COUNTED.findall(text)}


async def start_again(crew: Deployment, *names: str) -> None:
    for name in names:
        crew.supervisor.start(crew.programs[name])
    await asyncio.to_thread(crew.supervisor.wait_ready)


def burst(client: Client, count: int = BURST) -> list[asyncio.Task[SignResult]]:
    return [
        asyncio.create_task(
            client.sign(KEY, message=b"%d" % i, scheme=Scheme.ED25519, timeout_s=PATIENCE_S)
        )
        for i in range(count)
    ]


async def dead_letters(producer: Producer) -> list[object]:
    queue = await producer.desk.get_queue(addresses.DEAD_QUEUE)
    found: list[object] = []
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        found.append(message.headers.get("warren-reason"))
    return found


async def test_what_goes_between_workers_and_to_a_client_that_said_so_goes_in_bundles(
    crew: Deployment, client: Client, producer: Producer
) -> None:
    signed = await asyncio.gather(*burst(client))
    assert len({result.request_id for result in signed}) == BURST
    sent = await bundled(crew, "coordinator.1")
    assert sent.keys() >= {addresses.SESSIONS, addresses.RESULTS}
    parties = [await bundled(crew, f"party-{number}.1") for number in (1, 2, 3)]
    assert any(addresses.REPORTS in each for each in parties)
    assert await dead_letters(producer) == []


async def test_a_client_that_knows_nothing_of_bundles_gets_none(
    crew: Deployment, producer: Producer
) -> None:
    made = producer.body("keygen")
    await producer.send(made)
    assert (await producer.result(made["request_id"]))["status"] == "completed"
    before = await bundled(crew, "coordinator.1")
    requests = [
        producer.body("sign", key_id=made["key_id"], message=f"{i:04x}") for i in range(BURST)
    ]
    await asyncio.gather(*map(producer.send, requests))
    queue = await producer.channel.get_queue(addresses.results_queue("svcB"))
    wanted = {request["request_id"] for request in requests}
    async with asyncio.timeout(PATIENCE_S), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            assert message.content_type == "application/json"
            result = json.loads(message.body)
            assert result["status"] == "completed"
            wanted.discard(result["request_id"])
            if not wanted:
                break
    after = await bundled(crew, "coordinator.1")
    assert after.get(addresses.RESULTS) == before.get(addresses.RESULTS)
    assert after[addresses.SESSIONS] > before.get(addresses.SESSIONS, 0)


async def test_a_bundle_of_requests_is_a_dead_letter(producer: Producer) -> None:
    part = bundles.Part(message_id="", kind="sign", content_type="x", headers={}, body=b"{}")
    body = bundles.pack([part])
    await producer.send_bytes(body, operation="sign", message_id="m")
    assert (await producer.refusal())[1] == body


@pytest.mark.parametrize("victim", ["coordinator.1", "party-1.1"])
async def test_nothing_is_lost_when_a_process_is_killed_among_bundles(
    crew: Deployment, client: Client, producer: Producer, victim: str
) -> None:
    for _ in range(2):
        calls = burst(client)
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert not all(call.done() for call in calls)
        os.kill(crew.supervisor.pids[victim], signal.SIGKILL)
        await start_again(crew, victim)
        signed = await asyncio.gather(*calls)
        assert len({result.request_id for result in signed}) == BURST
    assert await dead_letters(producer) == []


async def test_workers_that_send_none_take_those_of_others(
    crew: Deployment, client: Client, producer: Producer
) -> None:
    """As in an upgrade, when all take bundles apart, and not all send them yet."""
    config = crew.directory / "party-1.toml"
    before = config.read_text()
    assert "bundles = true" in before
    config.write_text(before.replace("bundles = true", "bundles = false"))
    os.kill(crew.supervisor.pids["party-1.1"], signal.SIGKILL)
    await start_again(crew, "party-1.1")
    try:
        calls = [
            client.sign(KEY, message=b"%d" % i, scheme=Scheme.ED25519, signers=["party-1", other])
            for i in range(BURST // 2)
            for other in ("party-2", "party-3")
        ]
        assert len(await asyncio.gather(*calls)) == BURST
        assert await bundled(crew, "party-1.1") == {}
        assert await dead_letters(producer) == []
    finally:
        config.write_text(before)
        os.kill(crew.supervisor.pids["party-1.1"], signal.SIGKILL)
        await start_again(crew, "party-1.1")
