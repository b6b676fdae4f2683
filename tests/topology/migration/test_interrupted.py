"""Whoever ends the command by a signal is told, and publishers go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.patience import until
from tests.topology.migration.scene import CLASSIC, QUORUM, Publisher, Scene, meanwhile
from topology.migration.parts import Parts

pytestmark = pytest.mark.long


async def _begun(scene: Scene, *more: str) -> asyncio.subprocess.Process:
    environment = os.environ | {
        "WARREN_MANAGEMENT_URL": scene.services.management_url,
        "WARREN_MIGRATION_AMQP": scene.services.amqp_url,
        "WARREN_VHOST": scene.vhost,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "topology", "migrate-queue", "jobs", *more),
        *("--directory", str(scene.directory), "--members", str(scene.members())),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_in_order_and_it_goes_on_when_run_again(
    scene: Scene, number: signal.Signals
) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publisher = Publisher(scene, pace_s=0.002)
    parts = Parts("jobs", "jobs")

    async def turned() -> bool:
        bindings = (await scene.broker.found()).topology.bindings
        sources = {one.source for one in bindings}
        return parts.side in sources and parts.to_old not in bindings

    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= 100)
        scene.say(QUORUM)
        process = await _begun(scene, *(["--json"] if number is signal.SIGTERM else []))
        await until(turned)
        process.send_signal(number)
        said, failed = (one.decode() for one in await process.communicate())
        assert process.returncode == 128 + number
        text = json.loads(said)["error"] if number is signal.SIGTERM else failed
        assert text.startswith(f"ended by {number.name}. Nothing is lost")
        assert "Traceback" not in failed
        users = {user["name"] for user in await scene.management.get("users")}
        assert not {name for name in users if name.startswith(f"{scene.vhost}.migration")}
        await scene.migrate()
    assert [int(one.body) for one in await scene.taken("jobs")] == list(range(publisher.sent))
