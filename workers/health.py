"""A worker's own small HTTP server: /health, /health/ready and /metrics. Off unless asked for.

It says how this process does and changes nothing. It knows no callers, so it belongs on an address
that only operators reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.tls import TlsFileError, expires_at

from . import metrics

logger = logging.getLogger(__name__)

DAY_S = 86_400
CHECK_S = 2.0
"""What takes longer than that to answer counts as away."""

Check = Callable[[], Awaitable[None]]
"""Raises NotAbleError when the dependency cannot do what is asked of it, and whatever it likes when
it is not there."""


class NotAbleError(Exception):
    """A dependency answers, and is of no use. The text says why and what to do, to operators and to
    whoever else may ask: no address, and nothing secret."""


class Health:
    """
    Attributes:
        checks: Dependency -> how to tell whether it can be worked with. Ready is whoever has some
            and all can; a worker that is still starting has none.
        certificates: Ours, by whom they are shown to.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.checks: dict[str, Check] = {}
        self.certificates: dict[str, Path] = {}
        self._known: dict[str, str | None] = {}

    async def dependencies(self) -> dict[str, str | None]:
        """Ask all of them at once: why each cannot be worked with, None where it can. What has
        changed since the last time is logged."""
        names = list(self.checks)
        answers = await asyncio.gather(*(_trouble(self.checks[name]) for name in names))
        found: dict[str, str | None] = {}
        for name, trouble in zip(names, answers, strict=True):
            found[name] = None if trouble is None else trouble.told
            self._note(name, trouble)
            metrics.READY.labels(name).set(trouble is None)
        return found

    async def watch(self) -> None:
        """The same, for the log and the metrics only."""
        await self.dependencies()

    def _note(self, name: str, trouble: _Trouble | None) -> None:
        told = None if trouble is None else trouble.told
        before, self._known[name] = self._known.get(name), told
        if told == before:
            return
        if trouble is None:
            logger.info("ready again", extra={"dependency": name})
        else:
            logger.warning("not ready", extra={"dependency": name, "reason": trouble.logged})

    def app(self) -> Starlette:
        """The three addresses as an ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/health/ready", self._ready),
                Route("/metrics", self._metrics),
            ]
        )

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"service": self.service, "status": "healthy"})

    async def _ready(self, _: Request) -> Response:
        found = await self.dependencies()
        reasons = {name: trouble for name, trouble in found.items() if trouble is not None}
        ready = bool(found) and not reasons
        return JSONResponse(
            {
                "service": self.service,
                "status": "ready" if ready else "not ready" if found else "starting",
                "dependencies": {
                    name: "available" if trouble is None else "unavailable"
                    for name, trouble in found.items()
                },
                **({"reasons": reasons} if reasons else {}),
                **({"certificate_days_left": days} if (days := self._days_left()) else {}),
            },
            status_code=200 if ready else 503,
        )

    def _days_left(self) -> dict[str, int]:
        """Whole ones, of our certificates as their files are now."""
        return {
            name: math.floor((at - time.time()) / DAY_S) for name, at in self._expiries().items()
        }

    def _expiries(self) -> dict[str, float]:
        found = {}
        for name, file in self.certificates.items():
            with contextlib.suppress(TlsFileError):  # whoever connects next will say so
                found[name] = expires_at(file)
        return found

    async def _metrics(self, _: Request) -> Response:
        for name, at in self._expiries().items():
            metrics.CERTIFICATE_EXPIRES.labels(name).set(at)
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Attributes: told: To whoever asks. logged: With what only operators read."""

    told: str
    logged: str


async def _trouble(check: Check) -> _Trouble | None:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except NotAbleError as error:
        return _Trouble(str(error), str(error))
    except Exception as error:
        return _Trouble("it does not answer", f"{type(error).__name__}: {error}")
    return None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's: its server ends when the worker does."""
        yield


@contextlib.asynccontextmanager
async def served(health: Health, address: tuple[str, int] | None) -> AsyncIterator[Health]:
    """Answer at the address while the block runs; nowhere for None.

    Raises OSError if the address is not to be had.
    """
    if address is None:
        yield health
        return
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        health.app(),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        limit_concurrency=32,
    )
    server = _Server(config)
    with socket.create_server((host, port), family=family) as listener:
        serving = asyncio.create_task(server.serve([listener]), name="health")
        try:
            yield health
        finally:
            server.should_exit = True
            await serving


def parse_address(text: str) -> tuple[str, int]:
    """``host:port``, ``[::1]:9100``, or a port alone, which is on loopback. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError(f"{text!r} is no address to listen on: give HOST:PORT or a port")
    return host, int(port)
