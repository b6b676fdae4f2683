"""By when a caller has an answer: `wait` is a promise, whatever is dead, frozen or slow."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.types import Scope

CAME = "warren.came"
"""In a request's scope: when its headers were there, by the event loop's clock."""

MAX_WAIT_S = 60
"""Of `?wait=`. Proxies tend to give up at 60 s or later."""
ANSWER_S = 15.0
"""Within this, who asks for no `wait` has an answer."""
LEAST_S = 2.0
"""Who asks for a shorter `wait` gives this much: nobody could tell of anything in less."""
LAST_WORD_S = 0.4
"""Of a `wait`, its end is for asking how the session is by then."""
WRITING_S = 0.1
"""And the end of that, for writing down what there is."""


@dataclass(frozen=True, slots=True)
class Promise:
    """
    Attributes:
        came_at: By the event loop's clock, as are all moments here.
        wait_s: What the caller asked for, 0 if for nothing.
    """

    came_at: float
    wait_s: float

    @classmethod
    def of(cls, scope: Scope) -> Promise:
        """What a request's caller was promised. A `wait` that is none promises nothing: it will be
        refused."""
        came_at: float = scope.get(CAME, asyncio.get_running_loop().time())
        try:
            wait_s = float(QueryParams(scope["query_string"]).get("wait", "0"))
        except ValueError:
            wait_s = 0.0
        return cls(came_at, wait_s if 0 < wait_s <= MAX_WAIT_S else 0.0)

    @property
    def answers_by(self) -> float:
        """When the answer has to be on its way."""
        return self.came_at + (max(self.wait_s, LEAST_S) if self.wait_s else ANSWER_S)

    @property
    def last_word_by(self) -> float:
        """When nobody else is to be asked any more."""
        return self.answers_by - WRITING_S

    def waits_until(self, seconds: float) -> float:
        """When waiting ends that begins now, for so many seconds: earlier, where the promise is."""
        now = asyncio.get_running_loop().time()
        if not self.wait_s:
            return now + seconds
        last_word_s = min(LAST_WORD_S, self.wait_s / 5)
        return min(now + seconds, self.came_at + self.wait_s - last_word_s)


_CURRENT: contextvars.ContextVar[Promise] = contextvars.ContextVar("promise")


def current() -> Promise:
    """Of the request that is being answered; outside of one, as if it had come now."""
    promise = _CURRENT.get(None)
    return Promise(asyncio.get_running_loop().time(), 0.0) if promise is None else promise


@contextlib.contextmanager
def kept(promise: Promise) -> Iterator[None]:
    """While it is open, it is the current one of this task."""
    token = _CURRENT.set(promise)
    try:
        yield
    finally:
        _CURRENT.reset(token)
