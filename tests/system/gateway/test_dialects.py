"""Each dialect from the creation of a session to a signature that others verify."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ops.stack.gateways import Gateways

from .callers import KEYGEN, MESSAGE, PARTICIPANTS, PARTIES, code, ended, events, made, told
from .callers import verifies as verifies_elsewhere

DIGEST = hashlib.sha256(b"something else").hexdigest()


@pytest.fixture(scope="module")
def accounts() -> dict[str, Any]:
    return {}


async def test_a_gateway_is_ready_and_says_so(caller: httpx.AsyncClient) -> None:
    assert (await caller.get("/health")).json() == {"service": "gateway", "status": "healthy"}
    assert (await caller.get("/health/ready")).json()["status"] == "ready"
    assert "warren_gateway_requests_total" in (await caller.get("/metrics")).text


async def test_the_specialised_dialect_makes_a_key_and_signs(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    begun = await made(caller, "/api/v1/mpc/keygen", KEYGEN)
    assert (begun["session_type"], begun["status"]) == ("keygen", "waiting")
    assert (begun["threshold_n"], begun["threshold_t"]) == (3, 2)
    assert set(begun["join_tokens"]) == set(PARTIES)
    assert len(set(begun["join_tokens"].values())) == 3
    key = (await ended(at_another, begun["session_id"]))["result"]

    wish = {"key_id": key["key_id"], "message_hash": "0x" + DIGEST, "parties": PARTIES[1:]}
    begun = await made(at_another, "/api/v1/mpc/sign", wish)
    assert set(begun["join_tokens"]) == set(PARTIES[1:])
    over = await ended(caller, begun["session_id"])
    assert over["status"] == "completed"
    signed = over["result"]
    assert signed["public_key"] == key["public_key"]
    assert signed["message_hash"] == DIGEST
    assert sorted(signed["signers"]) == PARTIES[1:]
    assert verifies_elsewhere(signed)


async def test_a_child_of_the_key_signs_for_its_own_public_key(caller: httpx.AsyncClient) -> None:
    key = (await made(caller, "/api/v1/mpc/keygen?wait=60", KEYGEN))["result"]
    wish = {"key_id": key["key_id"], "message": MESSAGE, "derivation_path": "m/0/7"}
    signed = (await made(caller, "/api/v1/mpc/sign?wait=60", wish))["result"]
    assert signed["derivation_path"] == "m/0/7"
    assert signed["public_key"] != key["public_key"]
    assert verifies_elsewhere(signed)


@pytest.mark.parametrize(
    ("curve", "scheme"), [("secp256k1", "ecdsa"), ("secp256k1", "bip340"), ("ed25519", "ed25519")]
)
async def test_an_account_signs_in_every_scheme_that_others_verify(
    caller: httpx.AsyncClient,
    at_another: httpx.AsyncClient,
    accounts: dict[str, Any],
    curve: str,
    scheme: str,
) -> None:
    if curve not in accounts:
        wish = {"user_id": "alice", "curve": curve}
        accounts[curve] = await made(caller, "/api/v1/accounts?wait=60", wish)
    account = accounts[curve]
    assert account["status"] == "completed"
    begun = await made(
        at_another,
        f"/api/v1/accounts/{account['account_id']}/sign",
        {"message": MESSAGE, "scheme": scheme},
    )
    signed = (await ended(caller, begun["session_id"]))["result"]
    hashed = hashlib.sha256(b"hello").digest() if curve == "secp256k1" else b"hello"
    assert signed["message_hash"] == hashed.hex()
    # BIP-340 has the key without its sign.
    assert account["public_key"].endswith(signed["public_key"])
    assert verifies_elsewhere(signed)
    assert not verifies_elsewhere({**signed, "message_hash": DIGEST})


async def test_the_generic_dialect_makes_a_key_and_signs(caller: httpx.AsyncClient) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    path = f"/api/v1/sessions/{begun['session_id']}"
    for party_id in PARTIES:
        wish = {"join_token": begun["join_token"], "party_id": party_id}
        joined = told(await caller.post(f"{path}/join", json=wish))
        assert joined["party_id"] == party_id
    key = (await ended(caller, begun["session_id"]))["result"]

    wish = {"session_type": "sign", "key_id": key["key_id"], "message": MESSAGE}
    over = await made(caller, "/api/v1/sessions?wait=60", wish)
    assert verifies_elsewhere(over["result"])
    looked = told(await caller.get(f"/api/v1/sessions/{over['session_id']}"))
    assert looked["result"] == over["result"]
    assert [each["done"] for each in looked["progress"]] == [2, 2]


async def test_what_one_dialect_begins_the_other_can_watch(caller: httpx.AsyncClient) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    for path in ("/api/v1/sessions", "/api/v1/mpc/sessions"):
        looked = told(await caller.get(f"{path}/{begun['session_id']}", params={"wait": 30}))
        assert looked["status"] == "completed"


async def test_a_join_token_is_good_for_one_party_of_one_session_late_and_repeated_too(
    caller: httpx.AsyncClient,
) -> None:
    wish = {"session_type": "keygen", **KEYGEN}
    one, other = [await made(caller, "/api/v1/sessions", wish) for _ in range(2)]
    path = f"/api/v1/sessions/{one['session_id']}/join"
    joining = {"join_token": one["join_token"], "party_id": PARTIES[0]}
    strange = {"join_token": other["join_token"], "party_id": PARTIES[0]}
    assert code(await caller.post(path, json=strange), 403) == "token_refused"
    for _ in range(2):
        joined = told(await caller.post(path, json=joining))
        assert (joined["session_id"], joined["party_id"]) == (one["session_id"], PARTIES[0])
    assert (await ended(caller, one["session_id"]))["status"] == "completed"
    late = {**joining, "party_id": PARTIES[1]}
    joined = told(await caller.post(path, json=late))
    assert (joined["status"], joined["party_id"]) == ("completed", PARTIES[1])
    assert code(await caller.post(path, json=strange), 403) == "token_refused"


async def test_joins_of_a_caller_who_takes_his_time_all_end_well(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    path = f"/api/v1/sessions/{begun['session_id']}/join"
    for pause_s, party_id in zip((0.45, 0.45, 2.5), PARTIES, strict=True):
        await asyncio.sleep(pause_s)
        wish = {"join_token": begun["join_token"], "party_id": party_id}
        assert told(await caller.post(path, json=wish))["party_id"] == party_id
    assert told(await at_another.post(path, json=wish))["party_id"] == PARTIES[-1]
    assert (await ended(caller, begun["session_id"]))["status"] == "completed"


async def test_a_partys_own_token_joins_nobody_else(caller: httpx.AsyncClient) -> None:
    begun = await made(caller, "/api/v1/mpc/keygen", KEYGEN)
    path = f"/api/v1/sessions/{begun['session_id']}/join"
    wish = {"join_token": begun["join_tokens"][PARTIES[0]], "party_id": PARTIES[1]}
    assert code(await caller.post(path, json=wish), 403) == "token_refused"


async def test_a_session_is_cancelled_once_and_says_so(caller: httpx.AsyncClient) -> None:
    begun = await made(caller, "/api/v1/sessions", {"session_type": "keygen", **KEYGEN})
    path = f"/api/v1/sessions/{begun['session_id']}"
    cancelled = told(await caller.post(f"{path}/cancel"))
    assert cancelled["status"] == "cancelled"
    assert cancelled["failure"]["code"] == "cancelled"
    assert told(await caller.get(path))["status"] == "cancelled"
    assert told(await caller.post(f"{path}/cancel"))["status"] == "cancelled"


async def test_those_sign_whom_the_account_is_configured_with(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    wish = {"user_id": "carol", "curve": "ed25519"}
    account = await made(caller, "/api/v1/accounts?wait=60", wish)
    path = f"/api/v1/accounts/{account['account_id']}"
    config = f"{path}/signing-config"
    assert told(await caller.get(config))["configured"] is False
    for parties in (PARTIES[1:], [PARTIES[0], PARTIES[2]]):
        put = told(await caller.put(config, json={"parties": parties}))
        assert (put["configured"], put["parties"]) == (True, parties)
        for _ in range(2):
            signed = (await made(at_another, f"{path}/sign?wait=60", {"message": MESSAGE}))[
                "result"
            ]
            assert sorted(signed["signers"]) == parties
    assert told(await caller.delete(config))["configured"] is False
    few = await caller.put(config, json={"parties": [PARTIES[0], "server-party-9"]})
    assert few.status_code == 422


async def test_a_session_is_followed_and_taken_up_where_it_was_left(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    wish = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2, "curve": "ed25519"}
    begun = await made(caller, "/api/v1/sessions", wish)
    kind, first, session = await anext(events(caller, begun["session_id"]))
    assert (kind, session["status"]) == ("session", "waiting")
    seen = [
        each async for each in events(at_another, begun["session_id"], **{"Last-Event-ID": first})
    ]
    assert first not in {each[1] for each in seen}
    assert [each[0] for each in seen] == ["session"] * (len(seen) - 1) + ["end"]
    _, last, session = seen[-1]
    assert session["status"] == "completed"
    assert len(session["participants"]) == len(PARTICIPANTS)
    path = f"/api/v1/sessions/{begun['session_id']}/events"
    assert (await caller.get(path, headers={"Last-Event-ID": last})).status_code == 204


async def test_a_session_is_followed_by_socket_as_by_stream(
    caller: httpx.AsyncClient, gateways: Gateways
) -> None:
    wish = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2, "curve": "ed25519"}
    begun = await made(caller, "/api/v1/sessions", wish)
    path = f"/api/v1/sessions/{begun['session_id']}/events"
    url = gateways.urls[1].replace("http://", "ws://") + path
    key = {"X-API-Key": gateways.api_key}
    async with connect(url, additional_headers=key, proxy=None) as follower:
        seen = [json.loads(message) async for message in follower]
        assert follower.close_code == 1000
    assert [each["event"] for each in seen] == ["session"] * (len(seen) - 1) + ["end"]
    assert seen[-1]["data"] == told(await caller.get(path.removesuffix("/events")))
    for wrong, status in (("wrong", 401), (gateways.api_key, 404)):
        unknown = url.replace(begun["session_id"], "0" * 64)
        with pytest.raises(InvalidStatus) as refused:
            await connect(unknown, additional_headers={"X-API-Key": wrong}, proxy=None)
        assert refused.value.response.status_code == status


async def test_a_user_has_one_account_at_all_gateways_and_its_key_is_looked_at(
    caller: httpx.AsyncClient, at_another: httpx.AsyncClient
) -> None:
    wish = {"user_id": "grace", "curve": "ed25519"}
    asked = (who.post("/api/v1/accounts", json=wish) for who in (caller, at_another, caller))
    accounts = [told(answer, 201) for answer in await asyncio.gather(*asked)]
    account_id = accounts[0]["account_id"]
    assert {each["account_id"] for each in accounts} == {account_id}
    made_key = await made(at_another, "/api/v1/accounts?wait=60", wish)
    assert (made_key["account_id"], made_key["status"]) == (account_id, "completed")
    listed = told(await caller.get("/api/v1/accounts", params={"user_id": "grace"}))
    assert [each["account_id"] for each in listed["accounts"]] == [account_id]
    key = told(await at_another.get(f"/api/v1/keys/{account_id}"))
    assert key["public_key"] == made_key["public_key"]
    digest = {"message": DIGEST}
    refused = await caller.post(f"/api/v1/accounts/{account_id}/sign", json=digest)
    assert code(refused, 422) == "invalid_request"
