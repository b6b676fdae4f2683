"""Whose reads are answered first, when one holder has asked for many and another for one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
TURNS = 20
"""Of the gateway's loop, in which a request that has come gets to where it has to wait."""
STREAMS, KEYS = 16, 2
"""No more than a key may have open; and so many keys of one holder."""
QUICK = {**KEYGEN, "curve": "ed25519"}


async def in_flight(caller: httpx.AsyncClient) -> int:
    """At this gateway, without the one that asks."""
    found = re.search(
        r"^warren_gateway_requests_in_flight ([0-9.]+)$", (await caller.get("/metrics")).text, re.M
    )
    assert found is not None
    return int(float(found[1])) - 1


SESSION = "/api/v1/sessions/{}"
READS = {
    "list": ("/api/v1/accounts", MANY),
    "session": (SESSION, MANY),
    "waits": (f"{SESSION}?wait=60", STREAMS * KEYS),
    "streams": (f"{SESSION}/events", STREAMS * KEYS),
}


@pytest.mark.parametrize("kind", READS)
async def test_one_read_is_answered_before_most_of_anothers_many(
    stack: Deployment, caller: httpx.AsyncClient, letting: Letting, kind: str
) -> None:
    """All are at the gateway before the first one can be answered: what counts is the order."""
    path, many = READS[kind]
    answered: list[str] = []

    async def read(name: str, who: httpx.AsyncClient, path: str) -> None:
        async with who.stream("GET", path) as answer:
            assert answer.status_code == 200
            await anext(answer.aiter_lines())
            answered.append(name)

    async with contextlib.AsyncExitStack() as let_in:
        greedy = [
            await let_in.enter_async_context(letting(f"greedy-{kind}", key=f"greedy-{kind}-{i}"))
            for i in range(KEYS)
        ]
        modest = await let_in.enter_async_context(letting(f"modest-{kind}"))
        begun = await made(modest, "/api/v1/mpc/keygen", KEYGEN)
        mine = (path if kind == "list" else SESSION).format(begun["session_id"])
        theirs = [path.format(name) for name in await sessions(greedy[0], many, kind)]
        os.kill(stack.supervisor.pids["coordinator.1"], signal.SIGSTOP)
        try:
            tasks = [
                asyncio.create_task(read("greedy", who, each))
                for who, each in zip(itertools.cycle(greedy), theirs, strict=False)
            ]
            await until(lambda: _are(caller, many))
            tasks.append(asyncio.create_task(read("modest", modest, mine)))
            await until(lambda: _are(caller, many + 1))
            for _ in range(TURNS):
                await in_flight(caller)
        finally:
            os.kill(stack.supervisor.pids["coordinator.1"], signal.SIGCONT)
        await asyncio.gather(*tasks)
    assert answered.index("modest") < many / 2


async def sessions(caller: httpx.AsyncClient, count: int, kind: str) -> list[str]:
    """Of which each is read once. Those who wait for one, or follow it, ask together: so they are
    of as many."""
    turns = asyncio.Semaphore(4)

    async def one() -> str:
        async with turns:
            return str((await made(caller, "/api/v1/mpc/keygen?wait=60", QUICK))["session_id"])

    wanted = count if kind in {"waits", "streams"} else 1
    names = await asyncio.gather(*(one() for _ in range(wanted)))
    return list(names) * (count // wanted)


async def _are(caller: httpx.AsyncClient, count: int) -> bool:
    return await in_flight(caller) >= count
