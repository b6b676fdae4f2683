"""Which methods a path has, as `Allow` tells and `HEAD` finds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from contracts.primitives import Scope as KeyScope
from gateway.app import described, doors
from gateway.entry.api_keys import ApiKeys
from gateway.metrics import Metrics
from gateway.settings import Limits
from tests.gateway.desks import DeskDouble
from tests.gateway.entrance import SECRET, Coordinator, api_key, opened, problem, settings

ID = "0" * 64
PATHS = {
    "/health": "GET, HEAD, OPTIONS",
    "/health/ready": "GET, HEAD, OPTIONS",
    "/metrics": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/api-keys/revocations": "POST, OPTIONS",
    "/api/v1/mpc/keygen": "POST, OPTIONS",
    "/api/v1/accounts": "GET, HEAD, POST, OPTIONS",
    "/api/v1/accounts/a": "GET, HEAD, OPTIONS",
    "/api/v1/accounts/a/signing-config": "GET, HEAD, PUT, DELETE, OPTIONS",
    "/api/v1/sessions": "POST, OPTIONS",
    f"/api/v1/sessions/{ID}": "GET, HEAD, OPTIONS",
    f"/api/v1/sessions/{ID}/events": "GET, HEAD, OPTIONS",
    f"/api/v1/sessions/{ID}/cancel": "POST, OPTIONS",
}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The whole gateway, with a double of its desk."""
    coordinator = Coordinator([api_key(scopes=tuple(KeyScope))])
    keys = ApiKeys(coordinator.page, coordinator.ledger(), refresh_s=30, out_of_turn_s=0)
    metrics = Metrics()
    app = described(middleware=doors(settings(), keys, metrics))
    app.state.desk = DeskDouble()
    app.state.api_keys = keys
    app.state.connected = lambda: True
    app.state.metrics = metrics
    app.state.party_names = {}
    app.state.limits = Limits()
    app.state.join_window_ms = 1000
    async with (
        keys.kept_fresh(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://gateway",
            headers={"X-API-Key": SECRET},
        ) as caller,
    ):
        yield caller


@pytest.mark.parametrize("path", PATHS)
async def test_a_method_that_a_path_has_not_is_refused_with_all_that_it_has(
    http: httpx.AsyncClient, path: str
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {*PATHS[path].split(", ")}:
        refused = await http.request(method, path)
        assert problem(refused)["code"] == "method_not_allowed"
        assert refused.headers["allow"] == PATHS[path], method


@pytest.mark.parametrize("path", PATHS)
async def test_who_asks_for_the_options_is_told_the_methods(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.options(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == PATHS[path]


async def test_where_there_is_nothing_no_method_is_told(http: httpx.AsyncClient) -> None:
    for method in ("DELETE", "OPTIONS", "HEAD"):
        answer = await http.request(method, "/api/v1/nothing")
        assert answer.status_code == 404
        assert "allow" not in answer.headers


@pytest.mark.parametrize("path", [path for path, has in PATHS.items() if "HEAD" in has])
async def test_a_head_is_what_the_get_says_without_its_body(
    http: httpx.AsyncClient, path: str
) -> None:
    asked, got = await http.head(path), await http.get(path)
    assert asked.content == b""
    assert asked.status_code == got.status_code
    assert asked.headers["content-type"] == got.headers["content-type"]
    assert "allow" not in asked.headers


async def test_a_head_of_what_can_only_be_posted_is_refused(http: httpx.AsyncClient) -> None:
    refused = await http.head("/api/v1/mpc/keygen")
    assert (refused.status_code, refused.content) == (405, b"")
    assert refused.headers["allow"] == "POST, OPTIONS"


async def test_the_head_of_a_stream_ends(http: httpx.AsyncClient) -> None:
    wish = {"session_type": "keygen", "threshold_n": 3, "threshold_t": 2}
    begun = (await http.post("/api/v1/sessions", json=wish)).json()
    asked = await http.head(f"/api/v1/sessions/{begun['session_id']}/events")
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-type"].startswith("text/event-stream")


async def test_the_rest_is_told_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "gateway.access"):
        async with opened() as entrance, entrance.caller() as caller:
            assert (await caller.head("/things/a")).status_code == 200
    lines = [vars(record) for record in caplog.records if record.name == "gateway.access"]
    assert [(line["method"], line["route"]) for line in lines] == [("HEAD", "/things/{name}")]
