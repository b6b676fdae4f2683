"""What callers may have meant otherwise is signed by nobody: from the door to the parties."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import asyncpg
import httpx
import pytest

from ops.stack.deployment import Deployment

from .callers import code, made, verifies

DIGEST = hashlib.sha256(b"what is meant").digest()
DIGITS = DIGEST.hex()
URL_SAFE = base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode()
MISTAKEN = {
    "digits": (DIGITS, "message_hash"),
    "digits with 0x": (f"0x{DIGITS}", "message_hash"),
    "upper case": (DIGITS.upper(), "message_hash"),
    "base64url": (URL_SAFE, "base64url"),
    "text": ("Pay 1 coin to Alice", "message_encoding: utf8"),
}


@pytest.fixture
async def account_id(caller: httpx.AsyncClient) -> str:
    wish = {"user_id": "heidi", "curve": "secp256k1"}
    found: str = (await made(caller, "/api/v1/accounts?wait=60", wish))["account_id"]
    return found


def ways(account_id: str) -> dict[str, dict[str, Any]]:
    """Of all that signs: the path, and what it wants besides."""
    return {
        f"/api/v1/accounts/{account_id}/sign": {},
        "/api/v1/mpc/sign": {"key_id": account_id},
        "/api/v1/sessions": {"session_type": "sign", "key_id": account_id},
    }


async def begun(stack: Deployment) -> int:
    connection = await asyncpg.connect(stack.database_urls["coordinator"])
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM sessions WHERE protocol NOT IN ('presign', 'nonces')"
        )
        return count
    finally:
        await connection.close()


@pytest.mark.parametrize("mistaken", MISTAKEN)
async def test_one_encoding_taken_for_another_begins_nothing_and_names_the_right_field(
    stack: Deployment, caller: httpx.AsyncClient, account_id: str, mistaken: str
) -> None:
    message, named = MISTAKEN[mistaken]
    before = await begun(stack)
    for path, wish in ways(account_id).items():
        answer = await caller.post(path, json={**wish, "message": message})
        assert code(answer, 422) == "invalid_request"
        assert named in answer.text
    assert await begun(stack) == before


async def test_what_is_said_to_be_a_digest_is_signed_as_it_is(
    caller: httpx.AsyncClient, account_id: str
) -> None:
    for path, wish in ways(account_id).items():
        for asked, digest in [
            ({"message_hash": DIGITS}, DIGEST),
            (
                {"message": DIGITS, "message_encoding": "hex"},
                hashlib.sha256(DIGEST).digest(),
            ),
        ]:
            signed = (await made(caller, f"{path}?wait=60", {**wish, **asked}))["result"]
            assert signed["message_hash"] == digest.hex()
            assert verifies(signed)
