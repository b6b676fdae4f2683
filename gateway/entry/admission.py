"""Who is calling: found before anything of the body is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import Problem
from .api_keys import CALLER, HEADER, ApiKeys, unauthenticated
from .networks import ADDRESS
from .rates import FailedKeys
from .stays import STAYS, Stays

_HEADER = HEADER.lower().encode()


class Admission:
    """Middleware: 401 without a valid API key, else its `Caller` in the scope.

    Arguments:
        stays: Looks after those who were let in, as long as they stay.
        exempt: Paths that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeys,
        failed: FailedKeys,
        stays: Stays,
        exempt: frozenset[str],
    ) -> None:
        self._app = app
        self._keys = keys
        self._stays = stays
        self._failed = failed
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and scope["path"] not in self._exempt:
            try:
                await self._identify(scope)
            except Problem as problem:
                await problem.answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _identify(self, scope: Scope) -> None:
        shown = [value for name, value in scope["headers"] if name == _HEADER]
        secret = shown[0] if len(shown) == 1 else None
        # A valid key enters from any allowed address, whatever its neighbours there have tried:
        # a limit that shut them all out would be a weapon, and no secret here can be guessed.
        caller = None if secret is None else self._keys.known(secret)
        if caller is None:
            address = scope[ADDRESS]
            # Counted first: whoever waits here for the coordinator must not be many. But as long as
            # no key can be told from another, nobody is blamed for theirs.
            if not self._failed.count(address) and self._keys.fresh:
                raise self._failed.problem(address)
            caller = None if secret is None else await self._keys.find(secret)
            if caller is None:
                raise unauthenticated()
        scope[CALLER] = caller
        scope[STAYS] = self._stays
