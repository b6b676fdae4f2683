"""Accounts and who signs for them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest

from contracts import ecdsa
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scope
from gateway.entry.api_keys import Caller

from .callers import BOB, calls, gateway
from .desks import DeskDouble
from .test_mpc import DIGEST, MESSAGE, refused

ACCOUNTS = "/api/v1/accounts"


async def made(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"{ACCOUNTS}?wait=5", json={"user_id": "alice", **body})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_an_account_is_of_two_of_three_parties_unless_told_otherwise() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        usual = await http.post(ACCOUNTS, json={"user_id": "Алиса"})
        other = await made(http, threshold_n=4, threshold_t=3, curve="ed25519")
    told = usual.json()
    assert usual.status_code == 201
    assert told["user_id"] == desk.asked[0]["user_id"] == "Алиса"
    assert (told["status"], told["threshold_n"], told["threshold_t"]) == ("waiting", 3, 2)
    assert told["parties"] == [f"server-party-{n}" for n in (1, 2, 3)]
    assert "public_key" not in told
    assert usual.headers["location"] == f"/api/v1/sessions/{told['session_id']}"
    assert (other["status"], other["threshold_n"], other["threshold_t"]) == ("completed", 4, 3)
    assert desk.asked[1]["curve"] is Curve.ED25519
    assert len(bytes.fromhex(other["public_key"])) == 32


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "body.user_id"),
        ({"user_id": ""}, "body.user_id"),
        ({"user_id": "a\nb"}, "body.user_id"),
        ({"user_id": "a" * 129}, "body.user_id"),
        ({"user_id": "a", "threshold_n": 2, "threshold_t": 3}, "threshold_t 3 is more"),
        ({"user_id": "a", "threshold": 3}, "body.threshold"),
        ({"user_id": "a", "participants": [{"party_id": "party-1"}] * 2}, "threshold_n is 3"),
    ],
)
async def test_an_account_that_cannot_be_is_refused_in_words(
    body: dict[str, Any], said: str
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        assert said in await refused(http, ACCOUNTS, body)


async def test_an_account_is_waited_for_until_it_can_sign() -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = (await http.post(ACCOUNTS, json={"user_id": "alice"})).json()
        path = f"{ACCOUNTS}/{told['account_id']}"
        assert (await http.get(path)).json()["status"] == "waiting"
        waited = (await http.get(f"{path}?wait=5")).json()
    assert waited["status"] == "completed"
    assert len(bytes.fromhex(waited["public_key"])) == 33


async def test_a_repeated_account_is_the_same_one() -> None:
    headers = {"Idempotency-Key": "alices-account"}
    async with calls(gateway(DeskDouble())) as http:
        first = await http.post(ACCOUNTS, json={"user_id": "alice"}, headers=headers)
        again = await http.post(ACCOUNTS, json={"user_id": "alice"}, headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    # A word as short as that may come again when everybody has forgotten it, ids may not.
    assert first.json()["account_id"] != "alices-account"


async def test_an_account_signs_and_the_signature_verifies() -> None:
    message = {"message": base64.b64encode(MESSAGE).decode()}
    async with calls(gateway(DeskDouble())) as http:
        account = await made(http)
        path = f"{ACCOUNTS}/{account['account_id']}/sign"
        told = (await http.post(path, json=message)).json()
        seen = (await http.get(f"/api/v1/sessions/{told['session_id']}?wait=10")).json()
    assert told["status"] == "waiting"
    assert set(told["join_tokens"]) == {"server-party-1", "server-party-2"}
    result = seen["result"]
    assert result["public_key"] == account["public_key"]
    ecdsa.check(bytes.fromhex(result["public_key"]), DIGEST, bytes.fromhex(result["signature"]))


async def test_accounts_are_listed_page_by_page() -> None:
    listed, after, pages = [], "", 0
    async with calls(gateway(DeskDouble())) as http:
        all_ids = sorted([(await made(http, user_id=f"user-{n}"))["account_id"] for n in range(5)])
        while True:
            page = (await http.get(f"{ACCOUNTS}?limit=2{after}")).json()
            listed += [each["account_id"] for each in page["accounts"]]
            pages += 1
            if "next" not in page:
                break
            after = f"&after={page['next']}"
    assert listed == all_ids
    assert pages == 3


async def test_nobody_sees_anothers_accounts() -> None:
    app = gateway(DeskDouble())
    async with calls(app) as alice, calls(app, BOB) as bob:
        path = f"{ACCOUNTS}/{(await made(alice))['account_id']}"
        assert (await bob.get(ACCOUNTS)).json() == {"accounts": []}
        answers = [
            await bob.get(path),
            await bob.get(f"{path}/signing-config"),
            await bob.put(f"{path}/signing-config", json={"parties": ["party-1", "party-2"]}),
            await bob.delete(f"{path}/signing-config"),
            await bob.post(f"{path}/sign", json={"message_hash": DIGEST.hex()}),
        ]
    assert [answer.status_code for answer in answers] == [404] * 5


async def test_a_signing_config_says_who_signs_until_it_is_taken_back() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        path = f"{ACCOUNTS}/{(await made(http))['account_id']}"
        default = await http.get(f"{path}/signing-config")
        body = {"parties": ["server-party-3", "party-2"]}
        put = await http.put(f"{path}/signing-config", json=body)
        got = await http.get(f"{path}/signing-config")
        signed = await http.post(f"{path}/sign?wait=1", json={"message_hash": DIGEST.hex()})
        deleted = await http.delete(f"{path}/signing-config")
    everybody = [f"server-party-{n}" for n in (1, 2, 3)]
    assert (default.json()["configured"], default.json()["parties"]) == (False, everybody)
    assert put.json()["configured"] is True
    assert put.json()["parties"] == body["parties"]
    assert got.json()["parties"] == ["server-party-3", "server-party-2"]
    assert signed.json()["result"]["signers"] == ["server-party-3", "server-party-2"]
    assert desk.asked[-1]["signers"] is None  # the coordinator knows
    assert deleted.json() == default.json()


@pytest.mark.parametrize(
    ("parties", "said"),
    [
        (["party-1"], "body.parties"),
        (["party-1", "server-party-1"], "twice"),
        (["party-1", "party-5"], "unknown_party"),
        ("party-1", "body.parties"),
        (["party-1", "party-2", "party-2"], "twice"),
    ],
)
async def test_a_signing_config_that_cannot_be_is_refused(parties: Any, said: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        path = f"{ACCOUNTS}/{(await made(http))['account_id']}/signing-config"
        answer = await http.put(path, json={"parties": parties})
        assert (await http.get(path)).json()["configured"] is False
    assert answer.status_code == 422
    assert said in answer.text


@pytest.mark.parametrize(
    ("method", "path", "lacking"),
    [
        ("POST", "", Scope.KEYGEN),
        ("GET", "", Scope.READ),
        ("GET", "/a", Scope.READ),
        ("POST", "/a/sign", Scope.SIGN),
        ("POST", "/a/reshare", Scope.RESHARE),
        ("GET", "/a/signing-config", Scope.READ),
        ("PUT", "/a/signing-config", Scope.CONFIGURE),
        ("DELETE", "/a/signing-config", Scope.CONFIGURE),
    ],
)
async def test_each_operation_needs_its_scope(method: str, path: str, lacking: Scope) -> None:
    bodies = {
        "": {"user_id": "alice"},
        "/a/sign": {"message_hash": DIGEST.hex()},
        "/a/reshare": {},
        "/a/signing-config": {"parties": ["party-1", "party-2"]},
    }
    body = bodies.get(path) if method in {"POST", "PUT"} else None
    caller = Caller("k", "alice", frozenset(Scope) - {lacking})
    async with calls(gateway(DeskDouble()), caller) as http:
        answer = await http.request(method, ACCOUNTS + path, json=body)
    assert answer.status_code == 403
    assert f"scope {lacking}" in answer.text


async def test_a_public_key_is_shown_only_out_of_the_certified_key() -> None:
    """Whoever pays to an account pays to what is shown here."""
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        told = await made(http)
        own = next(each.accounts for each in desk.tenants.values() if each.accounts)
        account = own[told["account_id"]]
        for false in (
            account.model_copy(update={"public_key": bytes(33)}),
            account.model_copy(update={"public_key": bytes(33), "key": None}),
        ):
            own[told["account_id"]] = false
            seen = (await http.get(f"{ACCOUNTS}/{told['account_id']}")).json()
            (listed,) = (await http.get(ACCOUNTS)).json()["accounts"]
            shown = None if false.key is None else told["public_key"]
            assert seen.get("public_key") == listed.get("public_key") == shown


async def test_one_user_has_one_account_however_often_it_is_asked_for() -> None:
    app = gateway(DeskDouble())
    async with calls(app) as http, calls(app, BOB) as bob:
        first, at_once = await asyncio.gather(made(http), made(http))
        spelt_out = await made(http, curve="secp256k1", threshold_n=3)
        other_user = await made(http, user_id="carol")
        other_curve = await made(http, curve="ed25519")
        strangers = await made(bob)
        headers = {"Idempotency-Key": "another"}
        asked = await http.post(ACCOUNTS, json={"user_id": "alice"}, headers=headers)
        again = await http.post(ACCOUNTS, json={"user_id": "alice"})
    assert first == at_once == spelt_out == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    others = [other_user, other_curve, strangers, asked.json()]
    assert len({each["account_id"] for each in [first, *others]}) == 5


async def test_an_account_whose_making_failed_is_made_anew() -> None:
    desk = DeskDouble()
    desk.failing = Failure.of(FailureCode.PARTY_FAULT, "a lie", round=2, culprits=["party-2"])
    async with calls(gateway(desk)) as http:
        failed = await http.post(f"{ACCOUNTS}?wait=5", json={"user_id": "alice"})
        assert failed.json()["status"] == "failed"
        desk.failing = None
        assert (await made(http))["status"] == "completed"


async def test_a_users_accounts_are_listed_alone_page_by_page() -> None:
    async with calls(gateway(DeskDouble())) as http:
        curves = [
            await made(http, user_id=user, curve=curve)
            for user in ("alice", "carol")
            for curve in ("secp256k1", "ed25519")
        ]
        all_hers = (await http.get(ACCOUNTS, params={"user_id": "carol"})).json()
        first = (await http.get(ACCOUNTS, params={"user_id": "carol", "limit": 1})).json()
        rest = await http.get(
            ACCOUNTS, params={"user_id": "carol", "limit": 1, "after": first["next"]}
        )
        nobody = (await http.get(ACCOUNTS, params={"user_id": "x"})).json()
    hers = sorted(each["account_id"] for each in curves[2:])
    assert [each["account_id"] for each in all_hers["accounts"]] == hers
    pages = first["accounts"] + rest.json()["accounts"]
    assert [each["account_id"] for each in pages] == hers
    assert nobody == {"accounts": []}


@pytest.mark.parametrize("query", ["userId=carol", "user_id=a&user_id=b", "status=completed"])
async def test_a_filter_that_there_is_not_is_refused_and_not_ignored(query: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.get(f"{ACCOUNTS}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"query.{query.partition('=')[0]}"


async def test_a_key_is_looked_at_with_what_its_parties_signed() -> None:
    app = gateway(DeskDouble())
    async with calls(app) as http, calls(app, BOB) as bob:
        account = await made(http)
        path = f"/api/v1/keys/{account['account_id']}"
        key, hidden = await http.get(path), await bob.get(path)
        unknown = await http.get(path, params={"epoch": 5})
    assert key.json()["public_key"] == account["public_key"]
    assert key.json()["certified_key"]["facts"]["public_key"] == account["public_key"]
    assert (key.json()["threshold_n"], key.json()["threshold_t"]) == (3, 2)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "unknown_key")
    assert unknown.status_code == 422
