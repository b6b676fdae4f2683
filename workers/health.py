"""A worker's own small HTTP server: /health, /health/ready and /metrics. Off unless asked for.

It says how this process does and changes nothing. It knows no callers, so it belongs on an address
that only operators reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import metrics

logger = logging.getLogger(__name__)

CHECK_S = 2.0
"""What takes longer than that to answer counts as away."""

Check = Callable[[], Awaitable[None]]
"""Raises, whatever it likes, when the dependency is not there."""


class Health:
    """
    Attributes:
        checks: Dependency -> how to tell whether it answers. Ready is whoever has some and all
            answer; a worker that is still starting has none.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.checks: dict[str, Check] = {}

    async def dependencies(self) -> dict[str, bool]:
        """Ask all of them at once whether they answer."""
        names = list(self.checks)
        answers = await asyncio.gather(*(_answers(self.checks[name]) for name in names))
        found = dict(zip(names, answers, strict=True))
        for name, answered in found.items():
            metrics.READY.labels(name).set(answered)
        return found

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
        ready = bool(found) and all(found.values())
        return JSONResponse(
            {
                "service": self.service,
                "status": "ready" if ready else "not ready" if found else "starting",
                "dependencies": {
                    name: "available" if answered else "unavailable"
                    for name, answered in found.items()
                },
            },
            status_code=200 if ready else 503,
        )

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _answers(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except Exception as error:
        logger.warning("dependency away", extra={"reason": f"{type(error).__name__}: {error}"})
        return False
    return True


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
