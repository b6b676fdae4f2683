"""A whole Warren whose databases are behind PgBouncer."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.bouncer import Bouncer, running_bouncer
from tests.patience import until
from tests.system.field.restarting import stop

SENTENCE = "set pool_mode = session for this database there"
CONFIGURATION = 2
BEHIND = ("coordinator.1", "party-1.1", "party-2.presigning.1")
LONG_S = 60


@pytest.fixture(scope="module")
def bouncer(services: Services) -> Iterator[Bouncer]:
    with running_bouncer(services.database_url, pool_mode="session") as running:
        yield running


@pytest.fixture(scope="module")
def crew(services: Services, bouncer: Bouncer) -> Iterator[Deployment]:
    behind = replace(services, database_url=bouncer.url(services.database_url))
    plan = Plan(clients=("svcA",), sqlite_parties=0, health=True)
    with running_deployment(behind, plan) as running:
        yield running


async def sign_with_all(client: Client, message: bytes) -> None:
    for key, scheme in (("ed", Scheme.ED25519), ("ec", Scheme.ECDSA)):
        await client.sign(key, message=message.ljust(32), scheme=scheme, timeout_s=LONG_S)


async def test_keys_are_made_and_sign_behind_it_and_after_it_was_started_anew(
    crew: Deployment, bouncer: Bouncer
) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
        await sign_with_all(client, b"before")
        bouncer.stop()
        bouncer.start()
        for number in range(3):
            await sign_with_all(client, b"after %d" % number)
    crew.supervisor.check()


async def ready(crew: Deployment, http: httpx.AsyncClient, name: str, words: str = "") -> bool:
    """Or, with words: not ready for that reason."""
    answer = await http.get(f"{crew.health_urls[name]}/health/ready")
    if words:
        return words in answer.json().get("reasons", {}).get("database", "")
    return answer.status_code == 200


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_workers_are_not_ready_once_it_shares_sessions_and_go_on_when_it_does_not(
    crew: Deployment, bouncer: Bouncer, mode: str
) -> None:
    async with (
        Client.connect(ClientSettings.load(crew.clients["svcA"])) as client,
        httpx.AsyncClient(timeout=LONG_S) as http,
    ):
        key = f"key-{mode}"
        await client.create_key(key, curve=Curve.ED25519, threshold=2, party_count=3)
        bouncer.change(pool_mode=mode)
        # What is asked for meanwhile waits, as while a database is away.
        late = asyncio.create_task(
            client.sign(key, message=b"late", scheme=Scheme.ED25519, timeout_s=600)
        )
        for name in BEHIND:
            await until(functools.partial(ready, crew, http, name, SENTENCE))
        bouncer.change(pool_mode="session")
        for name in BEHIND:
            await until(functools.partial(ready, crew, http, name))
        await late
        await client.sign(key, message=b"after", scheme=Scheme.ED25519, timeout_s=LONG_S)
    crew.supervisor.check()


def warren(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words], capture_output=True, text=True, check=False
    )


def commands(crew: Deployment) -> Iterator[list[str]]:
    party, coordinator = (
        str(crew.directory / f"{name}.toml") for name in ("party-1", "coordinator")
    )
    yield ["party", "run", "-c", party]
    yield ["coordinator", "run", "-c", coordinator]
    yield ["store", "migrate", "party", "-c", party]
    yield ["store", "migrate", "coordinator", "-c", coordinator]
    yield ["party", "shares", "-c", party]
    yield ["party", "reseal", "--check", "-c", party]
    yield ["backup", "create", "-c", party, "-o", str(crew.directory / "backup")]
    yield ["upgrade", "check", "-c", coordinator]


async def test_every_command_refuses_one_that_shares_sessions_in_one_sentence(
    crew: Deployment, bouncer: Bouncer
) -> None:
    for role in ("coordinator", "party-1"):
        await stop(crew, role)
    bouncer.change(pool_mode="transaction")
    try:
        for command in commands(crew):
            ended = await asyncio.to_thread(warren, *command)
            assert ended.returncode == CONFIGURATION, (command, ended.stderr)
            assert SENTENCE in ended.stderr.splitlines()[-1], command
            assert "Traceback" not in ended.stderr
            assert '"ready"' not in ended.stderr
    finally:
        bouncer.change(pool_mode="session")
