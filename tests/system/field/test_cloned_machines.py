"""Parties whose randomness comes again: the nonces that are made of it do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.restarting import restart

MESSAGE = b"\x5a" * 32
TIMES = 4
"""Each with a nonce of its own: of one batch, and of another one."""


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(
        clients=("svcA",),
        limits={"coordinator": {"nonce_batch": 2}},
        entry=("-m", "tests.system.field.cloned"),
    )
    with running_deployment(services, plan.compact()) as running:
        yield running


KEYS = {
    Scheme.ED25519: Curve.ED25519,
    Scheme.BIP340: Curve.SECP256K1,
    Scheme.SECP256K1: Curve.SECP256K1,
    Scheme.ECDSA: Curve.SECP256K1,
}


@pytest.mark.parametrize("scheme", KEYS)
async def test_one_message_signed_again_is_signed_with_other_nonces(
    crew: Deployment, scheme: Scheme
) -> None:
    """By the same signers, before and after they were started anew: what is public of a nonce
    stands in front of each signature."""
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        name = f"key-{scheme}"
        await client.create_key(name, curve=KEYS[scheme], threshold=2, party_count=3)
        found = []
        for number in range(2 * TIMES):
            if number == TIMES:
                await restart(crew, "party-1")
            result = await client.sign(
                name,
                message=MESSAGE,
                scheme=scheme,
                signers=["party-1", "party-2"],
                timeout_s=60,
            )
            assert result.signature is not None
            found.append(result.signature[:32])
    assert len(set(found)) == 2 * TIMES
