"""The TypeScript client while the broker restarts, over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.brokers import Broker, own_broker

from .driver import Driver
from .test_stack import KEY, connect, over_http, verified

pytestmark = pytest.mark.xdist_group("typescript")

COUNT = 24


@pytest.fixture(scope="module")
def broker(services: Services) -> Iterator[Broker]:
    yield from own_broker()


@pytest.fixture(scope="module")
def alone(services: Services, broker: Broker) -> Iterator[Deployment]:
    """On a broker that nobody else needs."""
    with running_deployment(
        broker.beside(services), Plan(clients=("svcA",), gateways=1).compact()
    ) as running:
        yield running


@pytest.mark.parametrize("transport", ["amqp", "http"])
async def test_a_broker_that_restarts_costs_nothing_but_time(
    driver: Driver, alone: Deployment, broker: Broker, transport: str
) -> None:
    """What was asked before, and what is asked while there is none."""
    if transport == "amqp":
        client = await connect(driver, alone, "svcA", askAgainMs=1000)
    else:
        client = await over_http(driver, alone)
    named = {"keyId": "ts-restart"} if transport == "amqp" else {}
    key = await driver("createKey", client=client, **named, **KEY)
    wish = {"keyId": key["keyId"], "scheme": "ed25519", "timeoutMs": 110_000}
    messages = [i.to_bytes(2).hex() for i in range(COUNT)]
    signing = driver.begin("signMany", client=client, messages=messages, **wish)
    await asyncio.to_thread(broker.control, "stop_app")
    late = driver.begin("sign", client=client, message="ffff", **wish)
    await asyncio.sleep(1)
    await asyncio.to_thread(broker.control, "start_app")
    made = await asyncio.wait_for(signing, 120)
    assert [each["message"] for each in made] == messages
    for each in [*made, await asyncio.wait_for(late, 120)]:
        verified(each)
