"""A party that others do not accept, and requests that name no signers."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from contracts.client import Client, ClientSettings
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.restarting import change, restart

ROUNDS = 12
"""FROST's signers are chosen by lot: in so many a pair that cannot sign is among the first."""


@pytest.fixture
def crew(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",))) as running:
        yield running


async def mistake(crew: Deployment, party_id: str, other: str) -> None:
    """This party is configured with another identity of the other one's."""
    path = crew.directory / f"{party_id}.toml"
    peers = {
        peer["party_id"]: peer["public_key"] for peer in tomllib.loads(path.read_text())["peers"]
    }
    change(path, peers[other], Identity.generate().public.to_base64())
    await restart(crew, party_id)


@pytest.mark.parametrize("refusers", [["party-3"], ["party-2", "party-3"]])
async def test_those_sign_that_accept_each_other(crew: Deployment, refusers: list[str]) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
        for refuser in refusers:
            await mistake(crew, refuser, "party-1")
        wrong = [{"party-1", refuser} for refuser in refusers]
        for number in range(ROUNDS):
            for key, scheme in (("ed", Scheme.ED25519), ("ec", Scheme.ECDSA)):
                message = bytes([number]) * 32
                result = await client.sign(key, message=message, scheme=scheme, timeout_s=60)
                assert set(result.signers) not in wrong
