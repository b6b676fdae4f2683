"""`wait` while party, database or broker are there and answer nothing: nodes of our own, frozen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services, running_services

from .callers import KEYGEN, MESSAGE, calling, code, ended, eventually, made, told

WAIT_S = 6
FAR_TOO_LONG_S = 12
"""What is answered within this was not waited for until a request's own deadline: that is 15 s."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Services]:
    """Nobody else's, so that nobody else is stopped with them."""
    with running_services(Path(__file__).parents[3] / ".warren") as running:
        yield running


@pytest.fixture(scope="module")
def own(nodes: Services) -> Iterator[Deployment]:
    with running_deployment(nodes, Plan(clients=("svcA",), gateways=2).compact()) as running:
        yield running


@pytest.fixture
async def here(own: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    assert own.gateways is not None
    async with calling(own.gateways.urls[0], own.gateways.api_key) as connected:
        yield connected


@pytest.fixture
async def elsewhere(own: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    assert own.gateways is not None
    async with calling(own.gateways.urls[1], own.gateways.api_key) as connected:
        yield connected


@contextlib.contextmanager
def frozen(*pids: int | None) -> Iterator[None]:
    """These processes and all their children, as if their machine did nothing any more."""
    first = [psutil.Process(pid) for pid in pids if pid is not None]
    if not first:
        pytest.skip("the node is not ours to stop")
    family = [each for one in first for each in (one, *one.children(recursive=True))]
    for each in family:
        _tell(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in family:
            _tell(each, signal.SIGCONT)


def _tell(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def pids_of(own: Deployment, party_id: str) -> list[int]:
    """Of all its processes."""
    return [pid for name, pid in own.supervisor.pids.items() if name.startswith(f"{party_id}.")]


async def in_time(asking: Awaitable[httpx.Response]) -> httpx.Response:
    return await asyncio.wait_for(asking, FAR_TOO_LONG_S)


async def all_paths(
    here: httpx.AsyncClient, elsewhere: httpx.AsyncClient, account_id: str, session_id: str
) -> None:
    """Everything that may be waited for, at once. The session was begun `here`."""
    wait = {"wait": WAIT_S}
    session = f"/api/v1/sessions/{session_id}"
    account = f"/api/v1/accounts/{account_id}"
    known, *others = await asyncio.gather(
        in_time(here.get(session, params=wait)),
        in_time(elsewhere.get(session, params=wait)),
        in_time(elsewhere.get(f"{session}/events", params=wait)),
        in_time(here.get(account, params=wait)),
        in_time(here.get("/api/v1/accounts", params=wait)),
        in_time(here.get(f"{account}/signing-config", params=wait)),
        in_time(here.post("/api/v1/mpc/keygen", params=wait, json=KEYGEN)),
        in_time(here.post(f"{account}/sign", params=wait, json={"message": MESSAGE})),
        in_time(here.post("/api/v1/accounts", params=wait, json={"user_id": "ivy"})),
    )
    assert told(known)["status"] == "waiting"
    for answer in others:
        assert answer.status_code in {503, 504}, answer.text
        assert code(answer, answer.status_code) in {"no_answer", "broker_unavailable"}
    assert [other.json().get("signature_may_exist") for other in others[-3:]] == [True] * 3


async def served_again(caller: httpx.AsyncClient) -> None:
    await eventually(lambda: caller.get("/health/ready"), 200)
    await eventually(lambda: caller.get("/api/v1/accounts"), 200)


@contextlib.asynccontextmanager
async def under_way(here: httpx.AsyncClient, own: Deployment) -> AsyncIterator[tuple[str, str]]:
    """An account, and a session that does not end meanwhile."""
    wish = {"user_id": "ivy", "curve": "ed25519"}
    account = await made(here, "/api/v1/accounts?wait=60", wish)
    with frozen(*pids_of(own, "party-1")):
        session = await made(here, "/api/v1/mpc/keygen", KEYGEN)
        yield account["account_id"], session["session_id"]


async def test_a_frozen_party_keeps_nobody_waiting(
    own: Deployment, here: httpx.AsyncClient, elsewhere: httpx.AsyncClient
) -> None:
    wait = {"wait": WAIT_S}
    with frozen(*pids_of(own, "party-1")):
        answer = await in_time(here.post("/api/v1/mpc/keygen", params=wait, json=KEYGEN))
        session_id = told(answer, 201)["session_id"]
        assert told(answer, 201)["status"] in {"waiting", "in_progress"}
        for caller in (here, elsewhere):
            looked = await in_time(caller.get(f"/api/v1/sessions/{session_id}", params=wait))
            assert told(looked)["status"] in {"waiting", "in_progress"}
        answer = await in_time(here.post("/api/v1/accounts", params=wait, json={"user_id": "hal"}))
        assert told(answer, 201)["status"] in {"waiting", "in_progress"}
    assert (await ended(here, session_id))["status"] in {"completed", "expired"}


async def test_a_frozen_database_keeps_nobody_waiting(
    nodes: Services, own: Deployment, here: httpx.AsyncClient, elsewhere: httpx.AsyncClient
) -> None:
    async with under_way(here, own) as (account_id, session_id):
        with frozen(nodes.database_pid):
            await all_paths(here, elsewhere, account_id, session_id)
    await served_again(here)


async def test_a_broker_that_hangs_keeps_nobody_waiting(
    nodes: Services, own: Deployment, here: httpx.AsyncClient, elsewhere: httpx.AsyncClient
) -> None:
    async with under_way(here, own) as (account_id, session_id):
        with frozen(*nodes.broker_pids):
            await all_paths(here, elsewhere, account_id, session_id)
    await served_again(here)
