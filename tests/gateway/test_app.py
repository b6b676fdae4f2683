"""The application as it is put together."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from contracts.client import Client
from contracts.identity import PublicIdentity
from contracts.results import QueryApiKeysResult
from gateway import document, sessions
from gateway.app import WITHOUT_KEY, create_app, described
from gateway.dialects import service
from gateway.metrics import CountingDesk, Metrics
from gateway.revocations import REVOCATIONS
from gateway.sessions import Opened
from tests.contracts.chains import AUTHORITY
from tests.gateway.documented import hold
from tests.gateway.entrance import SECRET, Coordinator, problem, settings

pytestmark = pytest.mark.long

OPERATIONS = [
    (method.upper(), path)
    for path, operations in described().openapi()["paths"].items()
    for method in operations
]


class FakeClient(Coordinator):
    async def discard_results(self) -> None:
        await asyncio.Event().wait()

    async def api_key_entries(self, authority: PublicIdentity, *, after: int) -> QueryApiKeysResult:
        assert authority == AUTHORITY.public
        return await self.page(after)


@contextlib.asynccontextmanager
async def running(
    connected: bool = True, **door: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    app = create_app(settings(**door), cast("Client", FakeClient(connected=connected)))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://gateway", event_hooks={"response": [hold]}
        ) as caller,
    ):
        yield app, caller


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_all_but_health_and_revocations_need_a_key(method: str, path: str) -> None:
    async with running() as (_, caller):
        answer = await caller.request(method, re.sub("{.*?}", "x", path))
    if path == REVOCATIONS:
        assert answer.status_code == 422  # without a body
    elif path in WITHOUT_KEY:
        assert answer.status_code in {200, 503}
    else:
        assert answer.status_code == 401
        assert problem(answer)["code"] == "unauthenticated"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_every_operation_with_a_key_declares_that_it_wants_one(
    method: str, path: str
) -> None:
    operation = described().openapi()["paths"][path][method.lower()]
    assert operation.get("security") == (None if path in WITHOUT_KEY else [{"X-API-Key": []}])


async def test_without_a_connection_to_the_queue_who_has_a_key_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "WITHOUT_BROKER_S", 0)
    async with running(connected=False) as (_, caller):
        answer = await caller.get("/api/v1/accounts", headers={"X-API-Key": SECRET})
    assert problem(answer)["code"] == "broker_unavailable"


async def test_the_document_is_served_and_no_page_that_loads_scripts() -> None:
    async with running() as (_, caller):
        assert (await caller.get("/openapi.json")).json() == described().openapi()
        for path in ("/docs", "/redoc"):
            answer = await caller.get(path, headers={"X-API-Key": SECRET})
            assert answer.status_code == 404


def test_the_document_in_the_tree_is_that_of_this_code() -> None:
    assert not document.is_stale(), "run `warren docs`"


async def test_sessions_are_counted_when_they_are_begun_and_not_when_they_are_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replayed = False

    async def begin(*_: object, **__: object) -> Opened:
        return Opened(
            session_id=bytes(32), view=None, announced=None, replayed=replayed, outcome=None
        )

    monkeypatch.setattr(sessions.Desk, "begin_key", begin)
    monkeypatch.setattr(sessions.Desk, "begin_signature", begin)
    metrics = Metrics()
    desk = CountingDesk(cast("Client", FakeClient()), timeout_s=1, metrics=metrics)

    def begun(kind: str) -> float | None:
        return metrics.registry.get_sample_value(
            "warren_gateway_sessions_begun_total", {"type": kind}
        )

    await desk.begin_key("shop")
    await desk.begin_signature("shop")
    await desk.begin_signature("shop")
    replayed = True
    await desk.begin_key("shop")
    assert (begun("keygen"), begun("sign")) == (1, 2)
