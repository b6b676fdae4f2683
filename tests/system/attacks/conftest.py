"""A whole Warren to be attacked, with a gateway; the victims are svcA and its tenants."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from contracts.client import Client, ClientSettings
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services

from .adversary import Adversary
from .false_coordinator import FalseCoordinator

POWERS = ("broker", "coordinator")
"""What an attacker holds: any login at the broker; besides, the coordinator's key and database."""


@pytest.fixture(scope="package")
def stack(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB"), gateways=1, health=True, keygen_processes=0)
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def victim(stack: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(stack.clients["svcA"])) as connected:
        yield connected


@pytest.fixture(params=POWERS)
async def adversary(stack: Deployment, request: pytest.FixtureRequest) -> AsyncIterator[Adversary]:
    """Once with either power."""
    async with Adversary.at(stack, holds_key=request.param == "coordinator") as attacker:
        yield attacker


@pytest.fixture
async def stranger(stack: Deployment) -> AsyncIterator[Adversary]:
    """With a login at the broker and nothing else."""
    async with Adversary.at(stack) as attacker:
        yield attacker


@pytest.fixture
async def insider(stack: Deployment) -> AsyncIterator[Adversary]:
    """Is the coordinator."""
    async with Adversary.at(stack, holds_key=True) as attacker:
        yield attacker


@pytest.fixture
def false_coordinator(adversary: Adversary) -> FalseCoordinator:
    return FalseCoordinator(adversary)


@pytest.fixture
async def key(victim: Client) -> CertifiedKey:
    """2 of 3, ed25519, of svcA's own."""
    name = f"own-{secrets.token_hex(4)}"
    return await victim.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)


@pytest.fixture
async def key_of_alice(victim: Client) -> CertifiedKey:
    """The same, of a tenant of svcA's."""
    return await victim.acting_for("alice").create_key(
        f"alice-{secrets.token_hex(4)}", curve=Curve.ED25519, threshold=2, party_count=3
    )
