"""How much one may have in hand at the same time."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import Problem
from .api_keys import CALLER, Caller


@dataclass(slots=True)
class Counted:
    """What is in hand now, of each API key and of each holder: the same counts for both, or a
    holder would have as much of it as he has keys."""

    _by_key: Counter[str] = field(default_factory=Counter)
    _by_holder: Counter[str] = field(default_factory=Counter)

    def refusal(self, caller: Caller, *, per_key: int, per_holder: int) -> str | None:
        """Whose bound one more would break, and which it is, in words."""
        if self._by_key[caller.api_key_id] >= per_key:
            return f"API key {caller.api_key_id} has {per_key}"
        if self._by_holder[caller.tenant] >= per_holder:
            return f"the API keys of {caller.tenant} have {per_holder} together"
        return None

    @contextlib.contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """One more, while it is open."""
        self._by_key[caller.api_key_id] += 1
        self._by_holder[caller.tenant] += 1
        try:
            yield
        finally:
            for counter, name in (
                (self._by_key, caller.api_key_id),
                (self._by_holder, caller.tenant),
            ):
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]

    def __len__(self) -> int:
        return self._by_holder.total()


class Crowds:
    """Middleware: a bound on requests in flight, of each API key, of each holder, and of all
    together; 503 beyond.

    So one's burst waits at its own door and not in front of everybody else's requests.
    """

    def __init__(self, app: ASGIApp, *, per_key: int, per_holder: int, together: int) -> None:
        self._app = app
        self._per_key = per_key
        self._per_holder = per_holder
        self._together = together
        self._in_flight = Counted()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        if (problem := self._problem(caller)) is not None:
            await problem.answer(scope, receive, send)
            return
        with self._in_flight.one(caller):
            await self._app(scope, receive, send)

    def _problem(self, caller: Caller) -> Problem | None:
        refusal = self._in_flight.refusal(
            caller, per_key=self._per_key, per_holder=self._per_holder
        )
        if refusal is None and len(self._in_flight) >= self._together:
            refusal = f"all callers have {self._together} together"
        if refusal is None:
            return None
        text = f"Too many requests are in flight already: {refusal}."
        return Problem("too_many_in_flight", text)
