"""A session's events by WebSocket, over a real connection, with a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from contracts.failures import Failure, FailureCode
from contracts.primitives import Scope
from gateway.app import described, doors
from gateway.entry import stays
from gateway.entry.api_keys import ApiKeys
from gateway.metrics import Metrics
from gateway.server import configuration
from gateway.settings import Limits
from tests.gateway.desks import DeskDouble
from tests.gateway.entrance import OTHER_SECRET, SECRET, Coordinator, api_key, settings
from tests.gateway.test_events import Breaking, Endless, parsed
from tests.gateway.test_server import HOST, QuietServer
from tests.patience import until

pytestmark = pytest.mark.long

WISH = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2}


@dataclass
class Door:
    port: int
    coordinator: Coordinator
    metrics: Metrics

    def http(self, secret: str = SECRET) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://{HOST}:{self.port}", headers={"X-API-Key": secret}, timeout=60
        )

    def socket(self, path: str, *, secret: str | None = SECRET, **headers: str) -> connect:
        known = {} if secret is None else {"X-API-Key": secret}
        url = f"ws://{HOST}:{self.port}{path}"
        return connect(url, additional_headers={**known, **headers}, proxy=None)


@contextlib.asynccontextmanager
async def serving(desk: DeskDouble, limits: dict[str, Any] | None = None) -> AsyncIterator[Door]:
    keys = [api_key(), api_key("bank-1", secret=OTHER_SECRET, holder="bank", scopes=[Scope.SIGN])]
    coordinator, metrics = Coordinator(keys), Metrics()
    known = ApiKeys(coordinator.page, coordinator.ledger(), refresh_s=0.01, out_of_turn_s=0)
    app = described(middleware=doors(settings(limits), known, metrics))
    app.state.desk = desk
    app.state.connected = lambda: True
    app.state.metrics = metrics
    app.state.party_names = {}
    app.state.limits = Limits(**(limits or {}))
    app.state.join_window_ms = 1000
    with socket.create_server((HOST, 0)) as listener:
        async with known.kept_fresh():
            server = QuietServer(configuration(app, settings(limits)))
            running = asyncio.create_task(server.serve([listener]))
            await until(lambda: server.started)
            try:
                yield Door(listener.getsockname()[1], coordinator, metrics)
            finally:
                server.should_exit = True
                await running


async def begun(door: Door) -> str:
    async with door.http() as http:
        session = (await http.post("/api/v1/sessions", json=WISH)).json()
    return f"/api/v1/sessions/{session['session_id']}/events"


async def told(follower: ClientConnection) -> tuple[list[dict[str, Any]], int | None, str | None]:
    """All messages, and why it was closed."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await follower.recv()))
    return messages, follower.close_code, follower.close_reason


async def refusal(door: Door, path: str, **named: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as refused:
        async with door.socket(path, **named):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    return response.status_code, json.loads(response.body or b"")


async def test_a_socket_tells_what_the_stream_tells() -> None:
    async with serving(DeskDouble()) as door:
        path = await begun(door)
        async with door.http() as http:
            stream = parsed((await http.get(path)).text)
        async with door.socket(path) as follower:
            messages, code, reason = await told(follower)
        as_sent = [
            {"event": each["event"], "id": each["id"], "data": json.loads(each["data"])}
            for each in stream
        ]
        assert messages == as_sent
        assert (code, reason) == (1000, "the session is over")
        async with door.socket(path, **{"Last-Event-ID": stream[2]["id"]}) as follower:
            assert (await told(follower))[0] == messages[3:]


@pytest.mark.parametrize(
    ("path", "named", "status", "code"),
    [
        ("{}", {"secret": None}, 401, "unauthenticated"),
        ("{}", {"secret": "wrong"}, 401, "unauthenticated"),
        ("{}", {"secret": OTHER_SECRET}, 403, "scope_missing"),
        (f"/api/v1/sessions/{'0' * 64}/events", {}, 404, "unknown_request"),
        ("/api/v1/sessions/one/events", {}, 422, "invalid_request"),
        ("{}", {"Last-Event-ID": "last"}, 422, "invalid_request"),
        ("/api/v1/accounts", {}, 404, "not_found"),
    ],
)
async def test_who_may_not_follow_is_told_so_by_http(
    path: str, named: dict[str, Any], status: int, code: str
) -> None:
    async with serving(DeskDouble()) as door:
        found, document = await refusal(door, path.format(await begun(door)), **named)
    assert (found, document["code"]) == (status, code)


async def test_sockets_and_streams_have_one_bound() -> None:
    desk = Endless()
    async with serving(desk, {"event_streams_per_holder": 1}) as door:
        path = await begun(door)
        async with door.socket(path) as follower:
            await follower.recv()
            assert (await refusal(door, path))[1]["code"] == "rate_exceeded"
            async with door.http() as http:
                assert (await http.get(path)).status_code == 429
        await desk.left.wait()
        async with door.socket(path) as follower:
            await follower.recv()


async def test_a_socket_ends_when_its_key_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stays, "LOOK_S", 0.01)
    async with serving(Endless()) as door, door.socket(await begun(door)) as follower:
        await follower.recv()
        door.coordinator.scribe.revoke("shop-1")
        (last,), code, reason = await told(follower)
    assert (last["event"], last["data"]["code"]) == ("problem", "unauthenticated")
    assert "id" not in last
    assert (code, reason) == (1008, "API key shop-1 was revoked meanwhile.")


async def test_a_socket_that_breaks_says_that_it_is_worth_coming_back() -> None:
    async with serving(Breaking()) as door, door.socket(await begun(door)) as follower:
        (_, last), code, _ = await told(follower)
    assert last["data"]["code"] == "broker_unavailable"
    assert code == 1013


@pytest.mark.parametrize("sent", ["hello", b"hello"])
async def test_nothing_is_read(sent: str | bytes) -> None:
    desk = Endless()
    async with serving(desk) as door, door.socket(await begun(door)) as follower:
        await follower.recv()
        await follower.send(sent)
        _, code, reason = await told(follower)
        await desk.left.wait()
    assert (code, reason) == (1003, "nothing is read here")


async def test_what_is_too_long_to_be_read_ends_it_too() -> None:
    desk = Endless()
    async with serving(desk) as door, door.socket(await begun(door)) as follower:
        await follower.recv()
        await follower.send("x" * 2000)
        assert (await told(follower))[1] == 1009
        await desk.left.wait()


async def test_who_hangs_up_is_followed_no_more() -> None:
    desk = Endless()
    async with serving(desk) as door:
        async with door.socket(await begun(door)) as follower:
            await follower.recv()
        await desk.left.wait()


async def test_a_socket_outlives_the_time_for_headers() -> None:
    limits = {"header_seconds": 0.1}
    async with serving(Endless(), limits) as door, door.socket(await begun(door)) as follower:
        await follower.recv()
        await (await follower.ping())
        await asyncio.sleep(0.3)
        await (await follower.ping())


async def test_a_failure_is_an_end_too() -> None:
    desk = DeskDouble()
    desk.failing = Failure.of(FailureCode.EXPIRED, "too late", silent=["party-3"])
    async with serving(desk) as door, door.socket(await begun(door)) as follower:
        messages, code, _ = await told(follower)
    assert (messages[-1]["event"], messages[-1]["data"]["status"]) == ("end", "failed")
    assert code == 1000
