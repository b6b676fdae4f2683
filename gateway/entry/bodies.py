"""How large a body may be, and how long it may take.

Bodies are small, so each is read whole before anything looks at it: what is below never meets half
a body, and never waits for the rest of one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import Problem

LINGER_S = 0.5
LINGER_BYTES = 1_048_576
"""Callers who are told that the body is too large while they still send it will read that only if
they can go on for a moment: a connection that is closed with bytes unread is reset, and the answer
with it."""


_JSON = (b"content-type", b"application/json")
_FORM = (b"content-type", b"application/x-www-form-urlencoded")


class _GoneError(Exception):
    """The caller hung up."""


class Bodies:
    """Middleware: 413 for bodies that are too large, by their own word or found out on the way;
    408 for those that take too long.

    Arguments:
        limit: In bytes.
        smaller: Of single paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int,
        patience_s: float,
        smaller: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._limit = limit
        self._smaller = smaller
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._smaller.get(scope["path"], self._limit)
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if announced == b"0" and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            if announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            async with asyncio.timeout(self._patience_s):
                body = await self._read(receive, limit)
        except TimeoutError:
            text = f"The body took longer than {self._patience_s:g} s."
            await Problem("too_slow", text).answer(scope, receive, send)
        except Problem as problem:
            await _answer_and_linger(problem, scope, receive, send)
        except _GoneError:
            return
        else:
            await self._app(_as_json(scope), _replaying(body, receive), send)

    async def _read(self, receive: Receive, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"A body may have {limit} bytes.")


def _as_json(scope: Scope) -> Scope:
    """All bodies here are JSON, also those that `curl --data` calls a form unless it is told."""
    scope["headers"] = [_JSON if pair == _FORM else pair for pair in scope["headers"]]
    return scope


def _replaying(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _answer_and_linger(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    async def hold_the_end(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await send(message)

    await problem.answer(scope, receive, hold_the_end)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await _discard(receive)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    size, more = 0, True
    while more and size < LINGER_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
