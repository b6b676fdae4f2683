"""One whole Warren for all system tests: coordinator, three parties, both stores, four clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve
from ops.stack.deployment import LEGACY, Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.producers import Producer

KEY = "shared"
UNREAD = "svcC"
"""A client whose results are counted: nobody else asks in its name."""


@pytest.fixture(scope="package")
def deployment(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB", UNREAD, LEGACY), health=True)
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def client(deployment: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(deployment.clients["svcA"])) as connected:
        yield connected


@pytest.fixture(scope="package")
async def key_id(deployment: Deployment) -> str:
    """A 2-of-3 ed25519 key of svcA's, for tests that only sign."""
    async with Client.connect(ClientSettings.load(deployment.clients["svcA"])) as connected:
        await connected.create_key(KEY, curve=Curve.ED25519, threshold=2, party_count=3)
    return KEY


@pytest.fixture
async def producer(deployment: Deployment) -> AsyncIterator[Producer]:
    """svcA without the library's good manners."""
    async with Producer.connect(deployment, "svcB") as connected:
        yield connected


@pytest.fixture
async def legacy_producer(deployment: Deployment) -> AsyncIterator[Producer]:
    async with Producer.connect(deployment, LEGACY) as connected:
        yield connected
