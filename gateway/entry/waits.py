"""How long a caller is kept waiting for an answer's beginning."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import Problem
from ..promises import Promise, kept

BEGINS = "warren.begins"
"""In a request's scope once it is one that begins a session."""


class Waits:
    """Middleware: 504 for who would have to wait for longer than was promised.

    What is below answers earlier by itself, with what there is; here ends what could not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        promise = Promise.of(scope)
        limit = asyncio.timeout_at(promise.answers_by)

        async def tell(message: Message) -> None:
            if not limit.expired():
                limit.reschedule(None)  # what follows is for as long as it takes
            await send(message)

        try:
            async with limit:
                with kept(promise):
                    await self._app(scope, receive, tell)
        except TimeoutError:
            if not limit.expired():
                raise
            await _no_answer(scope).answer(scope, receive, send)


def _no_answer(scope: Scope) -> Problem:
    more = {"signature_may_exist": True} if scope.get(BEGINS) else {}
    return Problem("no_answer", "Nobody has answered in the time that you wait.", more=more)
