"""Sessions that somebody waits for: each is looked at by one task, however many wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from contracts.client import (
    BrokerUnavailableError,
    ClientClosedError,
    ClientError,
    RequestFailedError,
    ResultTimeoutError,
)
from contracts.results import QuerySessionResult

FIRST_PAUSE_S = 0.05
GROWTH = 1.5
LONGEST_PAUSE_S = 2.0
"""Between two looks at a session in which nothing happens."""

Name = tuple[str, bytes]
"""Of a session: tenant and session id."""
Look = Callable[[str, bytes], Awaitable[QuerySessionResult]]


class Watch:
    """One session, looked at until it is over. Who was told of it once is not troubled by a time
    in which nobody answers.

    Arguments:
        latest: What was seen of it just now.
    """

    def __init__(self, look: Look, name: Name, latest: QuerySessionResult | None = None) -> None:
        self.watchers = 0
        self._look = look
        self._latest = latest
        self._changed = asyncio.Event()
        self._hurried = asyncio.Event()
        self._looking = asyncio.create_task(self._keep_looking(name))
        self._looking.add_done_callback(self._ended)

    async def next(self, seen: QuerySessionResult | None = None) -> QuerySessionResult:
        """The latest there is, once it is another than what was seen.

        Raises what a look raised, which ends the watch; ClientClosedError if it was stopped.
        """
        while self._latest is None or self._latest is seen:
            if self._looking.done():
                if self._looking.cancelled():
                    raise ClientClosedError("the gateway is stopping")
                self._looking.result()
            await self._changed.wait()
        return self._latest

    def hurry(self) -> None:
        """Look now: something happened."""
        self._hurried.set()

    def stop(self) -> None:
        """End the watch: whoever waits for the next change hears ClientClosedError."""
        self._looking.cancel()

    async def _keep_looking(self, name: Name) -> None:
        pause_s = FIRST_PAUSE_S
        if self._latest is not None:
            await self._pause(pause_s)
        while True:
            self._hurried.clear()
            try:
                found = await self._look(*name)
            except ClientError as error:
                if self._latest is None or not passes(error):
                    raise
                found, pause_s = self._latest, LONGEST_PAUSE_S
            if self._latest is None or _differ(self._latest, found):
                self._latest, pause_s = found, FIRST_PAUSE_S
                self._wake()
            if is_over(found):
                return
            await self._pause(pause_s)
            pause_s = min(GROWTH * pause_s, LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    def _ended(self, looking: asyncio.Task[None]) -> None:
        if not looking.cancelled():
            looking.exception()  # read: those who wait may have gone
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()


class Watches:
    """
    Arguments:
        look: At the session of a tenant, by its id.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._watches: dict[Name, Watch] = {}
        self._stopped = False

    @contextlib.contextmanager
    def watching(self, name: Name, latest: QuerySessionResult | None = None) -> Iterator[Watch]:
        """The watch that all share who ask for this session at the same time.

        Arguments:
            latest: What was seen of it just now, so that it need not be looked at again at once.

        Raises ClientClosedError after `stop`.
        """
        if self._stopped:
            raise ClientClosedError("the gateway is stopping")
        watch = self._watches.get(name)
        if watch is None:
            watch = self._watches[name] = Watch(self._look, name, latest)
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                watch.stop()
                del self._watches[name]

    def hurry(self, name: Name) -> None:
        """Look at once, for something was just done to the session here."""
        if name in self._watches:
            self._watches[name].hurry()

    def stop(self) -> None:
        """Ends all of them, and lets no more begin."""
        self._stopped = True
        for watch in self._watches.values():
            watch.stop()

    def __len__(self) -> int:
        return len(self._watches)


def is_over(found: QuerySessionResult) -> bool:
    """Whether the session that was looked up is in its final state."""
    assert found.session is not None  # `check_answer` has made sure
    return found.session.status.final


def passes(error: ClientError) -> bool:
    """Whether a look failed for reasons that say nothing of the session."""
    if isinstance(error, RequestFailedError):
        return error.failure.retryable
    return isinstance(error, BrokerUnavailableError | ResultTimeoutError)


def _differ(one: QuerySessionResult, other: QuerySessionResult) -> bool:
    return (one.session, one.outcome) != (other.session, other.outcome)
