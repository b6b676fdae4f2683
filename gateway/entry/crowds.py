"""How much one may have in hand at the same time."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import Problem
from .api_keys import CALLER, Caller


class Crowds:
    """Middleware: a bound on requests in flight, of each API key and of all together; 503 beyond.

    So one key's burst waits at its own door and not in front of everybody else's requests.
    """

    def __init__(self, app: ASGIApp, *, per_key: int, together: int) -> None:
        self._app = app
        self._per_key = per_key
        self._together = together
        self._by_key: Counter[str] = Counter()
        self._all = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        key = caller.api_key_id
        if (problem := self._problem(key)) is not None:
            await problem.answer(scope, receive, send)
            return
        self._by_key[key] += 1
        self._all += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._all -= 1
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]

    def _problem(self, key: str) -> Problem | None:
        if self._by_key[key] >= self._per_key:
            text = f"{self._per_key} requests of API key {key} are in flight already."
            return Problem("too_many_in_flight", text)
        if self._all >= self._together:
            text = f"{self._together} requests of all callers are in flight already."
            return Problem("too_many_in_flight", text)
        return None
