"""One lock for each session that this process works on, gone when nobody holds it.

The store's version guard decides between processes; this only spares handlers of one process from
racing each other to a commit that one of them must lose.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class SessionLocks:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._locks)

    def of(self, session_id: bytes) -> asyncio.Lock:
        lock = self._locks.get(session_id)
        if lock is None:
            lock = self._locks[session_id] = asyncio.Lock()
        return lock
