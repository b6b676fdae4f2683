"""How long a caller waits for an answer's beginning."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import Problem
from ..promises import Promise, kept
from .stays import stay_of

BEGINS = "warren.begins"
"""In a request's scope once it is one that begins a session."""


class Waits:
    """Middleware: 504 for who would have to wait for longer than was promised; 401 or 403 for whose
    key was revoked while he waited, or is otherwise of no more use.

    What is below answers earlier by itself, with what there is; here ends what could not. An answer
    that has begun takes as long as it takes, and looks after its `Stay` itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        promise = Promise.of(scope)
        limit, stay = asyncio.timeout_at(promise.answers_by), stay_of(scope)
        begun = False

        async def tell(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start" and not limit.expired():
                limit.reschedule(None)
                stay.release()
            await send(message)

        try:
            async with limit, stay:
                with kept(promise):
                    await self._app(scope, receive, tell)
        except TimeoutError:
            if begun:
                raise
            text = "Nobody has answered in the time that you wait."
            await _given_up(scope, Problem("no_answer", text)).answer(scope, receive, send)
        except Problem as problem:
            raise _given_up(scope, problem) if problem is stay.ended_by else problem from None


def _given_up(scope: Scope, problem: Problem) -> Problem:
    """What was begun goes on all the same."""
    if scope.get(BEGINS):
        problem.more["signature_may_exist"] = True
    return problem
