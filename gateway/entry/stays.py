"""Who stays for long, as a stream or a wait does: no longer than they may enter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.types import Scope

from ..problems import Problem
from .api_keys import CALLER, ApiKeys, Caller
from .networks import ADDRESS, Address, Networks

STAYS = "warren.stays"
"""In the scope of a request whose caller is known: the `Stays` that look after it."""

LOOK_S = 0.25
"""Between two looks at all who are inside."""


class Stays:
    """
    Arguments:
        keys: Which API keys there are now.
        networks: From where one may enter now.
    """

    def __init__(self, keys: ApiKeys, networks: Networks) -> None:
        self._keys = keys
        self._networks = networks
        self._open: set[Stay] = set()
        self._looking: asyncio.Task[None] | None = None

    def refusal(self, caller: Caller, address: Address | None) -> Problem | None:
        """Why this caller may not be here any more, if that is so."""
        if address is not None and not self._networks.allows(address):
            return Problem("address_refused", f"Your address {address} is allowed no longer.")
        return self._keys.ended(caller)

    def look_after(self, stay: Stay) -> None:
        """End it when its caller may not be here any more."""
        self._open.add(stay)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="warren gateway stays")

    def forget(self, stay: Stay) -> None:
        """It has ended, or ends in a way of its own."""
        self._open.discard(stay)

    async def _look(self) -> None:
        while self._open:
            await asyncio.sleep(LOOK_S)
            for stay in tuple(self._open):
                stay.look()
        self._looking = None


class Stay:
    """While it is open, what its task waits for ends with a Problem once its caller may be here no
    longer.

    Attributes:
        ended_by: That Problem.
    """

    def __init__(
        self,
        refusal: Callable[[], Problem | None] = lambda: None,
        stays: Stays | None = None,
    ) -> None:
        self._refusal = refusal
        self._stays = stays
        self.ended_by: Problem | None = None
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        if (problem := self._refusal()) is not None:
            raise problem
        await self._limit.__aenter__()
        if self._stays is not None:
            self._stays.look_after(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self.ended_by is None:
                raise
            raise self.ended_by from None

    def look(self) -> None:
        """Whether it goes on."""
        self.ended_by = self._refusal()
        if self.ended_by is not None:
            self.release()
            self._limit.reschedule(asyncio.get_running_loop().time())

    def release(self) -> None:
        """Whatever comes now is not ended from here."""
        if self._stays is not None:
            self._stays.forget(self)


def stay_of(scope: Scope) -> Stay:
    """A new one, of a request's caller. Whose caller nobody knows stays for as long as he likes."""
    stays: Stays | None = scope.get(STAYS)
    if stays is None:
        return Stay()
    caller, address = scope[CALLER], scope.get(ADDRESS)
    return Stay(lambda: stays.refusal(caller, address), stays)
