"""Two gateways before a whole Warren, and a third one behind a proxy of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import httpx
import pytest

from contracts.primitives import Scope
from ops.chaos.wires import Wires, through
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.gateways import Gateways, new_api_key, programs
from ops.stack.services import Services
from ops.stack.sockets import free_ports

from .callers import calling

PROXIED = "gateway.proxied"
Letting = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="package")
def stack(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",), gateways=2)) as running:
        yield running


@pytest.fixture
def gateways(stack: Deployment) -> Gateways:
    assert stack.gateways is not None
    return stack.gateways


@pytest.fixture
async def caller(gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(gateways.urls[0], gateways.api_key) as connected:
        yield connected


@pytest.fixture
async def at_another(gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(gateways.urls[1], gateways.api_key) as connected:
        yield connected


@pytest.fixture
def letting(gateways: Gateways) -> Letting:
    """Lets another tenant in, at the first gateway, by a key of that name or its own."""

    @contextlib.asynccontextmanager
    async def let(
        name: str, *scopes: Scope, key: str | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        secret = await new_api_key(
            gateways.config, gateways.authority, name, scopes or tuple(Scope), key
        )
        async with calling(gateways.urls[0], secret) as other:
            yield other

    return let


@pytest.fixture(scope="package")
def wires(stack: Deployment) -> Iterator[Wires]:
    """Between the third gateway and the broker."""
    with Wires(stack.amqp_urls["gateway"], [PROXIED]) as connected:
        yield connected


@pytest.fixture(scope="package")
def proxied(stack: Deployment, wires: Wires) -> str:
    """The URL of a gateway with a declared proxy, which lets one network in."""
    assert stack.gateways is not None
    own = stack.amqp_urls["gateway"]
    wired = through(own, wires.ports[PROXIED])
    door = '[gateway]\ntrusted_proxies = ["127.0.0.1"]\nallowed_ips = ["192.0.2.0/24"]'
    text = stack.gateways.config.read_text()
    config = stack.gateways.config.with_name("gateway-proxied.toml")
    config.touch(mode=0o600)
    config.write_text(text.replace("[gateway]", door, 1).replace(own, wired))
    (port,) = free_ports(1)
    (program,) = programs(config, [port], stack.plan.entry)
    stack.supervisor.start(replace(program, name=PROXIED))
    stack.supervisor.wait_ready()
    return f"http://127.0.0.1:{port}"


@pytest.fixture
async def behind_proxy(proxied: str, gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    """Comes from an address that is let in."""
    async with calling(proxied, gateways.api_key) as connected:
        connected.headers["X-Forwarded-For"] = "192.0.2.7"
        yield connected
