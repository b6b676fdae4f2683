"""A field in another spelling: told which it is, where the body has it."""

from __future__ import annotations

from typing import Any

import pytest

from .callers import calls, gateway
from .desks import DeskDouble

TOKEN = "00" * 32
SIGN: dict[str, Any] = {"message": "aGVsbG8="}
KEYGEN: dict[str, Any] = {"threshold_n": 3, "threshold_t": 2}
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "keygen": ("POST", "/api/v1/mpc/keygen", KEYGEN),
    "sign": ("POST", "/api/v1/mpc/sign", {"key_id": "k", **SIGN}),
    "account": ("POST", "/api/v1/accounts", {"user_id": "u"}),
    "account_sign": ("POST", "/api/v1/accounts/a/sign", SIGN),
    "config": ("PUT", "/api/v1/accounts/a/signing-config", {"parties": ["a", "b"]}),
    "keygen_session": ("POST", "/api/v1/sessions", {"session_type": "keygen", **KEYGEN}),
    "typed_session": ("POST", "/api/v1/sessions", {"type": "keygen", **KEYGEN}),
    "sign_session": ("POST", "/api/v1/sessions", {"session_type": "sign", "key_id": "k", **SIGN}),
    "join": ("POST", f"/api/v1/sessions/{TOKEN}/join", {"join_token": TOKEN}),
}


async def message(body: str, field: str) -> str:
    """What is said of the field, which is sent beside what the body must have."""
    method, path, others = BODIES[body]
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.request(method, path, json={**others, field: "x"})
    assert answer.status_code == 422
    (said,) = [each for each in answer.json()["errors"] if each["field"].endswith(f".{field}")]
    return str(said["message"])


@pytest.mark.parametrize(
    ("body", "field", "right"),
    [
        ("keygen", "thresholdN", "threshold_n"),
        ("keygen", "ThresholdT", "threshold_t"),
        ("sign", "keyId", "key_id"),
        ("sign", "keyID", "key_id"),
        ("sign", "accountId", "account_id"),
        ("sign", "messageHash", "message_hash"),
        ("sign", "message-hash", "message_hash"),
        ("sign", "MESSAGE_ENCODING", "message_encoding"),
        ("sign", "derivationpath", "derivation_path"),
        ("account", "userId", "user_id"),
        ("account_sign", "messageHash", "message_hash"),
        ("config", "Parties", "parties"),
        ("keygen_session", "sessionType", "session_type"),
        ("typed_session", "thresholdN", "threshold_n"),
        ("sign_session", "keyId", "key_id"),
        ("join", "joinToken", "join_token"),
        ("join", "partyId", "party_id"),
    ],
)
async def test_a_field_of_the_body_in_another_spelling_is_told(
    body: str, field: str, right: str
) -> None:
    assert await message(body, field) == f"is no field here; do you mean {right}?"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("keygen", "keyId"),
        ("keygen", "messageHash"),
        ("account", "accountId"),
        ("account_sign", "keyId"),
        ("account_sign", "parties"),
        ("config", "thresholdT"),
        ("keygen_session", "keyId"),
        ("join", "sessionId"),
        ("sign", "isAdmin"),
        ("sign", "threshold"),
    ],
)
async def test_a_field_that_the_body_has_in_no_spelling_is_only_refused(
    body: str, field: str
) -> None:
    assert await message(body, field) == "is no field here"


async def test_everything_else_that_does_not_fit_is_told_beside_it() -> None:
    sent = {"keyId": "k", "colour": 1, "scheme": "rsa", "derivation_path": "m/0'", "message": "!"}
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/mpc/sign", json=sent)
    said = {each["field"]: each["message"] for each in answer.json()["errors"]}
    assert said["body.keyId"] == "is no field here; do you mean key_id?"
    assert said["body.colour"] == "is no field here"
    assert said["body.scheme"].startswith("Input should be 'ed25519'")
    assert said["body.derivation_path"].startswith("String should match")
    assert said["body.message"].startswith("must be standard base64")
