"""What callers of old do, and what they make sure of by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import coincurve
import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PATIENCE_S = 60
PARTIES = ["server-party-1", "server-party-2", "server-party-3"]
PARTICIPANTS = [
    {"party_id": party_id, "device_type": "server", "device_id": f"party{i}"}
    for i, party_id in enumerate(PARTIES, start=1)
]
KEYGEN = {"threshold_n": 3, "threshold_t": 2, "participants": PARTICIPANTS}
MESSAGE = "aGVsbG8="
"""The word "hello"."""


@contextlib.asynccontextmanager
async def calling(url: str, secret: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": secret}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=2 * PATIENCE_S) as caller:
        yield caller


async def made(caller: httpx.AsyncClient, path: str, body: dict[str, Any], **more: str) -> Any:
    return told(await caller.post(path, json=body, headers=more), 201)


async def ended(caller: httpx.AsyncClient, session_id: str) -> Any:
    """The session when it is over."""
    return told(await caller.get(f"/api/v1/sessions/{session_id}", params={"wait": PATIENCE_S}))


def told(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def code(answer: httpx.Response, status: int) -> str:
    """Of the problem that it is."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = told(answer, status)
    assert problem["remedy"]
    return str(problem["code"])


def verifies(signed: dict[str, Any]) -> bool:
    """By libraries that have nothing to do with ours."""
    message = bytes.fromhex(signed["message_hash"])
    public_key = bytes.fromhex(signed["public_key"])
    if signed["scheme"] == "ecdsa":
        return coincurve.PublicKey(public_key).verify(
            bytes.fromhex(signed["der"]), message, hasher=None
        )
    if signed["scheme"] == "bip340":
        return coincurve.PublicKeyXOnly(public_key).verify(
            bytes.fromhex(signed["signature"]), message
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            bytes.fromhex(signed["signature"]), message
        )
    except InvalidSignature:
        return False
    return True


async def eventually(
    ask: Callable[[], Awaitable[httpx.Response]], status: int, within_s: float = PATIENCE_S
) -> httpx.Response:
    """The first answer with this status."""
    deadline = time.monotonic() + within_s
    while (answer := await ask()).status_code != status:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.05)
    return answer


async def events(
    caller: httpx.AsyncClient, session_id: str, **headers: str
) -> AsyncGenerator[tuple[str, str, dict[str, Any]], None]:
    """Event, id and data, as they come."""
    path = f"/api/v1/sessions/{session_id}/events"
    async with caller.stream("GET", path, headers=headers) as stream:
        assert stream.status_code == 200
        said: dict[str, str] = {}
        async for line in stream.aiter_lines():
            name, colon, value = line.partition(": ")
            if line and colon:
                said[name] = value
            elif not line and "data" in said:
                yield said["event"], said["id"], json.loads(said["data"])
                said = {}
