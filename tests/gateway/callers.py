"""HTTP callers of a gateway with a double of its desk, past its doors."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from contracts.primitives import Scope
from gateway.app import described
from gateway.entry.api_keys import CALLER, Caller
from gateway.settings import JOIN_WINDOW_MS, Limits

from .desks import DeskDouble
from .documented import hold

ALICE = Caller("alice-1", "alice", frozenset(Scope))
BOB = Caller("bob-1", "bob", frozenset(Scope))
PARTY_NAMES = {f"server-party-{number}": f"party-{number}" for number in range(1, 4)}


class Known:
    """In place of the doors: who asks is known, and may do what their key lets them."""

    def __init__(self, app: ASGIApp, caller: Caller) -> None:
        self._app = app
        self._caller = caller

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        scope[CALLER] = self._caller
        await self._app(scope, receive, send)


@functools.cache
def _app() -> FastAPI:
    return described()  # which takes a while


def gateway(
    desk: DeskDouble,
    limits: Limits | None = None,
    *,
    connected: bool = True,
    join_window_ms: int = JOIN_WINDOW_MS,
) -> FastAPI:
    """One at a time."""
    app = _app()
    app.state.desk = desk
    app.state.connected = lambda: connected
    app.state.party_names = PARTY_NAMES
    app.state.limits = limits or Limits()
    app.state.join_window_ms = join_window_ms
    return app


@asynccontextmanager
async def calls(app: ASGIApp, caller: Caller = ALICE) -> AsyncIterator[httpx.AsyncClient]:
    """Whose answers are held to the document."""
    transport = httpx.ASGITransport(Known(app, caller))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", event_hooks={"response": [hold]}
    ) as http:
        yield http
