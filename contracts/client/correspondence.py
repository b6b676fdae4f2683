"""Requests out, each until it is answered; results in, each to the call that waits for it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import tenacity
from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from .. import bundles, results, strict_json
from ..checks import announced_session, same
from ..errors import ContractError, UnauthenticatedError
from ..hand import Hand, Incoming
from ..primitives import Owner
from ..results import Result, SessionAnnounced
from ..sampling import Sampling
from ..signing import SignedRequest, explain
from .begun import Begun, Waiter
from .errors import (
    BrokerUnavailableError,
    ClientClosedError,
    ClientError,
    ResultTimeoutError,
)
from .letters import Asked, Cover, Letter, asked
from .link import Link, LinkLostError
from .mailbox import Mailbox
from .parcels import Parcel
from .settings import ClientSettings
from .wishes import Wish

logger = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 10_000
"""Requests of which we know what they were, and answered ones whose results are known for
duplicates when they come again."""

Check = Callable[[Result, SignedRequest | None], Awaitable[None]]


class Correspondence:
    """
    Arguments:
        check: `Trust.check`; what does not pass goes to the dead letters.

    Attributes:
        disbelieved: How often something came that was not shown to be the coordinator's, by what
            is wrong with it.
    """

    def __init__(self, settings: ClientSettings, check: Check) -> None:
        self._settings = settings
        self._check = check
        self._link = Link(settings, deliver=self._receive, lost=self._lose_held)
        self._hand = Hand()
        self._mailbox = Mailbox(
            self._link.consumer_count,
            wanted=lambda: bool(self._waiting),
            rest=self._link.rest,
            hand=self._hand,
        )
        self._waiting: dict[str, Waiter] = {}
        self._pursuits: set[asyncio.Task[Result]] = set()
        self._answered: OrderedDict[Asked, None] = OrderedDict()
        self._unread: OrderedDict[bytes, Cover] = OrderedDict()
        """By the body's digest, what was verified and put aside: these very bytes come again, and
        are put aside again without another look."""
        self._letters = Sampling(began=_flood_began, over=_flood_over)
        self._wishes: OrderedDict[tuple[Owner, str], Wish] = OrderedDict()
        self._closed = False
        self.disbelieved: Counter[str] = Counter()

    async def open(self) -> None:
        """Raises TopologyError or BrokerUnavailableError."""
        await self._link.open()

    @property
    def connected(self) -> bool:
        return self._link.is_up

    @property
    def blocked(self) -> str | None:
        return self._link.blocked

    @property
    def takes_bundles(self) -> bool:
        """Whether results may come several in one message: each goes back to the queue with all
        that came with it, so nobody else may read there."""
        settings = self._settings
        return settings.bundles and settings.client_id is not None and self._link.alone

    async def close(self) -> None:
        self._closed = True
        for waiter in self._waiting.values():
            waiter.fail(ClientClosedError("the client was closed"))
        await asyncio.gather(*self._pursuits, return_exceptions=True)
        self._mailbox.close()
        await self._link.close()

    def wish(self, owner: Owner, request_id: str) -> Wish | None:
        """What we asked for under this id, if we still know."""
        return self._wishes.get((owner, request_id))

    def begin(self, signed: SignedRequest, *, fresh: bool = False) -> Begun:
        """Publish the request until it is answered; whoever no longer cares has to `stop` it.

        Arguments:
            fresh: No process can have published it before.
        """
        request = signed.request
        if self._closed:
            raise ClientClosedError("the client is closed")
        if request.client_id != self._settings.client_id:
            raise ValueError("the request is another client's: its result would go there")
        if request.request_id in self._waiting:
            raise ValueError(f"request {request.request_id} is being waited for already")
        if (wish := Wish.of(request)) is not None:
            name = request.owned_by, request.request_id
            before = self._wishes.get(name)
            _keep(self._wishes, name, wish if before is None else wish.beside(before))
        waiter = Waiter(signed, fresh=fresh)
        self._waiting[request.request_id] = waiter
        self._answered.pop((request.request_id, signed.digest), None)
        pursuit = asyncio.create_task(self._pursue(waiter), name=f"request {request.request_id}")
        self._pursuits.add(pursuit)
        pursuit.add_done_callback(self._ended)
        return Begun(waiter, pursuit, stopped=self._forget)

    async def submit(self, signed: SignedRequest, *, fresh: bool = False) -> Result:
        """Publish the request and await its result, a failure included; `fresh` as in `begin`."""
        begun = self.begin(signed, fresh=fresh)
        try:
            return await begun.result()
        finally:
            begun.stop()

    async def unclaimed(self) -> AsyncGenerator[Result, None]:
        """Checked results that no call waits for; acked when the next one is asked for."""
        with self._mailbox.reading():
            await self._link.listen()
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
            await self._link.listen()
            while (letter := await self._mailbox.next()) is not None:
                await letter.ack()

    async def _pursue(self, waiter: Waiter) -> Result:
        signed = waiter.signed
        asking = asyncio.create_task(self._keep_asking(waiter))
        try:
            async with asyncio.timeout(_left_s(signed) + self._settings.margin_s):
                either: list[asyncio.Future[Any]] = [asking, waiter.answer]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not waiter.answer.done():
                    await asking
                return await waiter.answer
        except TimeoutError:
            raise ResultTimeoutError(
                signed.request.request_id, waiter.rejected, signature_may_exist=waiter.may_run
            ) from None
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

    async def _keep_asking(self, waiter: Waiter) -> None:
        """Until cancelled, or the deadline: the first confirm takes as many tries as it needs,
        and a result that stays away may have gone to another consumer of our queue."""
        await self._link.listen()
        pause_s = self._settings.ask_again_s
        while _left_s(waiter.signed) > 0:
            await self._publish(waiter)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _publish(self, waiter: Waiter) -> None:
        signed = waiter.signed
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(LinkLostError),
                wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
                stop=lambda _: _left_s(signed) <= 0,
                reraise=True,
            ):
                with attempt:
                    await self._link.publish(signed, leaves=waiter.leaves)
        except LinkLostError as error:
            raise BrokerUnavailableError(
                f"request {signed.request.request_id} was not confirmed before its deadline: "
                f"{error}",
                signature_may_exist=waiter.may_run,
            ) from None

    async def _receive(self, delivery: AbstractIncomingMessage) -> None:
        self._hand.take(delivery)
        if delivery.content_type != bundles.CONTENT_TYPE:
            return await self._read(delivery)
        try:
            parcel = Parcel(delivery, self._hand)
        except UnauthenticatedError as error:
            return await self._disbelieve(delivery, error)
        # Side by side: to believe one, others may have to be asked.
        await asyncio.gather(*map(self._read, parcel.parts))
        return None

    async def _read(self, delivery: Incoming) -> None:
        if delivery.redelivered:
            cover = self._unread.get(_digest(delivery))
            if cover is not None and not self._cares_for(cover):
                self._mailbox.hold(Letter(cover, delivery, self._hand))
                return
        now = time.time_ns() // 1_000_000
        try:
            self._settings.coordinators.check_result(delivery.body, delivery.headers, now=now)
        except UnauthenticatedError as error:
            await self._disbelieve(delivery, error)
            return
        try:
            content = strict_json.validated(results.DELIVERED, delivery.body)
        except (ValidationError, ContractError) as error:
            logger.warning("refused what is no result: %s", explain(error))
            await self._hand.reject(delivery)
            return
        letter = Letter.opened(content, delivery, self._hand)
        waiter = self._waiting.get(content.request_id)
        if waiter is not None and content.request_digest != waiter.signed.digest:
            waiter = None  # another process of ours has another request of this id
        if waiter is not None and not waiter.answer.done():
            if isinstance(content, SessionAnnounced):
                await self._announce(waiter, letter, content)
            else:
                await self._answer(waiter, letter, content)
        elif waiter is not None or asked(content) in self._answered:
            await letter.ack()
        else:
            _keep(self._unread, _digest(delivery), letter.cover)
            self._mailbox.hold(letter)

    def _cares_for(self, cover: Cover) -> bool:
        """Whether somebody waits for it, or was given it by now."""
        return cover.asked[0] in self._waiting or cover.asked in self._answered

    async def _disbelieve(self, delivery: Incoming, error: UnauthenticatedError) -> None:
        """Anybody with a login at the broker may have sent it: it changes nothing here. Of each
        kind one a second goes to the dead letters, so that somebody notices; more would hide those
        of others."""
        self.disbelieved[error.kind] += 1
        if self._letters.keeps(error.kind):
            logger.warning("refused what the coordinator did not sign: %s", error)
            await self._hand.reject(delivery)
        else:
            self._hand.drop(delivery)

    async def _announce(self, waiter: Waiter, letter: Letter, content: SessionAnnounced) -> None:
        try:
            same("client_id", content.client_id, self._settings.client_id)
            announced_session(waiter.signed.digest, content)
        except ContractError as error:
            await self._refuse(letter, error)
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
        _keep(self._answered, asked(result), None)

    def _lose_held(self) -> None:
        self._mailbox.forget()


def _flood_began() -> None:
    logger.warning(
        "a flood of messages on our queue that the coordinator did not sign: most of them are only "
        "counted"
    )


def _flood_over(count: int) -> None:
    logger.warning("the flood of messages that the coordinator did not sign is over: %d", count)


def _keep(kept: OrderedDict[K, V], name: K, value: V) -> None:
    kept[name] = value
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _digest(delivery: Incoming) -> bytes:
    return hashlib.sha256(delivery.body).digest()


def _left_s(signed: SignedRequest) -> float:
    return signed.request.expires_at / 1000 - time.time()
