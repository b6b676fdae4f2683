"""What a gateway process counts, for Prometheus. No label names a key, caller or session."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.client import Client

from .entry.api_keys import CALLER, Caller
from .problems import MARK
from .sessions import Desk, Opened

access = logging.getLogger("gateway.access")

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable, set where several processes serve one port: where they put their figures,
so that whichever is asked tells of all."""

UNROUTED = "none"
"""The route of a request that was turned away before one was found."""


class Metrics:
    """What one gateway process counts and measures, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "warren_gateway_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "warren_gateway_request_seconds",
            "From a request's headers to the end of its answer.",
            ["method", "route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry=self.registry,
        )
        self._problems = Counter(
            "warren_gateway_problems",
            "Requests answered with a problem, by its code.",
            ["code"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "warren_gateway_requests_in_flight",
            "Requests being handled.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._begun = Counter(
            "warren_gateway_sessions_begun",
            "Sessions that callers began here, repetitions not counted.",
            ["type"],
            registry=self.registry,
        )
        self._pages_refused = Counter(
            "warren_gateway_api_key_pages_refused",
            "Pages of API keys that were not believed: gaps, forks, false signatures.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def begun(self, session_type: str) -> None:
        """Count a session that was begun."""
        self._begun.labels(session_type).inc()

    def page_refused(self) -> None:
        """Count a page of API keys that was not believed."""
        self._pages_refused.inc()

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer, by its route and never by its path, and how long it took."""
        method, route = _method(scope), route_of(scope)
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if (code := scope.get(MARK)) is not None:
            self._problems.labels(code).inc()

    def in_flight(self, change: int) -> None:
        """One request more, or one less."""
        self._in_flight.inc(change)

    def exposition(self) -> tuple[bytes, str]:
        """The text and its media type."""
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def route_of(scope: Scope) -> str:
    """The route's template: paths themselves hold ids, and are without number."""
    return getattr(scope.get("route"), "path_format", UNROUTED)


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"} else "other"


class Observed:
    """Middleware, the outermost: counts, and writes the access log.

    Arguments:
        log: Whether to write it.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # as some proxies call it: the caller hung up before there was an answer

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight(+1)
        try:
            await self._app(scope, receive, note)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.in_flight(-1)
            self._metrics.observe(scope, status, seconds)
            if self._log and access.isEnabledFor(logging.INFO):
                access.info("request", extra=_line(scope, status, seconds))


def _line(scope: Scope, status: int, seconds: float) -> dict[str, object]:
    caller: Caller | None = scope.get(CALLER)
    return {
        "method": _method(scope),
        "route": route_of(scope),
        "status": status,
        "ms": round(1000 * seconds, 1),
        "api_key": caller and caller.api_key_id,
        "problem": scope.get(MARK),
    }


class CountingDesk(Desk):
    """Tells the metrics of the sessions that it begins."""

    def __init__(self, client: Client, *, timeout_s: float, metrics: Metrics) -> None:
        super().__init__(client, timeout_s=timeout_s)
        self._metrics = metrics

    async def begin_key(self, *arguments: Any, **named: Any) -> Opened:
        return self._counted("keygen", await super().begin_key(*arguments, **named))

    async def begin_signature(self, *arguments: Any, **named: Any) -> Opened:
        return self._counted("sign", await super().begin_signature(*arguments, **named))

    def _counted(self, session_type: str, opened: Opened) -> Opened:
        if not opened.replayed:
            self._metrics.begun(session_type)
        return opened
