"""Who may enter changes while a gateway runs: nobody restarts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from ops.stack.deployment import Deployment
from ops.stack.gateways import programs
from ops.stack.sockets import free_ports

from .callers import calling, code, eventually, made, told

NAME = "gateway.rereading"
LIST = "/api/v1/accounts"
OFFICE, DEPOT = "192.0.2.7", "203.0.113.9"


@dataclass
class Door:
    """A gateway behind a declared proxy, with a file of its own."""

    url: str
    path: Path
    text: str

    def let_in(self, *networks: str) -> None:
        listed = ", ".join(f'"{each}"' for each in networks)
        lines = ["[gateway]", 'trusted_proxies = ["127.0.0.1"]', f"allowed_ips = [{listed}]"]
        lines.append("join_window_ms = 10_000")
        self.path.write_text(self.text.replace("[gateway]", "\n".join(lines), 1))


@pytest.fixture(scope="module")
def door(stack: Deployment) -> Door:
    assert stack.gateways is not None
    path = stack.gateways.config.with_name("gateway-rereading.toml")
    path.touch(mode=0o600)
    (port,) = free_ports(1)
    found = Door(f"http://127.0.0.1:{port}", path, stack.gateways.config.read_text())
    found.let_in("192.0.2.0/24")
    (program,) = programs(path, [port], stack.plan.entry)
    stack.supervisor.start(replace(program, name=NAME))
    stack.supervisor.wait_ready()
    return found


async def test_who_may_enter_is_read_again_and_counts_for_those_inside_too(
    stack: Deployment, door: Door
) -> None:
    assert stack.gateways is not None
    async with (
        calling(door.url, stack.gateways.api_key) as office,
        calling(door.url, stack.gateways.api_key) as depot,
    ):
        office.headers["X-Forwarded-For"], depot.headers["X-Forwarded-For"] = OFFICE, DEPOT
        told(await office.get(LIST))
        assert code(await depot.get(LIST), 403) == "address_refused"
        inside = asyncio.create_task(waiting(office))
        await asyncio.sleep(0.2)

        door.let_in("203.0.113.0/24")
        await eventually(lambda: depot.get(LIST), 200)
        assert code(await office.get(LIST), 403) == "address_refused"
        assert code(await inside, 403) == "address_refused"

        door.let_in("everybody")
        await asyncio.sleep(2)
        told(await depot.get(LIST))
        door.let_in("192.0.2.7", "203.0.113.9")
        await eventually(lambda: office.get(LIST), 200)
        told(await depot.get(LIST))


async def waiting(caller: httpx.AsyncClient) -> httpx.Response:
    """For a session that waits ten seconds for somebody to join it."""
    begun = await made(
        caller,
        "/api/v1/sessions",
        {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2},
    )
    return await caller.get(f"/api/v1/sessions/{begun['session_id']}", params={"wait": 60})
