"""Requests out, each until it is answered; results in, each to the call that waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import tenacity
from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from .. import results, strict_json
from ..errors import ContractError
from ..results import Delivered, Result, SessionAnnounced
from ..signing import SignedRequest, explain
from .begun import Begun, Waiter
from .errors import (
    BrokerUnavailableError,
    ClientClosedError,
    ClientError,
    ResultTimeoutError,
)
from .link import Link, LinkLostError
from .mailbox import Letter, Mailbox
from .settings import ClientSettings

logger = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Answered requests whose results are known for duplicates when they come again."""

Asked = tuple[str, bytes | None]
"""Request id and digest. The digest is None in what comes from a coordinator that says none."""
Check = Callable[[Result, SignedRequest | None], Awaitable[None]]


class Correspondence:
    """
    Arguments:
        check: `Trust.check`; what does not pass goes to the dead letters.
    """

    def __init__(self, settings: ClientSettings, check: Check) -> None:
        self._settings = settings
        self._check = check
        self._link = Link(settings, deliver=self._receive, lost=self._lose_held)
        self._mailbox = Mailbox(self._link.consumer_count)
        self._waiting: dict[str, Waiter] = {}
        self._pursuits: set[asyncio.Task[Result]] = set()
        self._answered: OrderedDict[Asked, None] = OrderedDict()
        self._closed = False

    async def open(self) -> None:
        """Raises TopologyError or BrokerUnavailableError."""
        await self._link.open()

    @property
    def connected(self) -> bool:
        return self._link.is_up

    async def close(self) -> None:
        self._closed = True
        for waiter in self._waiting.values():
            waiter.fail(ClientClosedError("the client was closed"))
        await asyncio.gather(*self._pursuits, return_exceptions=True)
        self._mailbox.close()
        await self._link.close()

    def begin(self, signed: SignedRequest) -> Begun:
        """Publish the request until it is answered; whoever no longer cares has to `stop` it."""
        request = signed.request
        if self._closed:
            raise ClientClosedError("the client is closed")
        if request.client_id != self._settings.client_id:
            raise ValueError("the request is another client's: its result would go there")
        if request.request_id in self._waiting:
            raise ValueError(f"request {request.request_id} is being waited for already")
        waiter = Waiter(signed)
        self._waiting[request.request_id] = waiter
        for digest in (signed.digest, None):
            self._answered.pop((request.request_id, digest), None)
        pursuit = asyncio.create_task(self._pursue(waiter), name=f"request {request.request_id}")
        self._pursuits.add(pursuit)
        pursuit.add_done_callback(self._ended)
        return Begun(waiter, pursuit, stopped=self._forget)

    async def submit(self, signed: SignedRequest) -> Result:
        """Publish the request and await its result, a failure included."""
        begun = self.begin(signed)
        try:
            return await begun.result()
        finally:
            begun.stop()

    async def unclaimed(self) -> AsyncGenerator[Result, None]:
        """Checked results that no call waits for; acked when the next one is asked for."""
        with self._mailbox.reading():
            while (letter := await self._mailbox.next()) is not None:
                result = letter.content
                assert not isinstance(result, SessionAnnounced)  # nobody is handed these
                try:
                    if not await self._believed(letter, result):
                        continue
                    yield result
                except BaseException:
                    self._mailbox.hold(letter)
                    raise
                await letter.ack()

    async def discard(self) -> None:
        """Take what no call waits for out of the queue, unread, until closed."""
        with self._mailbox.reading():
            while (letter := await self._mailbox.next()) is not None:
                await letter.ack()

    async def _pursue(self, waiter: Waiter) -> Result:
        signed = waiter.signed
        asking = asyncio.create_task(self._keep_asking(signed))
        try:
            async with asyncio.timeout(_left_s(signed) + self._settings.margin_s):
                either: list[asyncio.Future[Any]] = [asking, waiter.answer]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not waiter.answer.done():
                    await asking
                return await waiter.answer
        except TimeoutError:
            raise ResultTimeoutError(signed.request.request_id, waiter.rejected) from None
        finally:
            self._forget(waiter)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _ended(self, pursuit: asyncio.Task[Result]) -> None:
        self._pursuits.discard(pursuit)
        if not pursuit.cancelled():
            pursuit.exception()  # read: nobody has to await a request that was begun

    def _forget(self, waiter: Waiter) -> None:
        request_id = waiter.signed.request.request_id
        if self._waiting.get(request_id) is waiter:
            del self._waiting[request_id]

    async def _keep_asking(self, signed: SignedRequest) -> None:
        """Until cancelled, or the deadline: the first confirm takes as many tries as it needs,
        and a result that stays away may have gone to another consumer of our queue."""
        pause_s = self._settings.ask_again_s
        while _left_s(signed) > 0:
            await self._publish(signed)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _publish(self, signed: SignedRequest) -> None:
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(LinkLostError),
                wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
                stop=lambda _: _left_s(signed) <= 0,
                reraise=True,
            ):
                with attempt:
                    await self._link.publish(signed)
        except LinkLostError as error:
            raise BrokerUnavailableError(
                f"request {signed.request.request_id} was not confirmed before its deadline: "
                f"{error}"
            ) from None

    async def _receive(self, delivery: AbstractIncomingMessage) -> None:
        try:
            content = strict_json.validated(results.DELIVERED, delivery.body)
        except (ValidationError, ContractError) as error:
            logger.warning("refused what is no result: %s", explain(error))
            await delivery.reject(requeue=False)
            return
        letter = Letter(content, delivery)
        waiter = self._waiting.get(content.request_id)
        if waiter is not None and content.request_digest not in {None, waiter.signed.digest}:
            waiter = None  # another process of ours has another request of this id
        if waiter is not None and not waiter.answer.done():
            if isinstance(content, SessionAnnounced):
                await self._announce(waiter, letter, content)
            else:
                await self._answer(waiter, letter, content)
        elif waiter is not None or _asked(content) in self._answered:
            await letter.ack()
        else:
            self._mailbox.hold(letter)

    async def _announce(self, waiter: Waiter, letter: Letter, content: SessionAnnounced) -> None:
        if content.client_id != self._settings.client_id:
            await self._refuse(letter, ContractError("the announcement is another client's"))
            return
        waiter.announce(content)
        await letter.ack()

    async def _answer(self, waiter: Waiter, letter: Letter, result: Result) -> None:
        try:
            await self._check(result, waiter.signed)
        except ContractError as error:
            waiter.rejected.append(str(error))
            await self._refuse(letter, error)
        except ClientError as error:
            # The key that should verify it could not be had; the result may well be good.
            waiter.fail(error)
            self._mailbox.hold(letter)
        else:
            self._remember(result)
            waiter.settle(result)
            await letter.ack()

    async def _believed(self, letter: Letter, result: Result) -> bool:
        try:
            await self._check(result, None)
        except ContractError as error:
            await self._refuse(letter, error)
            return False
        return True

    async def _refuse(self, letter: Letter, reason: ContractError) -> None:
        logger.warning("refused a result of request %s: %s", letter.content.request_id, reason)
        await letter.reject()

    def _remember(self, result: Result) -> None:
        self._answered[_asked(result)] = None
        if len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)

    def _lose_held(self) -> None:
        self._mailbox.forget()


def _asked(content: Delivered) -> Asked:
    return content.request_id, content.request_digest


def _left_s(signed: SignedRequest) -> float:
    return signed.request.expires_at / 1000 - time.time()
