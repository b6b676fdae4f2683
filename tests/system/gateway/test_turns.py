"""Whose reads are answered first, when one holder has asked for many and another for one."""

from __future__ import annotations

import asyncio
import os
import re
import signal

import httpx
import pytest

from ops.stack.deployment import Deployment
from tests.patience import until

from .callers import KEYGEN, made
from .conftest import Letting

MANY = 60
"""No more than a key may have in flight."""


async def in_flight(caller: httpx.AsyncClient) -> int:
    """At this gateway, without the one that asks."""
    found = re.search(
        r"^warren_gateway_requests_in_flight ([0-9.]+)$", (await caller.get("/metrics")).text, re.M
    )
    assert found is not None
    return int(float(found[1])) - 1


@pytest.mark.parametrize("path", ["/api/v1/accounts", "/api/v1/sessions/{}"])
async def test_one_read_is_answered_before_most_of_anothers_many(
    stack: Deployment, caller: httpx.AsyncClient, letting: Letting, path: str
) -> None:
    """All are at the gateway before the first one can be answered: what counts is the order."""
    answered: list[str] = []

    async def read(name: str, who: httpx.AsyncClient, path: str) -> None:
        assert (await who.get(path)).status_code == 200
        answered.append(name)

    kind = "list" if path.endswith("accounts") else "session"
    async with letting(f"greedy-{kind}") as greedy, letting(f"modest-{kind}") as modest:
        theirs, mine = [
            path.format((await made(who, "/api/v1/mpc/keygen", KEYGEN))["session_id"])
            for who in (greedy, modest)
        ]
        os.kill(stack.supervisor.pids["coordinator.1"], signal.SIGSTOP)
        try:
            tasks = [asyncio.create_task(read("greedy", greedy, theirs)) for _ in range(MANY)]
            await until(lambda: _are(caller, MANY))
            tasks.append(asyncio.create_task(read("modest", modest, mine)))
            await until(lambda: _are(caller, MANY + 1))
        finally:
            os.kill(stack.supervisor.pids["coordinator.1"], signal.SIGCONT)
        await asyncio.gather(*tasks)
    assert answered.index("modest") < MANY / 2


async def _are(caller: httpx.AsyncClient, count: int) -> bool:
    return await in_flight(caller) >= count
