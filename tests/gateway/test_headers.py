from __future__ import annotations

import pytest

from gateway.problems import Problem
from tests.gateway.entrance import opened, problem

PAGE = "https://wallet.example"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/who", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/who", 405),
        ("POST", "/notes", 422),
        ("GET", "/boom", 500),
    ],
)
async def test_every_answer_has_the_headers_that_keep_browsers_from_guessing(
    method: str, path: str, status: int
) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"
    assert "server" not in answer.headers


async def test_a_stranger_gets_them_too() -> None:
    async with opened() as entrance, entrance.client("192.0.2.1") as stranger:
        answer = await stranger.get("/who")
    assert answer.status_code == 403
    assert answer.headers["x-content-type-options"] == "nosniff"


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-api-key, idempotency-key",
    }


async def test_no_page_may_ask_unless_its_origin_is_configured() -> None:
    async with opened() as entrance, entrance.client() as browser:
        asked = await browser.options("/notes", headers=preflight(PAGE))
        assert asked.status_code == 401
        answer = await browser.get("/health", headers={"Origin": PAGE})
    for each in (asked, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]


async def test_a_configured_origin_may_ask_and_reads_problems_as_well() -> None:
    async with opened(cors_origins=[PAGE]) as entrance, entrance.client() as browser:
        asked = await browser.options("/notes", headers=preflight(PAGE))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == PAGE
        refused = await browser.get("/who", headers={"Origin": PAGE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == PAGE


async def test_another_origin_is_refused_where_one_is_configured() -> None:
    async with opened(cors_origins=[PAGE]) as entrance, entrance.client() as browser:
        asked = await browser.options("/notes", headers=preflight("https://evil.example"))
        assert asked.status_code == 403
        assert problem(asked)["code"] == "origin_refused"
        assert "access-control-allow-origin" not in asked.headers
        answer = await browser.get("/health", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


async def test_an_operation_cannot_loosen_what_every_answer_says() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        entrance.error = Problem("not_found", "No.", headers={"Cache-Control": "public"})
        answer = await caller.get("/boom")
    assert answer.headers.get_list("cache-control") == ["no-store"]
