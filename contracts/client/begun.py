"""A request on its way, with or without somebody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..results import Result, SessionAnnounced
from ..signing import SignedRequest
from .errors import ClientClosedError, ClientError


class Waiter:
    """Where the answers to one request are put down.

    Attributes:
        rejected: Why results that claimed to be the answer were refused, oldest first.
        may_run: Whether the request may have reached anybody, by this process or an earlier one.
    """

    def __init__(self, signed: SignedRequest, *, fresh: bool) -> None:
        loop = asyncio.get_running_loop()
        self.signed = signed
        self.announcement: asyncio.Future[SessionAnnounced] = loop.create_future()
        self.answer: asyncio.Future[Result] = loop.create_future()
        self.rejected: list[str] = []
        self.may_run = not fresh

    def leaves(self) -> None:
        self.may_run = True

    def announce(self, announcement: SessionAnnounced) -> None:
        """The first announcement counts; a repeated one changes nothing."""
        if not self.announcement.done():
            self.announcement.set_result(announcement)

    def settle(self, result: Result) -> None:
        """The first result counts; a repeated one changes nothing."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: ClientError) -> None:
        """End the wait with an error, unless there is a result already."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # read: the call may be ending for another reason


class Begun:
    """A request that is published until it is answered, whether anybody awaits it or not: until
    its deadline, or `stop`."""

    def __init__(
        self,
        waiter: Waiter,
        pursuit: asyncio.Task[Result],
        *,
        stopped: Callable[[Waiter], None],
    ) -> None:
        self._waiter = waiter
        self._pursuit = pursuit
        self._stopped = stopped

    @property
    def request_id(self) -> str:
        """The idempotency key: with it the session can be looked up from any process."""
        return self._waiter.signed.request.request_id

    @property
    def announced(self) -> SessionAnnounced | None:
        """None where the result was here first; as the coordinator tells it, nothing proves it."""
        announcement = self._waiter.announcement
        return announcement.result() if announcement.done() else None

    @property
    def done(self) -> bool:
        """Whether `result` has something to say at once."""
        return self._pursuit.done()

    async def result(self) -> Result:
        """The verified result, a failure included. Any number of tasks may await it, and one that
        stops doing so ends nothing.

        Raises ResultTimeoutError, BrokerUnavailableError, TopologyError; ClientClosedError after
        `stop`.
        """
        return await asyncio.shield(self._pursuit)

    async def opened(self) -> None:
        """Returns when the session is announced, or `result` has something to say."""
        either: list[asyncio.Future[SessionAnnounced] | asyncio.Future[Result]] = [
            self._waiter.announcement,
            self._pursuit,
        ]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    def stop(self) -> None:
        """Wait no longer. The session goes on: nobody is told."""
        self._waiter.fail(ClientClosedError(f"request {self.request_id} is waited for no more"))
        self._stopped(self._waiter)
