"""How many sessions one tenant has in the making at once: a burst of one would otherwise stand in
all queues before what anybody else asks for next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

AT_ONCE = 8
PATIENCE_S = 3.0
"""How long a session waits for its turn. Then it begins without: sessions that hang must not keep
others of the same tenant from beginning, and more than to spread a burst is not wanted."""

Leave = Callable[[], None]


class Turns:
    """
    Arguments:
        at_once: Of one tenant.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._by_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, tenant: str) -> Leave:
        """Wait for a turn; call what is returned when it is over, once."""
        places = self._by_tenant.get(tenant)
        if places is None:
            places = self._by_tenant[tenant] = asyncio.Semaphore(self._at_once)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await places.acquire()
        except TimeoutError:
            return _nothing
        return places.release


def _nothing() -> None:
    """There is no place to leave."""
