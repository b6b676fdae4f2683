"""Worker processes that are stopped, killed, cut off and read: nothing is lost, nothing told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tomllib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from contracts import addresses
from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.chaos.wires import Wire
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.processes import Program, Supervisor
from ops.stack.services import Services
from tests.system.producers import Producer

KEY = "burst"
BURST = 60
PATIENCE_S = 60
GRACE_S = 60
"""For a process to end; its own is shorter."""


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    """Two processes per party, so that one can go; logging all that they ever log."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARREN_LOG_LEVEL", "DEBUG")
        plan = Plan(clients=("svcA", "svcB"), processes_per_party=2)
        with running_deployment(services, plan) as running:
            yield running


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected:
        yield connected


@pytest.fixture
async def producer(crew: Deployment) -> AsyncIterator[Producer]:
    async with Producer.connect(crew, "svcB") as connected:
        yield connected


async def start_again(crew: Deployment, *names: str) -> None:
    for name in names:
        crew.supervisor.start(crew.programs[name])
    await asyncio.to_thread(crew.supervisor.wait_ready)


async def ended(pid: int) -> int:
    return await asyncio.to_thread(psutil.Process(pid).wait, GRACE_S)


async def dead_letters(producer: Producer) -> list[tuple[Any, bytes]]:
    queue = await producer.desk.get_queue(addresses.DEAD_QUEUE)
    found = []
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        found.append((message.headers.get("warren-reason"), message.body))
    return found


async def test_workers_told_to_stop_under_load_lose_nothing_and_end_well(
    crew: Deployment, client: Client, producer: Producer
) -> None:
    await client.create_key(KEY, curve=Curve.ED25519, threshold=2, party_count=3)
    burst = [
        asyncio.create_task(
            client.sign(KEY, message=b"%d" % i, scheme=Scheme.ED25519, timeout_s=PATIENCE_S)
        )
        for i in range(BURST)
    ]
    await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
    stopped = ["coordinator.1", "party-1.1", "party-2.2", "party-3.1", "party-3.keygen.1"]
    pids = [crew.supervisor.pids[name] for name in stopped]
    assert not all(task.done() for task in burst)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    assert await asyncio.gather(*map(ended, pids)) == [0] * len(pids)
    await start_again(crew, *stopped)
    signed = await asyncio.gather(*burst)
    assert len({result.request_id for result in signed}) == BURST
    assert await dead_letters(producer) == []


async def results_of(producer: Producer, request_ids: set[str]) -> dict[str, set[bytes]]:
    """Every result that comes until each request has one, and a little longer."""
    found: defaultdict[str, set[bytes]] = defaultdict(set)
    queue = await producer.channel.get_queue(addresses.results_queue(producer.client_id))
    async with asyncio.timeout(PATIENCE_S), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            found[json.loads(message.body)["request_id"]].add(message.body)
            if found.keys() == request_ids:
                break
    await asyncio.sleep(0.5)
    while (late := await queue.get(fail=False, no_ack=True)) is not None:
        found[json.loads(late.body)["request_id"]].add(late.body)
    return found


async def made_key(producer: Producer) -> str:
    request = producer.body("keygen")
    await producer.send(request)
    assert (await producer.result(request["request_id"]))["status"] == "completed"
    return str(request["key_id"])


@pytest.mark.parametrize(
    "victims", [["coordinator.1"], ["party-1.1", "party-2.1", "party-2.keygen.1", "party-3.1"]]
)
async def test_every_request_has_one_result_when_processes_are_killed_in_a_burst(
    crew: Deployment, producer: Producer, victims: list[str]
) -> None:
    key_id = await made_key(producer)
    requests = [
        producer.body("sign", key_id=key_id, message=f"{i:04x}")
        if i % 10
        else producer.body("keygen")
        for i in range(BURST)
    ]
    for number, request in enumerate(requests):
        await producer.send(request)
        if number == BURST // 2:
            for name in victims:
                os.kill(crew.supervisor.pids[name], signal.SIGKILL)
    await start_again(crew, *victims)
    found = await results_of(producer, {request["request_id"] for request in requests})
    assert {len(bodies) for bodies in found.values()} == {1}
    statuses = {json.loads(body)["status"] for bodies in found.values() for body in bodies}
    assert statuses == {"completed"}
    assert await dead_letters(producer) == []


@pytest.fixture
async def cut_off(crew: Deployment, tmp_path: Path) -> AsyncIterator[tuple[Supervisor, Wire]]:
    """One more process of party-1, on a wire of its own."""
    own = crew.amqp_urls["party-1"]
    async with Wire(own) as wire:
        text = (crew.directory / "party-1.toml").read_text()
        assert own in text
        config = crew.directory / "party-1-on-a-wire.toml"
        config.write_text(text.replace(own, wire.url))
        with Supervisor(tmp_path / "logs") as supervisor:
            supervisor.start(
                Program(
                    name="party-1.wire",
                    arguments=("-m", "ops.cli", "party", "run", "--config", str(config)),
                )
            )
            await asyncio.to_thread(supervisor.wait_ready)
            yield supervisor, wire
            await asyncio.to_thread(supervisor.stop)  # while the wire still works


@pytest.mark.parametrize("silent", [False, True])
async def test_a_worker_whose_broker_is_away_ends_well_when_told_to(
    cut_off: tuple[Supervisor, Wire], silent: bool
) -> None:
    supervisor, wire = cut_off
    if silent:
        await wire.freeze()
    else:
        await wire.cut()
    await asyncio.sleep(0.5)
    pid = supervisor.pids["party-1.wire"]
    os.kill(pid, signal.SIGTERM)
    assert await ended(pid) == 0


async def test_a_worker_whose_connection_was_cut_comes_back(
    crew: Deployment, client: Client, cut_off: tuple[Supervisor, Wire]
) -> None:
    _, wire = cut_off
    await wire.cut()
    await wire.mend()
    stopped = ("party-1.1", "party-1.2", "party-1.keygen.1")
    for name in stopped:
        os.kill(crew.supervisor.pids[name], signal.SIGTERM)
        await ended(crew.supervisor.pids[name])
    try:
        # Of party-1 nobody else is left.
        made = await client.create_key(
            "after-the-cut", curve=Curve.ED25519, threshold=2, party_count=3, timeout_s=PATIENCE_S
        )
        assert [holder.party_id for holder in made.facts.holders] == list(crew.plan.party_ids)
    finally:
        await start_again(crew, *stopped)


def secrets_of(crew: Deployment) -> dict[str, str]:
    """Everything that must not stand in a log, by what it is."""
    found = {path.name: path.read_text().strip() for path in crew.directory.glob("*.key")}
    for path in crew.directory.glob("*.master"):
        found[path.name] = next(iter(tomllib.loads(path.read_text()).values()))
    urls = [("amqp", crew.amqp_url), *crew.amqp_urls.items(), *crew.database_urls.items()]
    for name, url in urls:
        if (password := urlsplit(url).password) is not None:
            found[f"password of {name}"] = password
    return found


async def test_no_log_holds_a_secret(crew: Deployment, producer: Producer) -> None:
    await producer.send_bytes(b"{}", operation="sign", message_id="m")
    assert await producer.refusal()
    key_id = await made_key(producer)
    request = producer.body("sign", key_id=key_id)
    await producer.send(request)
    await producer.result(request["request_id"])

    secrets = secrets_of(crew)
    assert len(secrets) >= 3 + 2 + 3 + 1
    logs = {path.name: path.read_text() for path in (crew.directory / "logs").glob("*.log")}
    assert set(logs) >= {f"{name}.log" for name in crew.programs}
    assert any('"event": "message refused"' in text for text in logs.values())
    for log, text in logs.items():
        for name, secret in secrets.items():
            assert secret not in text, f"{name} in {log}"
        assert '"level": "error"' not in text, f"a bug showed in {log}"
