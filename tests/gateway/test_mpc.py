"""The specialised dialect."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts import ecdsa
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme, Scope
from gateway.entry.api_keys import Caller

from .callers import BOB, calls, gateway
from .desks import DeskDouble

KEYGEN: dict[str, Any] = {
    "threshold_n": 3,
    "threshold_t": 2,
    "participants": [
        {"party_id": f"server-party-{n}", "device_type": "server", "device_id": f"party{n}"}
        for n in (1, 2, 3)
    ],
}
MESSAGE = b"Pay 1 coin to Alice"
DIGEST = hashlib.sha256(MESSAGE).digest()


async def made_key(http: httpx.AsyncClient, **changes: Any) -> str:
    answer = await http.post("/api/v1/mpc/keygen?wait=5", json={**KEYGEN, **changes})
    assert answer.status_code == 201, answer.text
    key_id = answer.json()["result"]["key_id"]
    assert isinstance(key_id, str)
    return key_id


async def refused(http: httpx.AsyncClient, path: str, body: Any, status: int = 422) -> str:
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.text


async def test_a_keygen_is_answered_with_exactly_the_fields_that_callers_know() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        answer = await http.post("/api/v1/mpc/keygen", json=KEYGEN)
    told = answer.json()
    assert answer.status_code == 201
    assert set(told) == {
        "session_id",
        "session_type",
        "threshold_n",
        "threshold_t",
        "status",
        "join_tokens",
    }
    assert (told["session_type"], told["status"]) == ("keygen", "waiting")
    assert set(told["join_tokens"]) == {f"server-party-{n}" for n in (1, 2, 3)}
    assert len(set(told["join_tokens"].values())) == 3
    assert answer.headers["location"] == f"/api/v1/sessions/{told['session_id']}"
    (asked,) = desk.asked
    assert asked["parties"] == ["party-1", "party-2", "party-3"]
    assert (asked["threshold"], asked["party_count"]) == (2, 3)
    assert asked["curve"] is Curve.SECP256K1
    assert asked["join_window_ms"] is None


async def test_participants_may_be_left_out() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        answer = await http.post("/api/v1/mpc/keygen", json={"threshold_n": 3, "threshold_t": 2})
    assert answer.status_code == 201
    assert desk.asked[0]["parties"] is None


async def test_answers_call_the_parties_as_the_caller_did() -> None:
    own = [{"party_id": "party-1"}, {"party_id": "server-party-2"}, {"party_id": "party-4"}]
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/mpc/keygen", json={**KEYGEN, "participants": own})
    assert set(answer.json()["join_tokens"]) == {"party-1", "server-party-2", "party-4"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold_t": 4}, "threshold_t 4 is more than threshold_n 3"),
        ({"threshold_t": 1}, "body.threshold_t"),
        ({"threshold_n": "3"}, "body.threshold_n"),
        ({"threshold_n": True}, "body.threshold_n"),
        ({"threshold_n": 4}, "participants names 3 parties and threshold_n is 4"),
        ({"threshold": 1}, "body.threshold"),
        ({"curve": "p256"}, "body.curve"),
        ({"participants": [{"party_id": f"party-{n}"} for n in (1, 1, 2)]}, "twice"),
        ({"participants": [{"party_id": f"{n}party-1"} for n in ("", "server-", "x")]}, "twice"),
        ({"participants": [{"party_id": f"{n}/.."} for n in (1, 2, 3)]}, "no party's name"),
    ],
)
async def test_a_keygen_that_cannot_be_is_refused_in_words(
    changes: dict[str, Any], said: str
) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        assert said in await refused(http, "/api/v1/mpc/keygen", {**KEYGEN, **changes})
    assert not desk.asked


async def test_what_a_caller_says_of_a_device_changes_nothing() -> None:
    more = [{**each, "app_version": "7"} for each in KEYGEN["participants"]]
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/mpc/keygen", json={**KEYGEN, "participants": more})
    assert answer.status_code == 201


async def test_waiting_for_a_keygen_brings_the_certified_key() -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = (await http.post("/api/v1/mpc/keygen?wait=5", json=KEYGEN)).json()
    assert told["status"] == "completed"
    facts = told["result"]["certified_key"]["facts"]
    assert facts["public_key"] == told["result"]["public_key"]
    assert (facts["key_id"], facts["curve"]) == (told["result"]["key_id"], "secp256k1")


async def test_a_signature_comes_in_all_its_forms_and_verifies() -> None:
    body = {"message": base64.b64encode(MESSAGE).decode(), "parties": ["server-party-1", "party-3"]}
    async with calls(gateway(DeskDouble())) as http:
        body["key_id"] = await made_key(http)
        told = (await http.post("/api/v1/mpc/sign?wait=5", json=body)).json()
        seen = (await http.get(f"/api/v1/mpc/sessions/{told['session_id']}")).json()
    made = told["result"]
    assert (told["session_type"], told["status"]) == ("sign", "completed")
    assert (told["threshold_n"], told["threshold_t"]) == (3, 2)
    assert set(told["join_tokens"]) == {"server-party-1", "party-3"}
    assert made["signers"] == ["server-party-1", "party-3"]
    assert made["message_hash"] == DIGEST.hex()
    assert made["signature"] == f"{made['r']}{made['s']}0{made['recovery_id']}"
    ecdsa.check(bytes.fromhex(made["public_key"]), DIGEST, bytes.fromhex(made["signature"]))
    assert (
        ecdsa.EcdsaSignature.from_bytes(bytes.fromhex(made["signature"])).der.hex() == made["der"]
    )
    # Later nobody knows by which name this caller called it, and the gateway's own map counts.
    assert seen["result"] == {**made, "signers": ["server-party-1", "server-party-3"]}


@pytest.mark.parametrize("written", [DIGEST.hex(), f"0x{DIGEST.hex()}", DIGEST.hex().upper()])
async def test_a_hash_is_signed_as_it_is(written: str) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        answer = await http.post(
            "/api/v1/mpc/sign", json={"account_id": key_id, "message_hash": written}
        )
    assert answer.status_code == 201
    assert (desk.asked[-1]["message"], desk.asked[-1]["scheme"]) == (DIGEST, Scheme.ECDSA)


@pytest.mark.parametrize(
    ("curve", "scheme", "signed", "used"),
    [
        ("secp256k1", None, DIGEST, Scheme.ECDSA),
        ("secp256k1", "bip340", DIGEST, Scheme.BIP340),
        ("secp256k1", "secp256k1", MESSAGE, Scheme.SECP256K1),
        ("ed25519", None, MESSAGE, Scheme.ED25519),
    ],
)
async def test_a_message_is_hashed_as_the_scheme_wants_it(
    curve: str, scheme: str | None, signed: bytes, used: Scheme
) -> None:
    desk = DeskDouble()
    body = {"message": base64.b64encode(MESSAGE).decode(), "scheme": scheme}
    async with calls(gateway(desk)) as http:
        body["key_id"] = await made_key(http, curve=curve)
        told = (await http.post("/api/v1/mpc/sign?wait=1", json=body)).json()
    assert (desk.asked[-1]["message"], desk.asked[-1]["scheme"]) == (signed, used)
    assert told["result"]["message_hash"] == signed.hex()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"message": "AA=="}, "either message_hash"),
        ({"message_hash": None}, "either message_hash"),
        ({"message_hash": "0x00"}, "ecdsa signs exactly 32 bytes, and it has 1"),
        ({"message_hash": "abc"}, "even number of hex digits"),
        ({"message_hash": None, "message": "!"}, "standard base64"),
        ({"message_hash": None, "message": ""}, "must have 1 to 65536 bytes"),
        ({"account_id": "other"}, "either account_id or key_id"),
        ({"key_id": None}, "either account_id or key_id"),
        ({"scheme": "ed25519"}, "does not go with a key on secp256k1"),
        ({"derivation_path": "m/0'"}, "body.derivation_path"),
        ({"parties": ["party-1", "party-2", "party-3"]}, "exactly 2 sign with this key"),
        ({"parties": ["party-1", "server-party-1"]}, "twice"),
        ({"hash_type": 1}, "body.hash_type"),
        ({"messageHash": "00"}, "do you mean message_hash?"),
        ({"keyID": "k"}, "do you mean key_id?"),
    ],
)
async def test_a_signature_that_cannot_be_is_refused_in_words(
    changes: dict[str, Any], said: str
) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        body = {"key_id": await made_key(http), "message_hash": DIGEST.hex()}
        assert said in await refused(http, "/api/v1/mpc/sign", {**body, **changes})
    assert len(desk.asked) == 1  # for the key


async def test_a_key_on_ed25519_has_no_children() -> None:
    async with calls(gateway(DeskDouble())) as http:
        body = {"key_id": await made_key(http, curve="ed25519"), "message": "AAAA"}
        said = await refused(http, "/api/v1/mpc/sign", {**body, "derivation_path": "m/1"})
    assert "keys on ed25519 have no children" in said


async def test_a_strangers_key_does_not_exist() -> None:
    app = gateway(DeskDouble())
    async with calls(app) as alice, calls(app, BOB) as bob:
        body = {"key_id": await made_key(alice), "message_hash": DIGEST.hex()}
        assert "unknown_key" in await refused(bob, "/api/v1/mpc/sign", body, 404)


async def test_a_failed_session_is_told_with_its_reason_and_the_callers_names() -> None:
    desk = DeskDouble()
    desk.failing = Failure.of(FailureCode.PARTY_FAULT, "a lie", round=2, culprits=["party-2"])
    async with calls(gateway(desk)) as http:
        answer = await http.post("/api/v1/mpc/keygen?wait=5", json=KEYGEN)
    assert answer.status_code == 201
    assert answer.json()["status"] == "failed"
    assert answer.json()["failure"] == {
        "code": "party_fault",
        "message": "a lie",
        "retryable": True,
        "round": 2,
        "culprits": ["server-party-2"],
        "silent": [],
    }


async def test_the_same_idempotency_key_and_body_give_the_same_session() -> None:
    desk, headers = DeskDouble(), {"Idempotency-Key": "a key with spaces, and / more"}
    reordered = dict(reversed(KEYGEN.items()))
    async with calls(gateway(desk)) as http:
        first = await http.post("/api/v1/mpc/keygen", json=KEYGEN, headers=headers)
        again = await http.post("/api/v1/mpc/keygen", json=reordered, headers=headers)
    assert first.json() == again.json()
    assert again.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(desk.asked) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/mpc/keygen", {**KEYGEN, "threshold_t": 3}),
        ("/api/v1/sessions", {**KEYGEN, "session_type": "keygen"}),
    ],
)
async def test_an_idempotency_key_stands_for_one_request(path: str, body: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "once"}
    async with calls(gateway(DeskDouble())) as http:
        await http.post("/api/v1/mpc/keygen", json=KEYGEN, headers=headers)
        other = await http.post(path, json=body, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"


async def test_without_an_idempotency_key_each_request_is_a_new_one() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        await http.post("/api/v1/mpc/keygen", json=KEYGEN)
        await http.post("/api/v1/mpc/keygen", json=KEYGEN)
    first, second = desk.asked
    assert first["request_id"] != second["request_id"]
    assert first["key_id"] != second["key_id"]
    assert first["reference"] == second["reference"]


async def test_two_idempotency_keys_are_none() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        for second in ("once", "twice"):
            headers = [("Idempotency-Key", "once"), ("Idempotency-Key", second)]
            answer = await http.post("/api/v1/mpc/keygen", json=KEYGEN, headers=headers)
            assert answer.status_code == 422
            assert answer.json()["detail"] == "Idempotency-Key came more than once."
    assert desk.asked == []


async def test_the_same_word_of_two_tenants_makes_two_keys() -> None:
    desk, headers = DeskDouble(), {"Idempotency-Key": "once"}
    app = gateway(desk)
    async with calls(app) as alice, calls(app, BOB) as bob:
        await alice.post("/api/v1/mpc/keygen", json=KEYGEN, headers=headers)
        answer = await bob.post("/api/v1/mpc/keygen", json=KEYGEN, headers=headers)
    assert answer.status_code == 201
    first, second = desk.asked
    assert first["key_id"] != second["key_id"]


@pytest.mark.parametrize("key", [b"", "é".encode(), b"x" * 256])
async def test_an_idempotency_key_that_cannot_be_kept_is_refused(key: bytes) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post(
            "/api/v1/mpc/keygen", json=KEYGEN, headers={b"Idempotency-Key": key}
        )
    assert answer.status_code == 422


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "soon"])
async def test_nobody_waits_for_longer_than_is_allowed(wait: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        assert "query.wait" in await refused(http, f"/api/v1/mpc/keygen?wait={wait}", KEYGEN)


@pytest.mark.parametrize(
    ("path", "lacking"), [("/api/v1/mpc/keygen", Scope.KEYGEN), ("/api/v1/mpc/sign", Scope.SIGN)]
)
async def test_a_key_needs_the_scope(path: str, lacking: Scope) -> None:
    desk, caller = DeskDouble(), Caller("k", "alice", frozenset(Scope) - {lacking})
    body = KEYGEN if lacking is Scope.KEYGEN else {"key_id": "k", "message_hash": DIGEST.hex()}
    async with calls(gateway(desk), caller) as http:
        assert f"scope {lacking}" in await refused(http, path, body, 403)
    assert not desk.asked


@pytest.fixture
def no_recursion_limit() -> Iterator[None]:
    """As some packages leave it behind for everybody."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("no_recursion_limit")
async def test_a_body_nested_beyond_reason_does_no_harm() -> None:
    deep = '{"threshold_n": 3, "threshold_t": 2, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/mpc/keygen", content=deep)
    assert answer.status_code == 422


async def test_what_json_does_not_know_is_refused() -> None:
    async with calls(gateway(DeskDouble())) as http:
        body = '{"threshold_n": NaN, "threshold_t": 2}'
        answer = await http.post("/api/v1/mpc/keygen", content=body)
    assert answer.status_code == 422
