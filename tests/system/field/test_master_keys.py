"""A party's master key is replaced while its workers sign."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field.restarting import restart

PARTIES = ("party-1", "party-3")
"""One on PostgreSQL, one on SQLite."""


@pytest.fixture
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA",), pools={"low": 8, "high": 16})
    with running_deployment(services, plan.compact()) as running:
        yield running


async def reseal(config: Path, *options: str, kill_after_s: float | None = None) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "party", "reseal", "--config", str(config)),
        *("--json", *options),
        stdout=asyncio.subprocess.PIPE,
    )
    if kill_after_s is not None:
        await asyncio.sleep(kill_after_s)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    out, _ = await process.communicate()
    return json.loads(out) if out else None


async def signing(client: Client, over: asyncio.Event, made: list[bytes]) -> None:
    while not over.is_set():
        for key, scheme in (("ed", Scheme.ED25519), ("ec", Scheme.ECDSA)):
            message = secrets.token_bytes(32)
            result = await client.sign(key, message=message, scheme=scheme, timeout_s=60)
            assert result.signature is not None
            made.append(result.signature)


async def test_the_old_one_retires_while_signatures_are_made(crew: Deployment) -> None:
    files = {party_id: crew.directory / f"{party_id}.master" for party_id in PARTIES}
    new = {party_id: f'2 = "{secrets.token_hex(32)}"\n' for party_id in PARTIES}
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
        over, made = asyncio.Event(), list[bytes]()
        signer = asyncio.create_task(signing(client, over, made))
        await until(lambda: len(made) >= 4)
        for party_id, file in files.items():
            file.write_text(file.read_text() + new[party_id])
            await restart(crew, party_id)
        for party_id in PARTIES:
            config = crew.directory / f"{party_id}.toml"
            await reseal(config, kill_after_s=1.0)
            done = await reseal(config)
            assert done["left"]["key_shares"] == 0

            async def nothing_is_left(config: Path = config) -> bool:
                return not (await reseal(config, "--check"))["older_needed"]

            await until(nothing_is_left)
        for party_id, file in files.items():
            file.write_text(new[party_id])
            await restart(crew, party_id)
        count = len(made)
        await until(lambda: len(made) >= count + 6)
        over.set()
        await signer
        for pair in (["party-1", "party-2"], ["party-1", "party-3"]):
            await client.sign("ed", message=b"last", scheme=Scheme.ED25519, signers=pair)
