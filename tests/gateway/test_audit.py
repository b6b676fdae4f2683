"""What a line of the access log tells of sessions, and what is counted of their outcomes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from contracts.client import BrokerUnavailableError, Client, RequestFailedError
from contracts.failures import FailureCode
from gateway import audit
from gateway.sessions import Desk, ReferenceConflictError
from tests.gateway.entrance import SECRET
from tests.patience import settle

from .coordinators import ClientDouble, Coordinator
from .desks import DeskDouble
from .test_sessions import begin
from .test_stays import coordinator as keys_known
from .test_stays import whole

WISH = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2}


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "gateway.access"]


async def test_a_line_tells_the_session_and_the_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.access"):
        async with whole(keys_known(), DeskDouble()) as shop:
            begun = (await shop.post("/api/v1/sessions", json=WISH)).json()
            await shop.get(f"/api/v1/sessions/{begun['session_id']}")
            account = (await shop.post("/api/v1/accounts", json={"user_id": "u"})).json()
            await shop.get(f"/api/v1/accounts/{account['account_id']}")
    made, looked, opened, read = lines(caplog)
    assert (made["session"], looked["session"]) == (begun["session_id"],) * 2
    assert made["request_id"]
    assert "request_id" not in looked
    assert opened["session"] == account["session_id"]
    assert read["account"] == account["account_id"]
    for line in (made, looked, opened, read):
        assert (line["address"], line["api_key"], line["holder"]) == ("127.0.0.1", "shop-1", "shop")


async def test_what_is_not_there_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    """It may be a secret in the wrong place."""
    with caplog.at_level(logging.INFO, "gateway.access"):
        async with whole(keys_known(), DeskDouble()) as shop:
            begun = (await shop.post("/api/v1/sessions", json=WISH)).json()
            token = begun["join_token"]
            await shop.get(f"/api/v1/sessions/{token}")
            await shop.get("/api/v1/accounts/warren_s3cret")
            await shop.post(
                f"/api/v1/sessions/{begun['session_id']}/join",
                json={"join_token": token, "party_id": "party-1"},
            )
    told = str(lines(caplog))
    assert begun["session_id"] in told
    for secret in (token, "warren_s3cret", SECRET):
        assert secret not in told


async def test_what_came_of_each_wish_is_counted_once() -> None:
    known, counted = Coordinator(), list[tuple[str, str]]()
    desk = Desk(
        cast("Client", ClientDouble(known)),
        timeout_s=30,
        ended=lambda operation, code: counted.append((operation, code)),
    )
    async with desk:
        first = await begin(desk, request_id="1", fresh=True)
        assert (await begin(desk, request_id="1")).replayed
        known.begun[0].ending.set_result(known.end(first.session_id))
        await begin(desk, request_id="2", fresh=True)
        known.begun[1].ending.set_exception(BrokerUnavailableError("away"))
        await settle()
        known.refusal = FailureCode.OVERLOADED
        with pytest.raises(RequestFailedError):
            await begin(desk, request_id="3", fresh=True)
        known.refusal, known.instant = None, True
        await begin(desk, request_id="4", fresh=True)
        await settle()
        with pytest.raises(ReferenceConflictError):
            await begin(desk, request_id="1", reference="another wish")
        known.gate.clear()
        given_up = asyncio.create_task(begin(desk, request_id="5"))
        await settle()
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
    assert counted == [
        ("sign", "completed"),
        ("sign", "broker_unavailable"),
        ("sign", "overloaded"),
        ("sign", "completed"),
        ("sign", "idempotency_conflict"),
        ("sign", "no_answer"),
    ]


def test_a_note_is_no_trouble_where_nobody_keeps_a_log() -> None:
    scope: dict[str, Any] = {}
    audit.note(scope, session="s")
    assert scope[audit.SUBJECT] == {"session": "s"}
