"""Which methods a path has: told by `Allow`, and `HEAD` wherever there is `GET`."""

from __future__ import annotations

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed(scope: Scope) -> list[str]:
    """All methods that the request's path has, in whichever routes; none if there is no such
    path."""
    found = [method for method in METHODS if _has(scope, method)]
    if "GET" in found:
        found.insert(1, "HEAD")
    return [*found, "OPTIONS"] if found else []


def _has(scope: Scope, method: str) -> bool:
    probe = {
        "type": "http",
        "method": method,
        "path": scope["path"],
        "root_path": scope.get("root_path", ""),
        "headers": [],
    }
    return any(route.matches(probe)[0] is Match.FULL for route in scope["app"].routes)


class Heads:
    """Middleware: `HEAD` is answered as `GET` is, without the body; a stream ends where it begins.

    It is the innermost: whatever is outside of it is told what was asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        async def gone() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, gone, without_body)
        finally:
            scope.update({**asked, "method": "HEAD"})
