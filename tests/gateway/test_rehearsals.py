"""Reshares that are only rehearsed: what each dialect takes and tells."""

from __future__ import annotations

import base64
import hashlib

from .callers import calls, gateway
from .desks import DeskDouble
from .test_accounts import ACCOUNTS
from .test_generic import SESSIONS
from .test_mpc import made_key
from .test_reshares import OTHERS, RESHARE, account, failing


async def test_a_dry_run_asks_the_parties_and_begins_nothing() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        wish = {"key_id": key_id, "participants": OTHERS, "threshold_t": 3, "dry_run": True}
        answer = await http.post(RESHARE, json=wish)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        answers, asked_for = told.pop("answers"), base64.b64decode(told.pop("request"))
        assert [each["party_id"] for each in answers] == [
            "party-1",
            "party-2",
            "party-3",
            "party-4",
        ]
        digest = hashlib.sha256(asked_for).hexdigest()
        assert {each["request_digest"] for each in answers} == {digest}
        assert told == {
            "key_id": key_id,
            "from_epoch": 0,
            "ready": True,
            "lacking": "",
            "dealers": ["server-party-1", "party-2", "server-party-3"],
            "dealers_needed": 2,
            "receivers": ["server-party-1", "party-2", "party-4"],
            "refusals": [],
            "silent": [],
        }
    (asked,) = [each for each in desk.asked if "rehearsed" in each]
    assert (asked["threshold"], asked["parties"]) == (3, ["party-1", "party-2", "party-4"])
    assert desk.begun == {}


async def test_a_dry_run_says_who_refuses_and_who_is_silent() -> None:
    desk = DeskDouble()
    desk.declining, desk.away = {"party-2"}, {"party-3"}
    async with calls(gateway(desk)) as http:
        key_id = await account(http)
        paths = {
            RESHARE: {"key_id": key_id},
            f"{ACCOUNTS}/{key_id}/reshare": {},
        }
        told = []
        for path, wish in paths.items():
            answer = await http.post(path, json={**wish, "dry_run": True})
            assert answer.status_code == 200, answer.text
            told.append(answer.json())
    signed = [(each.pop("request"), each.pop("answers")) for each in told]
    assert [len(answers) for _, answers in signed] == [2, 2]  # one said no, and one nothing
    assert told[0] == told[1]
    assert told[0]["ready"] is False
    assert told[0]["silent"] == ["server-party-3"]
    assert told[0]["refusals"] == [
        {
            "party_id": "server-party-2",
            "code": "party_refused",
            "message": "we have lost our share",
        }
    ]
    assert told[0]["lacking"] == (
        "server-party-2, server-party-3 would not take a share; 1 would deal, and it takes 2"
    )
    assert desk.begun == {}


async def test_who_makes_sessions_of_all_types_is_told_where_to_ask_for_a_dry_run() -> None:
    """An answer of another kind there would concern callers who never ask for it."""
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        wish = {"session_type": "reshare", "key_id": await made_key(http), "dry_run": True}
        answer = await http.post(SESSIONS, json=wish)
    assert answer.status_code == 422
    assert "send it to /api/v1/mpc/reshare" in answer.text
    assert desk.begun == {}


async def test_a_dry_run_is_true_or_false_and_needs_the_same_scope() -> None:
    async with calls(gateway(DeskDouble())) as http:
        wish = {"key_id": await made_key(http)}
        answer = await http.post(RESHARE, json={**wish, "dry_run": "yes"})
        assert answer.status_code == 422
        assert "dry_run" in failing(answer.json())
        unfit = await http.post(RESHARE, json={**wish, "dry_run": True, "threshold_t": 4})
        assert unfit.status_code == 422
        (await http.post(f"{RESHARE}?wait=5", json={**wish, "dry_run": False})).raise_for_status()
