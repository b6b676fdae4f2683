"""The gateway as an ASGI application: its routes, and the doors that stand before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from contracts.client import Client

from . import faults, health, revocations
from .description import description
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
from .listed import Listed
from .methods import Heads
from .metrics import CountingDesk, Metrics, Observed
from .rereading import Rereading
from .settings import GatewaySettings, read_door

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


def create_app(settings: GatewaySettings, client: Client) -> FastAPI:
    """
    Arguments:
        client: Connected, and for longer than the application runs.
    """
    metrics = Metrics(settings.certificates())
    ledger = settings.ledger()
    authority = ledger.chain.authority
    networks = Networks(settings.door.allowed, settings.door.proxies)
    keys = ApiKeys(
        lambda after: client.api_key_entries(authority, after=after),
        ledger,
        refused=metrics.page_refused,
    )
    desk = CountingDesk(
        client,
        timeout_s=settings.client.timeout_s,
        asking=settings.limits.questions_at_once_per_holder,
        metrics=metrics,
    )

    listed = _listed(settings, metrics)

    def ask() -> health.Readiness:
        return health.readiness(
            keys,
            connected=client.connected,
            blocked=client.blocked,
            trouble=None if listed is None else listed.trouble(),
        )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = [asyncio.create_task(health.watch(ask), name="readiness")]
        if settings.path is not None:
            rereading = Rereading(networks, settings.path, read_door)
            watching.append(asyncio.create_task(rereading.go_on(), name="networks"))
        try:
            following = contextlib.nullcontext() if listed is None else listed.followed()
            async with keys.kept_fresh(), desk, following:
                yield
        finally:
            for task in watching:
                task.cancel()

    app = described(lifespan=lifespan, middleware=doors(settings, keys, metrics, networks))
    app.state.desk = desk
    app.state.api_keys = keys
    app.state.connected = lambda: client.connected
    app.state.readiness = ask
    app.state.metrics = metrics
    app.state.party_names = settings.party_names
    app.state.limits = settings.limits
    app.state.join_window_ms = settings.door.join_window_ms
    return app


def _listed(settings: GatewaySettings, metrics: Metrics) -> Listed | None:
    """Whether we are still the client that we are; None where no list is followed."""
    clients = settings.client_list()
    if clients is None:
        return None
    path = settings.door.client_list_file
    return Listed(settings.client, clients, path, told=metrics.list_number)


def described(**more: Any) -> FastAPI:
    """The routes and their document, without anything behind them."""
    app = FastAPI(
        title="Warren gateway",
        version="1.0.0",
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
            app.openapi_schema = description(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def doors(
    settings: GatewaySettings, keys: ApiKeys, metrics: Metrics, networks: Networks | None = None
) -> list[Middleware]:
    """From the outermost to the innermost: what costs least and tells most comes first.

    Arguments:
        networks: Who may enter, where somebody else has a say in it.
    """
    door, limits = settings.door, settings.limits
    origins = tuple(door.cors_origins)
    networks = networks or Networks(door.allowed, door.proxies)
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
