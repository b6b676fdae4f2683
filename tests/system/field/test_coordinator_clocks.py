"""A coordinator whose clock is ahead of everybody's, with requests that do not live long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from contracts.client import Client, ClientSettings, ClockError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.clocks import restart_at

LIFETIME_S = 15
LONG_S = 120


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",)).compact()) as running:
        yield running


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    """Its questions live longer: those begin nothing, and have no tolerance."""
    settings = ClientSettings.load(crew.clients["svcA"])
    async with Client.connect(
        replace(settings, timeout_s=LIFETIME_S, query_timeout_s=LONG_S)
    ) as connected:
        yield connected


async def test_signatures_are_made_within_the_tolerance_and_what_is_late_is_told_to_be_the_clock_s(
    crew: Deployment, client: Client
) -> None:
    await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
    for ahead_s in (5, 12):
        await restart_at(crew, "coordinator", ahead_s)
        for number in range(3):
            await client.sign("ed", message=b"%d" % number, scheme=Scheme.ED25519)
    for ahead_s in (32, 45):
        await restart_at(crew, "coordinator", ahead_s)
        with pytest.raises(ClockError, match="behind the coordinator's") as caught:
            await client.sign("ed", message=b"late", scheme=Scheme.ED25519)
        assert caught.value.failure.code is FailureCode.EXPIRED
        assert not caught.value.failure.retryable
        assert 0 < caught.value.behind_s <= ahead_s
    await restart_at(crew, "coordinator", 0)
    await client.sign("ed", message=b"right", scheme=Scheme.ED25519)
