"""Who wants to know when sessions are over that this process began, whoever ends them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..store.interface import CoordinatorStore

OLD_S = 0.05
"""Those that are younger are not asked for: hardly any would be over."""


class Departures:
    """
    Arguments:
        monotonic: A clock in seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._awaited: dict[bytes, tuple[float, Callable[[bool], None]]] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    def expect(self, session_id: bytes, over: Callable[[bool], None]) -> None:
        """Call `over`, once, when the session is over, and tell it whether it was late."""
        self._awaited[session_id] = (self._monotonic(), over)

    def dismiss(self, session_id: bytes) -> None:
        """Nobody wants to know any more."""
        self._awaited.pop(session_id, None)

    def over(self, session_id: bytes, *, late: bool = False) -> None:
        """The session is over, perhaps for its deadline; no matter whether anybody wanted to
        know."""
        awaited = self._awaited.pop(session_id, None)
        if awaited is not None:
            awaited[1](late)

    async def look(self, store: CoordinatorStore) -> None:
        """Ask for those that other processes may have ended."""
        old = self._monotonic() - OLD_S
        names = [name for name, (since, _) in self._awaited.items() if since < old]
        for session_id in await store.finished(names) if names else ():
            self.over(session_id)
