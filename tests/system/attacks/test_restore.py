"""Databases of parties that go back to before a cancel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services

from . import asking
from .adversary import Adversary
from .false_coordinator import FalseCoordinator, every_signer_set
from .under_way import lost, outcome

TOLERANCE_S = 2
"""For clocks: for so long after a restore nothing is believed to be new."""


@pytest.fixture(scope="module")
def restorable(services: Services) -> Iterator[Deployment]:
    """All parties on SQLite: a copy of a file is a backup."""
    plan = Plan(
        clients=("svcA",),
        sqlite_parties=3,
        presigning_processes=0,
        limits={"party": {"clock_tolerance_seconds": TOLERANCE_S}},
        health=True,
    )
    with running_deployment(services, plan.compact()) as running:
        yield running


def path_of(deployment: Deployment, party_id: str) -> Path:
    return Path(deployment.database_urls[party_id].removeprefix("sqlite:///"))


def back_up(deployment: Deployment) -> dict[str, Path]:
    made = {}
    for party_id in deployment.plan.party_ids:
        path = path_of(deployment, party_id)
        made[party_id] = path.with_name(f"{path.name}.{secrets.token_hex(4)}.backup")
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(made[party_id])) as copy,
        ):
            source.backup(copy)
    return made


def restore(deployment: Deployment, backups: dict[str, Path]) -> None:
    """As operators do: stop, put the file back, start."""
    names = [name for name in deployment.programs if name.startswith("party-")]
    for name in names:
        pid = deployment.supervisor.pids[name]
        os.kill(pid, signal.SIGTERM)
        psutil.Process(pid).wait(30)
    for party_id, backup in backups.items():
        path = path_of(deployment, party_id)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.write_bytes(backup.read_bytes())
    for name in names:
        deployment.supervisor.start(deployment.programs[name])
    deployment.supervisor.wait_ready()


async def test_what_was_cancelled_before_a_restore_is_signed_by_nobody(
    restorable: Deployment,
) -> None:
    """Nor what was signed before it once more; what is asked for afterwards is."""
    settings = ClientSettings.load(restorable.clients["svcA"])
    async with (
        Client.connect(settings) as victim,
        Adversary.at(restorable, holds_key=True) as insider,
    ):
        name = f"restored-{secrets.token_hex(4)}"
        key = await victim.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)
        backups = await asyncio.to_thread(back_up, restorable)
        false = FalseCoordinator(insider)
        call = victim.sign(name, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=name)
        under_way = await lost(insider, call, name, key)
        assert (await victim.cancel(name)).final
        await outcome(under_way.task)
        before = asking.sign(settings, name)
        for signers in every_signer_set(restorable):
            assert (await false.sign(before, key.facts, signers)).item is not None
            await false.refused(under_way.signed, key.facts, signers, "the request was cancelled")
        await asyncio.to_thread(restore, restorable, backups)
        # From here on the parties give nonces, and refuse for the age of the request alone.
        await asyncio.sleep(TOLERANCE_S)
        for signers in every_signer_set(restorable):
            for signed in (under_way.signed, before):
                await false.refused(signed, key.facts, signers, "lost its memory")
        # The parties do not know any more whether they have signed it, and say so.
        for issued_at in (before.request.issued_at, None):
            request_id = before.request.request_id
            told = await victim.cancel(request_id, key_id=name, issued_at=issued_at)
            assert (told.statements, told.final) == ((), False)
        after = asking.sign(settings, name)
        tried = await false.sign(after, key.facts, every_signer_set(restorable)[0])
        assert tried.item is not None
