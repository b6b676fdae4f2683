"""Work that many ask for at the same time, and that is done once for all of them.

Whoever asks while it is being done may have come too late for that; then it is done once more, for
all who asked meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class Turns(Generic[N]):
    """What is asked for goes by names, each of which has a turn of its own."""

    def __init__(self, work: Callable[[N], Awaitable[None]]) -> None:
        self._work = work
        self._asked: set[N] = set()
        self._locks: defaultdict[N, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._present: defaultdict[N, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._locks)

    async def take(self, name: N) -> None:
        """Returns when the work was done that began after this was called. Where it failed, whoever
        did it learns it, and the next who is there tries."""
        self._asked.add(name)
        self._present[name] += 1
        try:
            async with self._locks[name]:
                if name in self._asked:
                    self._asked.discard(name)
                    try:
                        await self._work(name)
                    except BaseException:
                        self._asked.add(name)
                        raise
        finally:
            self._present[name] -= 1
            if not self._present[name]:
                del self._present[name], self._locks[name]
                self._asked.discard(name)
