"""Whether a gateway is still the client that it is: it follows the list of clients like everybody.

Nobody is let in by it here. It tells operators, before callers do, that the key which this gateway
signs with counts no more, or soon will not: then no coordinator answers it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from contracts import list_log
from contracts.client import ClientSettings
from contracts.client_list import ClientEntry, ClientList
from contracts.list_following import FollowedList

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000
SOON_MS = 24 * HOUR_MS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Listed:
    """
    Arguments:
        path: Where it is kept what was verified; None: nowhere.
        told: Is given the number of the last entry, at each change.
    """

    def __init__(
        self,
        settings: ClientSettings,
        listed: ClientList,
        path: Path | None,
        *,
        told: Callable[[int], None] = lambda _: None,
        clock: Callable[[], int] = _now_ms,
    ) -> None:
        self._settings = settings
        self._listed = listed
        self._told = told
        self._clock = clock
        self._follows = FollowedList(listed, path, changed=self._changed)
        self.hear = self._follows.hear

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """While it is open, in the background. Raises ListFileError."""
        self._follows.load()
        following = list_log.follow(self._settings.amqp_url, self.hear)
        task = asyncio.create_task(following, name="list of clients")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def trouble(self) -> str | None:
        """Why nobody answers us, or soon will not; None where all is well, or the list does not
        tell of us."""
        own, number = self._settings.client_id, self._listed.number
        if own is None or not self._listed.names(own):
            return None
        entry = self._listed.client(own)
        if entry is None:
            return f"the list of clients, entry {number}, has removed us"
        left_ms = self._left_ms(entry)
        if left_ms is None or left_ms > SOON_MS:
            return None
        if left_ms <= 0:
            return f"the list of clients, entry {number}, does not have our key: take the new one"
        return f"our key counts for {left_ms / HOUR_MS:.1f} hours more: take the new one"

    def _left_ms(self, entry: ClientEntry) -> int | None:
        """For so long our key counts; None: without an end."""
        for key in entry.keys or ():
            if key.public_key == self._settings.identity.public.der:
                return None if key.valid_until is None else key.valid_until - self._clock()
        return 0

    def _changed(self) -> None:
        self._told(self._listed.number)
        if (trouble := self.trouble()) is not None:
            logger.warning("the list of clients", extra={"reason": trouble})
