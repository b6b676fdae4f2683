"""How often one may ask: per API key; and, without a valid one, per address."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import Problem
from .api_keys import CALLER, Caller
from .networks import Address

_V6_SITE = 64
"""Bits of an IPv6 address that whoever has one rarely has several of."""


class FailedKeys:
    """Counts requests without a valid key."""

    def __init__(self, count: int, window_s: int) -> None:
        self._limit = RateLimitItemPerSecond(count, window_s)
        # Fixed windows, because their memory is freed: there are many addresses.
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, address: Address) -> bool:
        """Whether it may be looked at, too."""
        return self._limiter.hit(self._limit, _site(address))

    def problem(self, address: Address) -> Problem:
        """What an address is told that has shown too many wrong keys."""
        reset = self._limiter.get_window_stats(self._limit, _site(address)).reset_time
        return Problem(
            "rate_exceeded",
            "Too many requests without a valid API key came from your address.",
            headers={"Retry-After": str(_seconds_until(reset))},
        )


class Rates:
    """Middleware: 429 for who asks too often, and how much is left for all.

    Arguments:
        requests: Of one API key, in any `window_s`.
    """

    def __init__(self, app: ASGIApp, *, requests: int, window_s: int) -> None:
        self._app = app
        self._limit = RateLimitItemPerSecond(requests, window_s)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._policy = (b"ratelimit-policy", f'"key";q={requests};w={window_s}'.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        name = caller.api_key_id
        allowed = self._limiter.hit(self._limit, name)
        stats = self._limiter.get_window_stats(self._limit, name)
        wait_s = _seconds_until(stats.reset_time)
        # As in the IETF's draft for RateLimit header fields.
        left = (b"ratelimit", f'"key";r={stats.remaining};t={wait_s}'.encode())

        async def tell(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                message["headers"] = [*message["headers"], self._policy, left]
            await send(message)

        if allowed:
            await self._app(scope, receive, tell)
            return
        problem = Problem(
            "rate_exceeded",
            f"API key {name} may send {self._limit.amount} requests in any "
            f"{self._limit.multiples} s.",
            headers={"Retry-After": str(wait_s)},
        )
        await problem.answer(scope, receive, tell)


def _site(address: Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _V6_SITE), strict=False))
    return str(address)


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
