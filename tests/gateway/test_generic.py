"""The generic dialect, and that both see the same sessions."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from contracts.primitives import Scope
from gateway.entry.api_keys import Caller

from .callers import BOB, calls, gateway
from .desks import DeskDouble
from .test_mpc import DIGEST, KEYGEN, MESSAGE, made_key, refused

SESSIONS = "/api/v1/sessions"
NEW = {**KEYGEN, "session_type": "keygen"}


async def created(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await http.post(SESSIONS, json={**NEW, **changes})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_session_is_created_with_one_token_for_all() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        told = await created(http)
    assert set(told) == {
        "session_id",
        "session_type",
        "threshold_n",
        "threshold_t",
        "status",
        "join_token",
    }
    assert (told["session_type"], told["status"]) == ("keygen", "waiting")
    # It waits a moment for those who join first and post the rest later.
    assert desk.asked[0]["join_window_ms"] == 1000


async def test_the_type_may_be_called_type() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        answer = await http.post(SESSIONS, json={**KEYGEN, "type": "keygen"})
        both = await http.post(SESSIONS, json={**KEYGEN, "type": "keygen", "session_type": "sign"})
    assert answer.status_code == 201
    assert answer.json()["session_type"] == "keygen"
    assert both.status_code == 422


async def test_the_one_token_joins_each_party_and_may_come_again() -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = await created(http)
        path = f"{SESSIONS}/{told['session_id']}/join"
        body = {"join_token": told["join_token"], "device_type": "server"}
        first = await http.post(path, json={**body, "party_id": "server-party-1"})
        second = await http.post(path, json={**body, "party_id": "party-2"})
        again = await http.post(path, json={**body, "party_id": "party-1"})
        nobody = await http.post(path, json=body)
    assert first.status_code == second.status_code == 200
    assert (first.json()["party_id"], second.json()["party_id"]) == ("server-party-1", "party-2")
    assert [each["status"] for each in second.json()["participants"]] == [
        "joined",
        "joined",
        "waiting",
    ]
    assert second.json()["progress"][0] == {"round": 1, "name": "joined", "done": 2, "total": 3}
    assert again.status_code == 200
    assert again.json() == {**second.json(), "party_id": "party-1"} | {
        "participants": again.json()["participants"]
    }
    assert nobody.status_code == 403
    assert nobody.json()["code"] == "token_refused"


async def test_a_partys_own_token_says_who_joins() -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = (await http.post("/api/v1/mpc/keygen", json=KEYGEN)).json()
        token = told["join_tokens"]["server-party-2"]
        path = f"{SESSIONS}/{told['session_id']}/join"
        joined = await http.post(path, json={"join_token": token})
        other = await http.post(path, json={"join_token": token, "party_id": "party-3"})
    assert joined.json()["party_id"] == "server-party-2"
    assert other.status_code == 403


async def test_who_joins_late_is_told_how_the_session_is() -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = await created(http)
        path = f"{SESSIONS}/{told['session_id']}"
        await http.get(f"{path}?wait=1")
        body = {"join_token": told["join_token"], "party_id": "party-1"}
        late = await http.post(f"{path}/join", json=body)
        wrong = {**body, "join_token": "00" * 32}
        assert "token_refused" in await refused(http, f"{path}/join", wrong, 403)
    assert late.status_code == 200
    assert (late.json()["status"], late.json()["party_id"]) == ("completed", "party-1")


@pytest.mark.parametrize("window_ms", [1, 10_000])
async def test_how_long_a_session_waits_for_joins_is_a_setting(window_ms: int) -> None:
    desk = DeskDouble()
    app = gateway(desk, join_window_ms=window_ms)
    async with calls(app) as http:
        await created(http)
        wish = {
            "session_type": "sign",
            "key_id": await made_key(http),
            "message_hash": DIGEST.hex(),
        }
        await http.post(SESSIONS, json=wish)
    assert [each["join_window_ms"] for each in desk.asked] == [window_ms, None, window_ms]


@pytest.mark.parametrize("token", ["", "00", "x" * 64, "A" * 64, 7, None])
async def test_a_token_that_is_none_is_refused_without_being_repeated(token: Any) -> None:
    async with calls(gateway(DeskDouble())) as http:
        told = await created(http)
        path = f"{SESSIONS}/{told['session_id']}/join"
        said = await refused(http, path, {"join_token": token, "party_id": "party-1"})
    assert "body.join_token" in said
    assert "AAAA" not in said
    assert "xxxx" not in said


async def test_what_one_dialect_begins_the_other_watches() -> None:
    async with calls(gateway(DeskDouble())) as http:
        key_id = await made_key(http)
        theirs = await http.post(
            "/api/v1/mpc/sign", json={"key_id": key_id, "message_hash": DIGEST.hex()}
        )
        ours = await created(http)
        watched = await http.get(f"{SESSIONS}/{theirs.json()['session_id']}?wait=5")
        also = await http.get(f"/api/v1/mpc/sessions/{ours['session_id']}?wait=5")
    assert watched.json()["result"]["message_hash"] == DIGEST.hex()
    assert also.json()["result"]["certified_key"]["facts"]["threshold"] == 2


async def test_a_session_is_seen_with_its_parties_progress_and_times() -> None:
    async with calls(gateway(DeskDouble())) as http:
        path = f"{SESSIONS}/{(await created(http))['session_id']}"
        before = (await http.get(path)).json()
        after = (await http.get(f"{path}?wait=5")).json()
    assert before["status"] == "waiting"
    assert [each["status"] for each in before["participants"]] == ["waiting"] * 3
    assert [each["done"] for each in before["progress"]] == [0, 0]
    assert "result" not in before
    assert before["created_at"] == "2025-11-21T06:14:00.000Z"
    assert before["deadline"] == "2025-11-21T06:15:00.000Z"
    assert after["status"] == "completed"
    assert [each["party_id"] for each in after["participants"]] == [
        f"server-party-{n}" for n in (1, 2, 3)
    ]
    assert [each["status"] for each in after["participants"]] == ["completed"] * 3
    assert after["progress"] == [
        {"round": 1, "name": "joined", "done": 3, "total": 3},
        {"round": 2, "name": "certified", "done": 3, "total": 3},
    ]


async def test_the_generic_dialect_signs_from_creation_to_result() -> None:
    desk = DeskDouble()
    body = {
        "session_type": "sign",
        "threshold_n": 3,
        "threshold_t": 2,
        "participants": [{"party_id": "server-party-1"}, {"party_id": "server-party-3"}],
        "message": base64.b64encode(MESSAGE).decode(),
    }
    async with calls(gateway(desk)) as http:
        body["key_id"] = await made_key(http)
        told = (await http.post(SESSIONS, json=body)).json()
        seen = (await http.get(f"{SESSIONS}/{told['session_id']}?wait=5")).json()
    assert set(told) >= {"session_id", "join_token", "status"}
    assert desk.asked[-1]["signers"] == ["party-1", "party-3"]
    assert desk.asked[-1]["join_window_ms"] == 1000
    assert seen["result"]["message_hash"] == DIGEST.hex()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold_n": 5}, "is 3 for this key, and you say 5"),
        ({"threshold_t": 3}, "is 2 for this key, and you say 3"),
        (
            {"participants": [{"party_id": f"party-{n}"} for n in (1, 2, 3)]},
            "exactly 2 sign with this key",
        ),
        ({"session_type": "refresh"}, "session_type"),
        ({"session_type": "reshare"}, "body.reshare.message_hash"),
        ({"account_id": "other"}, "either account_id or key_id"),
    ],
)
async def test_a_signing_session_that_does_not_fit_its_key_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        body = {
            "session_type": "sign",
            "key_id": await made_key(http),
            "message_hash": DIGEST.hex(),
        }
        assert said in await refused(http, SESSIONS, {**body, **changes})


async def test_cancelling_tells_how_the_session_ended() -> None:
    async with calls(gateway(DeskDouble())) as http:
        path = f"{SESSIONS}/{(await created(http))['session_id']}"
        cancelled = await http.post(f"{path}/cancel")
        again = await http.post(f"{path}/cancel")
    assert cancelled.status_code == again.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.json()["failure"]["code"] == "cancelled"
    assert again.json() == cancelled.json()


async def test_what_is_over_stays_as_it_is() -> None:
    async with calls(gateway(DeskDouble())) as http:
        path = f"{SESSIONS}/{(await created(http))['session_id']}"
        await http.get(f"{path}?wait=5")
        assert (await http.post(f"{path}/cancel")).json()["status"] == "completed"


@pytest.mark.parametrize("path", ["", "/events", "/join", "/cancel"])
async def test_a_strangers_session_does_not_exist(path: str) -> None:
    app = gateway(DeskDouble())
    async with calls(app) as alice, calls(app, BOB) as bob:
        told = await created(alice)
        url = f"{SESSIONS}/{told['session_id']}{path}"
        if path in {"", "/events"}:
            answer = await bob.get(url)
        else:
            token = {"join_token": told["join_token"], "party_id": "party-1"}
            answer = await bob.post(url, json=token if path == "/join" else None)
        seen = await alice.get(f"{SESSIONS}/{told['session_id']}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_request"
    assert seen.json()["status"] == "waiting"


@pytest.mark.parametrize("session_id", ["x", "0" * 63, "A" * 64, "%3Cscript%3E", "0" * 64 + "%0A"])
async def test_an_id_that_no_session_has_is_refused_unrepeated(session_id: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.get(f"{SESSIONS}/{session_id}")
    assert answer.status_code == 422
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("session_type", "lacking"),
    [("keygen", Scope.KEYGEN), ("reshare", Scope.RESHARE), ("sign", Scope.SIGN)],
)
async def test_the_scope_that_is_needed_is_the_session_types(
    session_type: str, lacking: Scope
) -> None:
    app = gateway(DeskDouble())
    async with calls(app) as http:
        key_id = await made_key(http)
        bodies = {
            "keygen": NEW,
            "reshare": {"session_type": "reshare", "key_id": key_id},
            "sign": {"session_type": "sign", "key_id": key_id, "message_hash": DIGEST.hex()},
        }
    only = Caller("k", "alice", frozenset({lacking}))
    without = Caller("k", "alice", frozenset(Scope) - {lacking})
    async with calls(app, only) as allowed, calls(app, without) as denied:
        assert (await allowed.post(SESSIONS, json=bodies[session_type])).status_code == 201
        said = await refused(denied, SESSIONS, bodies[session_type], 403)
    assert f"scope {lacking}" in said


@pytest.mark.parametrize(
    ("method", "path", "lacking"),
    [
        ("POST", "join", Scope.JOIN),
        ("POST", "cancel", Scope.CANCEL),
        ("GET", "events", Scope.READ),
        ("GET", "", Scope.READ),
    ],
)
async def test_each_step_needs_its_scope(method: str, path: str, lacking: Scope) -> None:
    app = gateway(DeskDouble())
    async with calls(app) as http:
        told = await created(http)
    without = Caller("k", "alice", frozenset(Scope) - {lacking})
    url = f"{SESSIONS}/{told['session_id']}/{path}".rstrip("/")
    body = {"join_token": told["join_token"], "party_id": "party-1"} if path == "join" else None
    async with calls(app, without) as http:
        answer = await http.request(method, url, json=body)
    assert answer.status_code == 403
    assert f"scope {lacking}" in answer.text


@pytest.mark.parametrize("path", ["", "/events"])
async def test_a_uuid_is_told_what_a_session_id_is(path: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.get(f"{SESSIONS}/6F9619FF-8B86-D011-B42D-00C04FC964FF{path}")
    assert answer.status_code == 422
    assert "64 lower-case hex digits" in answer.json()["errors"][0]["message"]
