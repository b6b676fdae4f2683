"""A reshare is rehearsed on a running system: parties are asked, and nothing of the key moves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services

OLD, NEW = ["party-1", "party-2", "party-3"], ["party-2", "party-3", "party-4"]


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(
        party_count=4,
        clients=("svcA",),
        sqlite_parties=1,
        keygen_processes=1,
        presigning_processes=0,
    )
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected:
        yield connected


async def warren(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops.cli", *words]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(200)
async def test_a_party_that_hangs_is_named_whatever_the_presence_list_says(
    crew: Deployment, client: Client
) -> None:
    """Its other processes give signs of life."""
    await client.create_key("asked", curve=Curve.ED25519, threshold=2, party_count=3, parties=OLD)
    found = await client.rehearse("asked", parties=NEW, threshold=3)
    assert found.ready, found.lacking
    assert (found.dealers, found.receivers) == (OLD, NEW)
    words = ("key", "reshare", "asked", "--config", str(crew.clients["svcA"]), "--dry-run")
    stopped = crew.supervisor.pids["party-3.keygen.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        found = await client.rehearse("asked", parties=NEW)
        told = await warren(*words, "--json")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert (found.silent, found.dealers) == (["party-3"], ["party-1", "party-2"])
    assert found.lacking == "party-3 would not take a share"
    assert told.returncode == 1, told.stderr
    assert json.loads(told.stdout)["error"]["silent"] == ["party-3"]
    told = await warren(*words)
    assert told.returncode == 0, told.stderr
    assert "a reshare would find its parties" in told.stdout
    # Nothing was used up by all this.
    made = await client.reshare("asked", parties=NEW, tries=1)
    assert made.bundle is not None
    assert made.bundle.key.facts.epoch == 1
