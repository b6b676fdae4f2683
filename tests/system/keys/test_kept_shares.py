"""A share of before waits for a backup on a running system, across a kill, and is gone after it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, DeleteAfter, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.keys.party_rows import shares
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.settings import MAX_BACKUP_WAIT_S

PARTIES = ["party-1", "party-2", "party-3"]


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(
        party_count=3,
        clients=("svcA",),
        sqlite_parties=0,
        keygen_processes=1,
        presigning_processes=0,
        limits={"party": {"backup_wait_seconds": MAX_BACKUP_WAIT_S}},
    )
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected:
        yield connected


async def back_up(crew: Deployment, party_id: str, out: Path) -> None:
    config = crew.directory / f"{party_id}.toml"
    words = ["backup", "create", "--config", str(config), "--out", str(out)]
    command = [sys.executable, "-m", "ops.cli", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
async def test_old_shares_go_with_the_backup_of_the_new_ones(
    crew: Deployment, client: Client, tmp_path: Path
) -> None:
    waits, hurries = "waits", "hurries"
    keys = {}
    for name in (waits, hurries):
        keys[name] = await client.create_key(
            name, curve=Curve.ED25519, threshold=2, party_count=3, parties=PARTIES
        )
    await client.reshare(waits)
    await client.reshare(hurries, delete_after=DeleteAfter.CERTIFIED)
    await asyncio.sleep(SIGNS_ON_S + ENDS_S)

    async def gone() -> bool:
        return await shares(crew, keys[hurries].facts.session_id) == {name: {1} for name in PARTIES}

    await until(gone)
    both = {name: {0, 1} for name in PARTIES}
    assert await shares(crew, keys[waits].facts.session_id) == both
    for process in [each for each in crew.supervisor.pids if each.startswith("party-2.")]:
        os.kill(crew.supervisor.pids[process], signal.SIGKILL)
        crew.supervisor.start(crew.programs[process])
    await client.sign(waits, message=b"by the new shares", scheme=Scheme.ED25519)
    assert await shares(crew, keys[waits].facts.session_id) == both
    history = await client.history(waits)
    assert history.successions[0].may_wait == PARTIES
    await back_up(crew, "party-2", tmp_path / "party-2.backup")

    async def told() -> bool:
        (made,) = (await client.history(waits)).successions
        return [*made.retired] == ["party-2"]

    await until(told)
    assert await shares(crew, keys[waits].facts.session_id) == {**both, "party-2": {1}}
