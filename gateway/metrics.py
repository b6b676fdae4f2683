"""What a gateway process counts, for Prometheus. No label names a key, caller or session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
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
from contracts.tls import TlsFileError, expires_at

from . import audit
from .problems import MARK
from .promises import CAME
from .routes import route_of
from .sessions import Desk, Opened
from .turns import AT_ONCE

access = logging.getLogger("gateway.access")

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable, set where several processes serve one port: where they put their figures,
so that whichever is asked tells of all."""


class Metrics:
    """What one gateway process counts and measures, for Prometheus.

    Arguments:
        certificates: The files of ours, by whom they are shown to.
    """

    def __init__(self, certificates: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._certificates = certificates
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
            "Requests answered with a problem, by its code and the route that was asked for.",
            ["code", "route"],
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
        self._results = Counter(
            "warren_gateway_results",
            "Sessions that callers asked for here, by what came of them: completed, the code of a "
            "failure, or no_answer.",
            ["operation", "code"],
            registry=self.registry,
        )
        self._pages_refused = Counter(
            "warren_gateway_api_key_pages_refused",
            "Pages of API keys that were not believed: gaps, forks, false signatures.",
            registry=self.registry,
        )
        self._expires = Gauge(
            "warren_gateway_certificate_expires_timestamp_seconds",
            "When the certificate expires that is shown to callers or the broker, by its file.",
            ["shown_to"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        self._list_number = Gauge(
            "warren_gateway_list_number",
            "The last entry of the list of clients that this gateway has verified.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def begun(self, session_type: str) -> None:
        """Count a session that was begun."""
        self._begun.labels(session_type).inc()

    def ended(self, operation: str, code: str) -> None:
        """Count what came of a session, or of the wish for one."""
        self._results.labels(operation, code).inc()

    def page_refused(self) -> None:
        """Count a page of API keys that was not believed."""
        self._pages_refused.inc()

    def list_number(self, number: int) -> None:
        """How far the list of clients is followed."""
        self._list_number.set(number)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer, by its route and never by its path, and how long it took."""
        method, route = _method(scope), route_of(scope)
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if (code := scope.get(MARK)) is not None:
            self._problems.labels(code, route).inc()

    def in_flight(self, change: int) -> None:
        """One request more, or one less."""
        self._in_flight.inc(change)

    def exposition(self) -> tuple[bytes, str]:
        """The text and its media type."""
        for name, file in self._certificates.items():
            with contextlib.suppress(TlsFileError):  # whoever needs it next will say so
                self._expires.labels(name).set(expires_at(file))
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _method(scope: Scope) -> str:
    method: str = scope.get("method", "GET")  # a socket is asked for by one
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
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        status = 499  # as some proxies call it: the caller hung up before there was an answer

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"].endswith("http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        began = time.perf_counter()
        scope[CAME] = asyncio.get_running_loop().time()
        self._metrics.in_flight(+1)
        try:
            await self._app(scope, receive, note)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.in_flight(-1)
            self._metrics.observe(scope, status, seconds)
            if self._log and access.isEnabledFor(logging.INFO):
                access.info("request", extra=audit.line(scope, _method(scope), status, seconds))


class CountingDesk(Desk):
    """Tells the metrics of the sessions that it begins."""

    def __init__(
        self, client: Client, *, timeout_s: float, asking: int = AT_ONCE, metrics: Metrics
    ) -> None:
        super().__init__(client, timeout_s=timeout_s, asking=asking, ended=metrics.ended)
        self._metrics = metrics

    async def begin_key(self, *arguments: Any, **named: Any) -> Opened:
        return self._counted("keygen", await super().begin_key(*arguments, **named))

    async def begin_signature(self, *arguments: Any, **named: Any) -> Opened:
        return self._counted("sign", await super().begin_signature(*arguments, **named))

    async def begin_reshare(self, *arguments: Any, **named: Any) -> Opened:
        return self._counted("reshare", await super().begin_reshare(*arguments, **named))

    def _counted(self, session_type: str, opened: Opened) -> Opened:
        if not opened.replayed:
            self._metrics.begun(session_type)
        return opened
