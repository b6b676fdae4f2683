"""The gateway as an ASGI application: its routes, and the doors that stand before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware

from contracts.client import Client

from . import faults, health, revocations
from .dialects import routers
from .entry.admission import Admission
from .entry.api_keys import ApiKeys
from .entry.bodies import Bodies
from .entry.crowds import Crowds
from .entry.headers import CrossOrigin, SecurityHeaders
from .entry.lines import Lines
from .entry.networks import AllowList, Networks
from .entry.rates import FailedKeys, Rates
from .entry.stays import Stays
from .entry.waits import Waits
from .methods import Heads
from .metrics import CountingDesk, Metrics, Observed
from .problems import SCHEMA, ProblemDetails
from .settings import GatewaySettings

OPENAPI = "/openapi.json"
WITHOUT_KEY = frozenset(
    {health.HEALTH, health.READY, health.METRICS, OPENAPI, revocations.REVOCATIONS}
)
FROM_ANYWHERE = frozenset({health.HEALTH, health.READY})
"""If so configured."""

MANNERS: Mapping[str, Any] = {
    "redirect_slashes": False,  # a redirect makes many callers repeat a POST as a GET
    "strict_content_type": False,  # callers of old send JSON without saying so
}

_ABOUT = """Keys that no machine ever holds, and signatures with them, for callers that speak HTTP.

Every answer from 400 on is a problem (RFC 9457) that says what to do. Whatever begins a session
takes an `Idempotency-Key`; whoever wants to wait for its end says `?wait=seconds`."""


def create_app(settings: GatewaySettings, client: Client) -> FastAPI:
    """
    Arguments:
        client: Connected, and for longer than the application runs.
    """
    metrics = Metrics()
    ledger = settings.ledger()
    authority = ledger.chain.authority
    keys = ApiKeys(
        lambda after: client.api_key_entries(authority, after=after),
        ledger,
        refused=metrics.page_refused,
    )
    desk = CountingDesk(
        client,
        timeout_s=settings.client.timeout_s,
        at_once=settings.limits.sessions_at_once_per_holder,
        asking=settings.limits.questions_at_once_per_holder,
        metrics=metrics,
    )

    def ask() -> health.Readiness:
        return health.readiness(keys, connected=client.connected, blocked=client.blocked)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(health.watch(ask), name="readiness")
        try:
            async with keys.kept_fresh(), desk:
                yield
        finally:
            watching.cancel()

    app = described(lifespan=lifespan, middleware=doors(settings, keys, metrics))
    app.state.desk = desk
    app.state.api_keys = keys
    app.state.connected = lambda: client.connected
    app.state.readiness = ask
    app.state.metrics = metrics
    app.state.party_names = settings.party_names
    app.state.limits = settings.limits
    app.state.join_window_ms = settings.door.join_window_ms
    return app


def described(**more: Any) -> FastAPI:
    """The routes and their document, without anything behind them."""
    app = FastAPI(
        title="Warren gateway",
        version="1.0.0",
        description=_ABOUT,
        openapi_url=OPENAPI,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        **MANNERS,
        **more,
    )
    for router in (health.router, revocations.router, *routers):
        app.include_router(router)
    faults.install(app)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def doors(settings: GatewaySettings, keys: ApiKeys, metrics: Metrics) -> list[Middleware]:
    """From the outermost to the innermost: what costs least and tells most comes first."""
    door, limits = settings.door, settings.limits
    origins = tuple(door.cors_origins)
    networks = Networks(door.allowed, door.proxies)
    return [
        Middleware(Observed, metrics=metrics, log=door.access_log),
        Middleware(SecurityHeaders),
        Middleware(faults.Faults),
        Middleware(
            AllowList,
            networks=networks,
            exempt=FROM_ANYWHERE if door.health_from_anywhere else frozenset(),
        ),
        *([Middleware(CrossOrigin, origins=origins)] if origins else []),
        Middleware(
            Admission,
            keys=keys,
            failed=FailedKeys(limits.failed_keys, limits.failed_keys_window_seconds),
            stays=Stays(keys, networks),
            exempt=WITHOUT_KEY,
        ),
        Middleware(Rates, requests=limits.requests, window_s=limits.window_seconds),
        Middleware(
            Crowds,
            per_key=limits.in_flight_per_key,
            per_holder=limits.in_flight_per_holder,
            together=limits.in_flight,
        ),
        Middleware(Lines),
        Middleware(
            Bodies,
            limit=limits.body_bytes,
            patience_s=limits.body_seconds,
            smaller={revocations.REVOCATIONS: revocations.MAX_BYTES},
        ),
        Middleware(Waits),
        Middleware(Heads),
    ]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas[SCHEMA] = problem
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document
