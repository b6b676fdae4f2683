"""Two gateways before a whole Warren, as callers of old see them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import coincurve
import httpx
import pytest

from contracts.client import Client
from contracts.primitives import Scope
from gateway.entry.api_keys import digest
from gateway.settings import GatewaySettings
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.gateways import Gateways
from ops.stack.services import Services

PATIENCE_S = 30
PARTIES = ["server-party-1", "server-party-2", "server-party-3"]
MESSAGE = "aGVsbG8="
KEYGEN = {
    "threshold_n": 3,
    "threshold_t": 2,
    "participants": [
        {"party_id": party_id, "device_type": "server", "device_id": f"party{i}"}
        for i, party_id in enumerate(PARTIES, start=1)
    ],
}


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",), gateways=2)) as running:
        yield running


@pytest.fixture
def gateways(stack: Deployment) -> Gateways:
    assert stack.gateways is not None
    return stack.gateways


@contextlib.asynccontextmanager
async def calling(url: str, secret: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": secret}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as caller:
        yield caller


@pytest.fixture
async def caller(gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(gateways.urls[0], gateways.api_key) as connected:
        yield connected


@pytest.fixture
async def at_another(gateways: Gateways) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(gateways.urls[1], gateways.api_key) as connected:
        yield connected


async def made(caller: httpx.AsyncClient, path: str, body: dict[str, Any], **more: str) -> Any:
    answer = await caller.post(path, json=body, headers=more)
    assert answer.status_code == 201, answer.text
    return answer.json()


def verifies(signed: dict[str, Any]) -> bool:
    public_key = coincurve.PublicKey(bytes.fromhex(signed["public_key"]))
    message_hash = bytes.fromhex(signed["message_hash"])
    return public_key.verify(bytes.fromhex(signed["der"]), message_hash, hasher=None)


async def test_a_gateway_is_ready_and_says_so(caller: httpx.AsyncClient) -> None:
    assert (await caller.get("/health")).json() == {"service": "gateway", "status": "healthy"}
    assert (await caller.get("/health/ready")).json()["status"] == "ready"
    assert "warren_gateway_requests_total" in (await caller.get("/metrics")).text


async def test_a_key_is_made_in_the_dialect_with_a_token_for_each_party(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    begun = await made(caller, "/api/v1/mpc/keygen", KEYGEN)
    assert set(begun["join_tokens"]) == set(PARTIES)
    assert len(set(begun["join_tokens"].values())) == 3
    assert (begun["session_type"], begun["status"]) == ("keygen", "waiting")
    path = f"/api/v1/sessions/{begun['session_id']}"
    ended = (await at_another.get(path, params={"wait": PATIENCE_S})).json()
    assert ended["status"] == "completed"


async def test_an_account_signs_and_the_signature_verifies(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    account = await made(caller, "/api/v1/accounts?wait=20", {"user_id": "alice"})
    assert account["status"] == "completed"
    path = f"/api/v1/accounts/{account['account_id']}/sign?wait=20"
    signed = (await made(at_another, path, {"message": MESSAGE}))["result"]
    assert signed["public_key"] == account["public_key"]
    assert signed["message_hash"] == hashlib.sha256(b"hello").hexdigest()
    assert verifies(signed)


async def test_a_session_in_the_generic_dialect_is_joined_and_ends(
    caller: httpx.AsyncClient,
) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    path = f"/api/v1/sessions/{begun['session_id']}"
    for party_id in PARTIES:
        joined = await caller.post(
            f"{path}/join", json={"join_token": begun["join_token"], "party_id": party_id}
        )
        assert joined.status_code == 200, joined.text
    ended = (await caller.get(path, params={"wait": PATIENCE_S})).json()
    assert ended["status"] == "completed"
    again = await caller.post(
        f"{path}/join", json={"join_token": begun["join_token"], "party_id": PARTIES[0]}
    )
    assert again.status_code == 409


async def test_a_key_never_sees_what_is_anothers(
    caller: httpx.AsyncClient, gateways: Gateways
) -> None:
    account = await made(caller, "/api/v1/accounts?wait=20", {"user_id": "bob"})
    secret = "the secret of somebody else"
    settings = GatewaySettings.load(gateways.config).client
    async with Client.connect(settings) as operator:
        await operator.put_api_key(
            "other", holder="other", key_digest=digest(secret.encode()), scopes=list(Scope)
        )
        async with calling(gateways.urls[0], secret) as other:
            deadline = time.monotonic() + PATIENCE_S
            while (listed := await other.get("/api/v1/accounts")).status_code == 401:
                assert time.monotonic() < deadline
            assert listed.json()["accounts"] == []
            for path in (
                f"/api/v1/accounts/{account['account_id']}",
                f"/api/v1/sessions/{account['session_id']}",
            ):
                assert (await caller.get(path)).status_code == 200
                assert (await other.get(path)).status_code == 404
            await operator.revoke_api_key("other")
            while (await other.get("/api/v1/accounts")).status_code != 401:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)


async def test_who_has_no_key_or_comes_from_elsewhere_stays_outside(
    caller: httpx.AsyncClient,
) -> None:
    refused = await caller.get("/api/v1/accounts", headers={"X-API-Key": "wrong"})
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"


async def test_killing_a_gateway_and_asking_another_gives_the_same_session(
    stack: Deployment, caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    account = await made(caller, "/api/v1/accounts?wait=20", {"user_id": "carol"})
    path = f"/api/v1/accounts/{account['account_id']}/sign?wait=20"
    wish, key = {"message": MESSAGE}, {"Idempotency-Key": "sign this once, please"}
    before = await made(caller, path, wish, **{"Idempotency-Key": "another"})

    asking = asyncio.create_task(caller.post(path, json=wish, headers=key))
    await asyncio.sleep(0.02)
    os.kill(stack.supervisor.pids["gateway.1"], signal.SIGKILL)
    first = (await asyncio.gather(asking, return_exceptions=True))[0]
    retried = await made(at_another, path, wish, **key)
    assert verifies(retried["result"])
    assert retried["session_id"] != before["session_id"]
    if isinstance(first, httpx.Response):  # it was quicker than the kill
        assert first.json()["session_id"] == retried["session_id"]

    await asyncio.to_thread(stack.supervisor.start, stack.programs["gateway.1"])
    await asyncio.to_thread(stack.supervisor.wait_ready)
    answer = await caller.post(path, json=wish, headers=key)
    assert answer.status_code == 201
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.json()["session_id"] == retried["session_id"]
    assert answer.json()["result"] == retried["result"]
    other = await at_another.post(path, json={"message": "b3RoZXI="}, headers=key)
    assert other.status_code == 409
