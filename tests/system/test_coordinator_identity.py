"""The coordinator's identity changes while signatures are made."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.client import Client, ClientSettings
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.producers import Producer

GRACE_S = 60
PIN = '[[coordinators]]\npublic_key = "{}"\n'


@pytest.fixture(scope="module")
def pair(services: Services) -> Iterator[Deployment]:
    """Two processes of each that signs, so that one can go."""
    plan = Plan(clients=("svcA", "svcB"), processes_per_party=2, coordinator_processes=2)
    with running_deployment(services, plan.compact()) as running:
        yield running


async def restarted(pair: Deployment, role: str) -> None:
    """One process after the other."""
    for name in [name for name in pair.programs if name.startswith(role)]:
        pid = pair.supervisor.pids[name]
        os.kill(pid, signal.SIGTERM)
        await asyncio.to_thread(psutil.Process(pid).wait, GRACE_S)
        pair.supervisor.start(pair.programs[name])
        await asyncio.to_thread(pair.supervisor.wait_ready)


def pin(pair: Deployment, old: str, new: str) -> None:
    """In the files of all parties and clients."""
    files = [pair.directory / f"{party_id}.toml" for party_id in pair.plan.party_ids]
    for path in (*files, *pair.clients.values()):
        change(path, old, new)


def configure(pair: Deployment, old: str, new: str) -> None:
    change(pair.directory / "coordinator.toml", old, new)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


async def signing(pair: Deployment, until: asyncio.Event, made: list[bytes]) -> None:
    """By a client that reads its pins anew each time."""
    while not until.is_set():
        settings = ClientSettings.load(pair.clients["svcA"])
        async with Client.connect(settings) as client:
            for scheme, key in ((Scheme.ED25519, "ed"), (Scheme.ECDSA, "ec")):
                message = os.urandom(32)
                result = await client.sign(key, message=message, scheme=scheme, timeout_s=60)
                assert result.signature is not None
                made.append(result.signature)
            assert client.disbelieved == {}


async def test_it_changes_without_a_pause_and_then_the_old_one_is_believed_by_nobody(
    pair: Deployment,
) -> None:
    old_key = pair.directory / "coordinator.key"
    old = Identity.from_base64(old_key.read_text().strip())
    new = Identity.generate()
    (pair.directory / "next.key").write_text(new.to_base64())
    before, after = PIN.format(old.public.to_base64()), PIN.format(new.public.to_base64())
    async with Client.connect(ClientSettings.load(pair.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
    over, made = asyncio.Event(), list[bytes]()
    signer = asyncio.create_task(signing(pair, over, made))
    own = 'private_key_file = "coordinator.key"\n'
    pin(pair, before, before + after)
    await restarted(pair, "party")
    both = own + 'other_private_key_files = ["next.key"]\n'
    configure(pair, own, both)
    await restarted(pair, "coordinator")
    swapped = 'private_key_file = "next.key"\nother_private_key_files = ["coordinator.key"]\n'
    configure(pair, both, swapped)
    await restarted(pair, "coordinator")
    configure(pair, swapped, 'private_key_file = "next.key"\n')
    await restarted(pair, "coordinator")
    pin(pair, before + after, after)
    await restarted(pair, "party")
    over.set()
    await signer
    assert len(made) > 2
    async with Producer.connect(pair, "svcB") as producer:
        await producer.nothing_more()
