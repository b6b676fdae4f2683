"""What every answer says to browsers, and which pages they may let ask."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import Problem
from .api_keys import HEADER

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)

MAY_SEND = (HEADER, "Content-Type", "Idempotency-Key", "Last-Event-ID")
MAY_READ = ("Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After")


class SecurityHeaders:
    """Middleware. Theirs win over what an application set under the same names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                others = [pair for pair in message["headers"] if pair[0].lower() not in _NAMES]
                message["headers"] = [*others, *SECURITY_HEADERS]
            await send(message)

        await self._app(scope, receive, tell)


class CrossOrigin(CORSMiddleware):
    """Middleware, only where origins are configured: without it no page is let in."""

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
            allow_headers=MAY_SEND,
            expose_headers=MAY_READ,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The framework's answer; where it refuses, a problem document."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        problem = Problem("origin_refused", "The origin, its method or its headers are refused.")
        body = problem.body()
        headers = {name.decode(): value.decode() for name, value in problem.raw_headers(len(body))}
        return Response(body, status_code=problem.status, headers=headers)
