"""Who may enter, what belongs to whom, and what is asked for twice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from contracts.primitives import Scope

from .callers import KEYGEN, MESSAGE, PARTIES, code, made, told, verifies
from .conftest import Letting

LIST = "/api/v1/accounts"
REVOKED_WITHIN_S = 8


async def test_who_has_no_key_stays_outside(caller: httpx.AsyncClient) -> None:
    for wrong in ("wrong", "", "x" * 5000):
        refused = await caller.get(LIST, headers={"X-API-Key": wrong})
        assert code(refused, 401) == "unauthenticated"


async def test_a_key_never_sees_what_is_anothers(
    caller: httpx.AsyncClient, letting: Letting
) -> None:
    account = await made(caller, f"{LIST}?wait=30", {"user_id": "bob", "curve": "ed25519"})
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    mine = f"{LIST}/{account['account_id']}"
    session = f"/api/v1/sessions/{begun['session_id']}"
    joining = {"join_token": begun["join_token"], "party_id": PARTIES[0]}
    by_key = {"key_id": account["account_id"], "message": MESSAGE}
    asked: list[tuple[str, str, Any]] = [
        ("GET", mine, None),
        ("POST", f"{mine}/sign", {"message": MESSAGE}),
        ("GET", f"{mine}/signing-config", None),
        ("PUT", f"{mine}/signing-config", {"parties": PARTIES[:2]}),
        ("DELETE", f"{mine}/signing-config", None),
        ("GET", session, None),
        ("GET", f"{session}/events", None),
        ("GET", f"/api/v1/mpc/sessions/{begun['session_id']}", None),
        ("POST", f"{session}/join", joining),
        ("POST", f"{session}/cancel", None),
        ("POST", "/api/v1/mpc/sign", by_key),
        ("POST", "/api/v1/sessions", {"session_type": "sign", **by_key}),
    ]
    async with letting("stranger") as other:
        assert told(await other.get(LIST))["accounts"] == []
        for method, path, body in asked:
            refused = await other.request(method, path, json=body)
            assert code(refused, 404) in {"unknown_key", "unknown_request", "unknown_account"}
    # Nothing of it had an effect.
    told(await caller.post(f"{session}/join", json=joining))
    assert told(await caller.get(f"{mine}/signing-config"))["configured"] is False


async def test_two_tenants_have_idempotency_keys_of_their_own(
    caller: httpx.AsyncClient, letting: Letting
) -> None:
    same = {"Idempotency-Key": "1"}
    async with letting("namesake") as other:
        mine, theirs = [
            await made(who, "/api/v1/mpc/keygen", KEYGEN, **same) for who in (caller, other)
        ]
    assert mine["session_id"] != theirs["session_id"]


async def test_a_key_without_the_scope_may_not(letting: Letting) -> None:
    async with letting("reader", Scope.READ) as reader:
        told(await reader.get(LIST))
        assert code(await reader.post(LIST, json={"user_id": "x"}), 403) == "scope_missing"


async def test_behind_a_proxy_the_callers_own_address_counts(
    behind_proxy: httpx.AsyncClient,
) -> None:
    for forwarded, status in (
        ("192.0.2.7", 200),
        ("203.0.113.9, 192.0.2.7", 200),  # what stands left anybody can have written
        ("192.0.2.7, 203.0.113.9", 403),
        ("203.0.113.9", 403),
    ):
        answer = await behind_proxy.get(LIST, headers={"X-Forwarded-For": forwarded})
        assert answer.status_code == status, forwarded
    refused = await behind_proxy.get(LIST, headers={"X-Forwarded-For": ""})
    assert code(refused, 403) == "address_refused"


async def test_nobody_else_is_believed_where_he_says_he_comes_from(
    caller: httpx.AsyncClient,
) -> None:
    answer = await caller.get(LIST, headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 200


async def test_the_same_wish_at_two_gateways_at_once_is_one_session(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    wish = {"user_id": "erin", "curve": "ed25519"}
    account = await made(caller, f"{LIST}?wait=30", wish)
    path = f"{LIST}/{account['account_id']}/sign?wait=30"
    for attempt in range(20):
        same = {"Idempotency-Key": f"pay this once, please: {attempt}"}
        answers = await asyncio.gather(
            *(
                who.post(path, json={"message": MESSAGE}, headers=same)
                for who in (caller, at_another)
            ),
            *(
                who.post(path, json={"message": MESSAGE}, headers=same)
                for who in (caller, at_another)
            ),
        )
        signed = [told(answer, 201) for answer in answers]
        assert len({each["session_id"] for each in signed}) == 1
        assert all(each["result"] == signed[0]["result"] for each in signed)
        assert all(each["join_tokens"] == signed[0]["join_tokens"] for each in signed)
        assert verifies(signed[0]["result"])
        replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
        assert replayed.count(None) <= 1
        other = await at_another.post(path, json={"message": "b3RoZXI="}, headers=same)
        assert code(other, 409) == "idempotency_conflict"


async def test_more_parties_than_there_are_is_the_callers_mistake(
    caller: httpx.AsyncClient,
) -> None:
    refused = await caller.post("/api/v1/mpc/keygen", json={"threshold_n": 5, "threshold_t": 2})
    assert code(refused, 422) == "too_few_parties"
    assert refused.json()["retryable"] is False
