"""A party whose database has gone back, and a broker that has lost the list."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

import topology
from contracts import addresses
from contracts.client import Client, ClientSettings
from contracts.primitives import Curve
from ops.registrar.desk import Desk, Wish
from ops.stack.deployment import Deployment
from ops.stack.errors import StartError
from topology import members_file
from topology.management import Management

from .test_clients_come_and_go import follow

PARTY = "party-3"


def programs_of(stack: Deployment) -> list[str]:
    return [name for name in stack.programs if name.startswith(f"{PARTY}.")]


async def stopped(stack: Deployment) -> None:
    for name in programs_of(stack):
        pid = stack.supervisor.pids[name]
        os.kill(pid, signal.SIGTERM)
        await asyncio.to_thread(psutil.Process(pid).wait, 60)


async def started(stack: Deployment) -> None:
    for name in programs_of(stack):
        stack.supervisor.start(stack.programs[name])


def forget_entries(stack: Deployment, after: int) -> int:
    """As a backup of before has it. Returns how many."""
    path = stack.database_urls[PARTY].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as file, file:
        return file.execute("DELETE FROM list_entries WHERE number > ?", (after,)).rowcount


async def test_it_reads_what_it_lost_from_the_stream_before_it_serves(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    given = await desk.add(Wish(client_id="restored", out=out))
    await follow(stack, given.number)
    await stopped(stack)
    assert forget_entries(stack, given.number - 1) == 1
    await started(stack)
    await asyncio.to_thread(stack.supervisor.wait_ready)
    await follow(stack, given.number)
    async with Client.connect(ClientSettings.load(given.config)) as client:
        await client.create_key("mine", curve=Curve.ED25519, threshold=3, party_count=3)


async def test_it_serves_nobody_by_an_older_list_until_the_rest_is_published_again(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    given = await desk.add(Wish(client_id="going", out=out))
    number = await desk.remove("going")
    await follow(stack, number)
    await stopped(stack)
    # Its database has the client, and not that it is one no more; and the broker has nothing.
    assert forget_entries(stack, given.number) == 1
    async with Management(stack.services.management_url) as management:
        path = ("queues/{}/{}", stack.vhost, addresses.LISTS_QUEUE)
        await management.send("DELETE", *path)
    members = members_file.load(stack.directory / "registrar" / "members.yaml")
    url = stack.services.management_url
    await topology.apply_all(url, members=members, vhost=stack.vhost)
    await started(stack)
    with pytest.raises(StartError, match=f"{PARTY}.* was not ready"):
        await asyncio.to_thread(stack.supervisor.wait_ready, 15)
    for name in programs_of(stack):
        assert not (stack.directory / "logs" / f"{name}.ready").exists()
    await desk.publish()
    await asyncio.to_thread(stack.supervisor.wait_ready)
    await follow(stack, number)
