"""`X-API-Key`: which secrets let whom do what.

What an authority has signed lets in, and nobody else's word; the coordinator hands it on. Every
gateway process asks for what is new every second and verifies it, so that a revoked key stops
working everywhere within that time. Who shows a key that is not known waits until it was asked
again, out of turn, at most once a second: so a new key works from the first request on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from contracts.api_keys import Chain, ChainError, SignedApiKeyEntry, valid
from contracts.client import ClientError
from contracts.errors import ContractError
from contracts.primitives import Scope
from contracts.results import QueryApiKeysResult
from contracts.views import ApiKeyView

from ..ledger import Ledger, LedgerError
from ..problems import Problem
from .secrets import EXAMPLE_DIGESTS, digest

__all__ = ["CALLER", "HEADER", "ApiKeys", "Caller", "digest", "new_secret", "require"]

logger = logging.getLogger(__name__)

HEADER = "X-API-Key"
CALLER = "warren.caller"
"""In a request's scope: the `Caller`, once known."""

REFRESH_S = 1.0
OUT_OF_TURN_S = 1.0
"""Between two refreshes for keys that are not known."""
PATIENCE_S = 2.0
"""How long a request with an unknown key waits for one."""
ANSWER_S = 4.0
"""How long a page is waited for; then it is asked for again."""
STALE_S = 10.0
"""After so long without a page that was verified nobody enters: keys may have been revoked
since."""

Fetch = Callable[[int], Awaitable[QueryApiKeysResult]]


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


class ApiKeys:
    """
    Arguments:
        fetch: Asks the coordinator for a page of the chain, behind an entry's number.
        ledger: What is verified of it.
        refused: Called when a page was not believed.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        fetch: Fetch,
        ledger: Ledger,
        *,
        refused: Callable[[], None] = lambda: None,
        refresh_s: float = REFRESH_S,
        out_of_turn_s: float = OUT_OF_TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._ledger = ledger
        self._refused = refused
        self._refresh_s = refresh_s
        self._out_of_turn_s = out_of_turn_s
        self._clock = clock
        self._fresh_at: float | None = None
        self._asked_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._out_of_turn: asyncio.Task[None] | None = None
        self.last_error: Exception | None = None

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """While it is open, what is new is asked for in the background."""
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
        """Of what is known, as the last page that was verified told it; None before the first."""
        return None if self._fresh_at is None else self._clock() - self._fresh_at

    @property
    def fresh(self) -> bool:
        """Whether what is known is new enough to go by, for this gateway and for the authority."""
        if self.age_s is None or self.age_s > STALE_S:
            return False
        return self._chain.whole(_now_ms())

    @property
    def _chain(self) -> Chain:
        return self._ledger.chain

    def revoke(self, signed: SignedApiKeyEntry) -> str:
        """Heed a revocation that somebody has brought; returns which key it ends, at once.

        Raises ContractError if the authority has not signed it.
        """
        return self._ledger.revoke(signed)

    def known(self, secret: bytes) -> Caller | None:
        """Whose secret it is, as far as this process knows."""
        found = self._look_up(digest(secret))
        if found is None or not self.fresh or not valid(found, _now_ms()):
            return None
        return Caller(found.api_key_id, found.holder, frozenset(found.scopes))

    async def find(self, secret: bytes) -> Caller | None:
        """Whose secret it is, None if nobody's; asks for what is new if that may help.

        Raises Problem if what is known is too old to tell.
        """
        caller = self.known(secret)
        if caller is None:
            await asyncio.wait([self._refresh_out_of_turn()], timeout=PATIENCE_S)
            caller = self.known(secret)
        if not self.fresh:
            raise Problem(
                "keys_unknown",
                "Nobody has proven for too long which API keys are valid.",
            )
        return caller

    def ended(self, caller: Caller) -> Problem | None:
        """Why somebody who was let in would not be let in again, as far as this process knows."""
        name = caller.api_key_id
        found = self._chain.key(name)
        if found is None or found.revoked_at is not None:
            return Problem("unauthenticated", f"API key {name} was revoked meanwhile.")
        if not valid(found, _now_ms()):
            return Problem("unauthenticated", f"API key {name} has expired meanwhile.")
        taken = sorted(caller.scopes.difference(found.scopes))
        if taken:
            text = f"API key {name} has lost the scope {', '.join(taken)} meanwhile."
            return Problem("scope_missing", text)
        return None

    def _look_up(self, shown: bytes) -> ApiKeyView | None:
        # Nobody can choose what a secret's digest begins with, so a dictionary's time tells
        # nothing; the last word has a comparison that takes the same time in any case.
        found = self._chain.shown(shown)
        if shown in EXAMPLE_DIGESTS:  # signed by a machine that did not know them yet
            return None
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
        try:
            await self._read_on()
        except (ContractError, LedgerError) as error:
            self.last_error = error
            self._refused()
            logger.critical("API keys not believed", extra={"reason": str(error)})
        except (ClientError, TimeoutError) as error:
            self.last_error = error
            reason = str(error) or f"no answer within {ANSWER_S:g} s"
            logger.warning("API keys not refreshed", extra={"reason": reason})
        except Exception as error:
            self.last_error = error
            logger.exception("API keys not refreshed")
        else:
            self.last_error = None

    async def _read_on(self) -> None:
        self._ledger.catch_up()
        more = True
        while more:
            asked_at = self._clock()
            # From the last entry that is known, so that whoever answers has to have it too.
            known = self._chain.number
            async with asyncio.timeout(ANSWER_S):
                page = await self._fetch(max(known - 1, 0))
            self._ledger.go_on(page.entries, known)
            more = page.more
            if more and self._chain.number == known:
                raise ChainError("a page says that there are more entries and brings none")
        self._fresh_at = asked_at

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.wait([self._refresh()])
            await asyncio.sleep(self._refresh_s)


def _now_ms() -> int:
    return round(time.time() * 1000)


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
        return with_scope(request.scope.get(CALLER), scope)

    return caller


def with_scope(known: object, scope: Scope) -> Caller:
    """The caller that was found, if they may. Raises Problem."""
    if not isinstance(known, Caller):
        raise unauthenticated()
    if scope not in known.scopes:
        raise Problem("scope_missing", f"API key {known.api_key_id} lacks the scope {scope.value}.")
    return known


def unauthenticated() -> Problem:
    """The one answer to a missing, unknown, expired or revoked key: it tells nobody which."""
    return Problem(
        "unauthenticated",
        f"The header {HEADER} is missing, or its key unknown, expired or revoked.",
    )
