"""`X-API-Key`: which secrets let whom do what.

The keys are the coordinator's; it keeps their SHA-256 only. Every gateway process has a snapshot
of them, made anew every few seconds, so that a revoked key stops working everywhere within that
time. Who shows a key that the snapshot lacks waits until it is made anew, out of turn, at most once
a second: so a new key works from the first request on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from contracts.client import ClientError
from contracts.primitives import Scope
from contracts.views import ApiKeyView

from ..problems import Problem

logger = logging.getLogger(__name__)

HEADER = "X-API-Key"
CALLER = "warren.caller"
"""In a request's scope: the `Caller`, once known."""

REFRESH_S = 2.0
OUT_OF_TURN_S = 1.0
"""Between two refreshes for keys that the snapshot lacks."""
PATIENCE_S = 2.0
"""How long a request with an unknown key waits for one."""
STALE_S = 60.0
"""A snapshot older than this tells nothing any more: keys may have been revoked since."""

Fetch = Callable[[], Awaitable[Sequence[ApiKeyView]]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the API key that they showed."""

    api_key_id: str
    tenant: str
    """Whose accounts and sessions they see; what an API key's contract calls its `holder`."""
    scopes: frozenset[Scope]


SECRET_BYTES = 32
SECRET_PREFIX = "warren_"  # noqa: S105 - lets scanners find a secret that leaked


def new_secret() -> str:
    """A secret of 256 random bits, behind a prefix that scanners know."""
    return SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: bytes) -> bytes:
    """What the coordinator knows of a key."""
    return hashlib.sha256(secret).digest()


class ApiKeys:
    """
    Arguments:
        fetch: Asks the coordinator for all keys.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        refresh_s: float = REFRESH_S,
        out_of_turn_s: float = OUT_OF_TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._out_of_turn_s = out_of_turn_s
        self._clock = clock
        self._by_digest: Mapping[bytes, ApiKeyView] = {}
        self._fresh_at: float | None = None
        self._asked_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._out_of_turn: asyncio.Task[None] | None = None
        self.last_error: ClientError | None = None

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """While it is open, the snapshot is made anew in the background."""
        keeper = asyncio.create_task(self._keep_fresh(), name="warren gateway api keys")
        try:
            yield
        finally:
            mine = (keeper, self._out_of_turn, self._refreshing)
            tasks = [task for task in mine if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def age_s(self) -> float | None:
        """Of the snapshot; None before the first."""
        return None if self._fresh_at is None else self._clock() - self._fresh_at

    @property
    def fresh(self) -> bool:
        """Whether the snapshot is new enough to go by."""
        return self.age_s is not None and self.age_s <= STALE_S

    def known(self, secret: bytes) -> Caller | None:
        """Whose secret it is, as far as the snapshot goes."""
        found = self._look_up(digest(secret))
        if found is None or not self.fresh or not _valid(found):
            return None
        return Caller(found.api_key_id, found.holder, frozenset(found.scopes))

    async def find(self, secret: bytes) -> Caller | None:
        """Whose secret it is, None if nobody's; has the snapshot made anew if that may help.

        Raises Problem if the snapshot is too old to tell.
        """
        caller = self.known(secret)
        if caller is None:
            await asyncio.wait([self._refresh_out_of_turn()], timeout=PATIENCE_S)
            caller = self.known(secret)
        if not self.fresh:
            raise Problem(
                "keys_unknown",
                "The coordinator has not told for too long which API keys are valid.",
            )
        return caller

    def _look_up(self, shown: bytes) -> ApiKeyView | None:
        # Nobody can choose what a secret's digest begins with, so a dictionary's time tells
        # nothing; the last word has a comparison that takes the same time in any case.
        found = self._by_digest.get(shown)
        if found is None or not hmac.compare_digest(found.key_digest, shown):
            return None
        return found

    def _refresh(self) -> asyncio.Task[None]:
        """The one that runs, or a new one: callers may stop waiting for it at any time."""
        if self._refreshing is None or self._refreshing.done():
            self._asked_at = self._clock()
            self._refreshing = asyncio.create_task(self._make_anew())
        return self._refreshing

    def _refresh_out_of_turn(self) -> asyncio.Task[None]:
        """One for all who wait for it."""
        if self._out_of_turn is None or self._out_of_turn.done():
            self._out_of_turn = asyncio.create_task(self._refresh_when_due())
        return self._out_of_turn

    async def _refresh_when_due(self) -> None:
        if self._fresh_at is not None:
            await asyncio.sleep(self._asked_at + self._out_of_turn_s - self._clock())
        await asyncio.wait([self._refresh()])

    async def _make_anew(self) -> None:
        asked_at = self._clock()
        try:
            by_digest = {key.key_digest: key for key in await self._fetch()}
        except ClientError as error:
            self.last_error = error
            logger.warning("API keys not refreshed", extra={"reason": str(error)})
        except Exception as error:
            self.last_error = ClientError(type(error).__name__)
            logger.exception("API keys not refreshed")
        else:
            self.last_error = None
            self._by_digest = by_digest
            self._fresh_at = asked_at

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.wait([self._refresh()])
            await asyncio.sleep(self._refresh_s)


def _valid(key: ApiKeyView) -> bool:
    if key.revoked_at is not None:
        return False
    return key.valid_until is None or time.time() * 1000 < key.valid_until


_header = APIKeyHeader(
    name=HEADER,
    scheme_name=HEADER,
    auto_error=False,
    description="Made by `warren gateway api-keys create`.",
)


def require(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, if their key has the scope.

        caller: Annotated[Caller, Depends(require(Scope.SIGN))]

    Who they are was found before the body was read, see `admission`; here it is asked what they
    may.
    """

    async def caller(request: Request, _: str | None = Depends(_header)) -> Caller:
        known = request.scope.get(CALLER)
        if not isinstance(known, Caller):
            raise unauthenticated()
        if scope not in known.scopes:
            raise Problem(
                "scope_missing", f"API key {known.api_key_id} lacks the scope {scope.value}."
            )
        return known

    return caller


def unauthenticated() -> Problem:
    """The one answer to a missing, unknown, expired or revoked key: it tells nobody which."""
    return Problem(
        "unauthenticated",
        f"The header {HEADER} is missing, or its key unknown, expired or revoked.",
    )
