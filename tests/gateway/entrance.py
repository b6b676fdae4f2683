"""A gateway's doors before an application of a few routes, and keys that open them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from contracts.api_keys import SignedApiKeyEntry
from contracts.client import ClientSettings
from contracts.coordinators import Coordinators
from contracts.identity import Identity
from contracts.primitives import Scope, Status
from contracts.results import QueryApiKeysResult
from gateway import faults, health, revocations
from gateway.app import MANNERS, doors
from gateway.dialects.bodies import BoundedRoute
from gateway.entry.api_keys import ApiKeys, Caller, digest, require
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.settings import Door, GatewaySettings, Limits
from tests.contracts.chains import AUTHORITY, Scribe

from .documented import hold

PAGE = 3
"""Entries."""
SECRET = "the secret of shop, quite long"
OTHER_SECRET = "the secret of bank, quite long"


def api_key(
    name: str = "shop-1",
    *,
    secret: str = SECRET,
    holder: str = "shop",
    scopes: Sequence[Scope] = tuple(Scope),
    **more: Any,
) -> dict[str, Any]:
    """What an authority signs."""
    return {
        "name": name,
        "holder": holder,
        "key_digest": digest(secret.encode()),
        "scopes": list(scopes),
        **more,
    }


@dataclass
class Coordinator:
    """Answers with what its scribe has signed, or with `entries` if there are any; counts how often
    it was asked."""

    keys: Sequence[dict[str, Any]] = field(default_factory=lambda: [api_key()])
    scribe: Scribe = field(default_factory=Scribe)
    entries: list[SignedApiKeyEntry] | None = None
    error: Exception | None = None
    silent: bool = False
    connected: bool = True
    blocked: str | None = None
    asked: int = 0

    def __post_init__(self) -> None:
        for key in self.keys:
            self.scribe.put(**key)

    def ledger(self, path: Path | None = None) -> Ledger:
        """Of a gateway that knows nothing yet."""
        return Ledger(self.scribe.chain(), path)

    async def page(self, after: int) -> QueryApiKeysResult:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        entries = self.scribe.entries if self.entries is None else self.entries
        return QueryApiKeysResult(
            request_id="r",
            client_id="gateway",
            session_id=None,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=1,
            entries=entries[after : after + PAGE],
            after=after,
            more=len(entries) > after + PAGE,
        )


def settings(limits: dict[str, Any] | None = None, **door: Any) -> GatewaySettings:
    return GatewaySettings(
        client=ClientSettings(
            amqp_url="amqp://nowhere",
            client_id="gateway",
            identity=Identity.generate(),
            coordinators=Coordinators.of(),
            parties={},
        ),
        door=Door(api_key_authority=AUTHORITY.public.to_base64(), **door),
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
        hooks = {"response": [hold]}
        return httpx.AsyncClient(
            transport=transport, base_url="http://gateway", event_hooks=hooks, **named
        )

    def caller(self, secret: str = SECRET) -> httpx.AsyncClient:
        return self.client(headers={"X-API-Key": secret})


@contextlib.asynccontextmanager
async def opened(
    limits: dict[str, Any] | None = None,
    *,
    coordinator: Coordinator | None = None,
    refresh_s: float = 30,
    path: Path | None = None,
    **door: Any,
) -> AsyncIterator[Entrance]:
    coordinator = coordinator or Coordinator()
    metrics = Metrics()
    keys = ApiKeys(
        coordinator.page,
        coordinator.ledger(path),
        refused=metrics.page_refused,
        refresh_s=refresh_s,
        out_of_turn_s=0,
    )
    app = FastAPI(**MANNERS, middleware=doors(settings(limits, **door), keys, metrics))
    app.router.route_class = BoundedRoute
    app.state.api_keys = keys
    app.state.readiness = lambda: health.readiness(
        keys, connected=coordinator.connected, blocked=coordinator.blocked
    )
    app.state.metrics = metrics
    faults.install(app)
    app.include_router(health.router)
    app.include_router(revocations.router)
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
    async def slow(caller: Reader, wait: float = 0) -> str:
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
