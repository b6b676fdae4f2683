"""A gateway's doors before an application of a few routes, and keys that open them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from contracts.client import ClientError, ClientSettings
from contracts.identity import Identity
from contracts.primitives import Scope
from contracts.views import ApiKeyView
from gateway import faults, health
from gateway.app import MANNERS, doors
from gateway.dialects.bodies import BoundedRoute
from gateway.entry.api_keys import ApiKeys, Caller, digest, require
from gateway.metrics import Metrics
from gateway.settings import Door, GatewaySettings, Limits

SECRET = "the secret of shop, quite long"
OTHER_SECRET = "the secret of bank, quite long"


def api_key(
    name: str = "shop-1",
    *,
    secret: str = SECRET,
    holder: str = "shop",
    scopes: Sequence[Scope] = tuple(Scope),
    valid_until: int | None = None,
    revoked_at: int | None = None,
) -> ApiKeyView:
    return ApiKeyView(
        api_key_id=name,
        holder=holder,
        key_digest=digest(secret.encode()),
        scopes=list(scopes),
        created_at=1,
        valid_until=valid_until,
        revoked_at=revoked_at,
    )


@dataclass
class Coordinator:
    """Answers with the keys that it has, once it is not `gone`; counts how often it was asked."""

    keys: list[ApiKeyView] = field(default_factory=lambda: [api_key()])
    error: ClientError | None = None
    silent: bool = False
    connected: bool = True
    asked: int = 0

    async def api_keys(self) -> list[ApiKeyView]:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return list(self.keys)


def settings(limits: dict[str, Any] | None = None, **door: Any) -> GatewaySettings:
    return GatewaySettings(
        client=ClientSettings(
            amqp_url="amqp://nowhere", client_id="gateway", identity=Identity.generate(), parties={}
        ),
        door=Door(**door),
        limits=Limits(**(limits or {})),
    )


Reader = Annotated[Caller, Depends(require(Scope.READ))]
Signer = Annotated[Caller, Depends(require(Scope.SIGN))]


class Note(BaseModel):
    text: str
    count: int = 0


@dataclass
class Entrance:
    """
    Attributes:
        going: Set it, and the route /slow answers.
        error: What the route /boom raises.
        bodies: How many the route /notes has read.
        waiting: How many requests have come to the route /slow.
    """

    app: FastAPI
    coordinator: Coordinator
    keys: ApiKeys
    metrics: Metrics
    going: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception = field(default_factory=Exception)
    bodies: int = 0
    waiting: int = 0

    def client(self, address: str = "127.0.0.1", **named: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", **named)

    def caller(self, secret: str = SECRET) -> httpx.AsyncClient:
        return self.client(headers={"X-API-Key": secret})


@contextlib.asynccontextmanager
async def opened(
    limits: dict[str, Any] | None = None,
    *,
    coordinator: Coordinator | None = None,
    refresh_s: float = 30,
    **door: Any,
) -> AsyncIterator[Entrance]:
    coordinator = coordinator or Coordinator()
    keys = ApiKeys(coordinator.api_keys, refresh_s=refresh_s, out_of_turn_s=0)
    metrics = Metrics()
    app = FastAPI(**MANNERS, middleware=doors(settings(limits, **door), keys, metrics))
    app.router.route_class = BoundedRoute
    app.state.api_keys = keys
    app.state.connected = lambda: coordinator.connected
    app.state.metrics = metrics
    faults.install(app)
    app.include_router(health.router)
    entrance = Entrance(app, coordinator, keys, metrics)
    _add_routes(app, entrance)
    async with keys.kept_fresh():
        yield entrance
        entrance.going.set()


def _add_routes(app: FastAPI, entrance: Entrance) -> None:
    @app.get("/who")
    async def who(caller: Reader) -> dict[str, str]:
        return {"api_key": caller.api_key_id, "tenant": caller.tenant}

    @app.get("/things/{name}")
    async def thing(name: str, caller: Reader) -> str:
        return name

    @app.post("/notes")
    async def note(note: Note, caller: Signer) -> Note:
        entrance.bodies += 1
        return note

    @app.get("/slow")
    async def slow(caller: Reader) -> str:
        entrance.waiting += 1
        await entrance.going.wait()
        return "done"

    @app.get("/boom")
    async def boom(caller: Reader) -> str:
        raise entrance.error


def problem(response: httpx.Response) -> dict[str, Any]:
    """The answer's problem document, after a look at what every problem has."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["type"] == f"/problems/{document['code'].replace('_', '-')}"
    assert document["title"]
    assert document["detail"]
    assert document["remedy"]
    return document
