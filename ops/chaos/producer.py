"""A producer that writes everything down: what it published, and every result that comes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from aio_pika.abc import AbstractIncomingMessage

from contracts.client import ClientError, ClientSettings
from contracts.client.link import Link, LinkLostError
from contracts.requests import KeygenRequest, Request, SignRequest
from contracts.results import ADAPTER, Result
from contracts.signing import SignedRequest, sign_request

from .facts import Answer, Asked, Facts

_TRY_AGAIN_S = 0.3


class Producer:
    """
    Arguments:
        clock: Seconds since the run began.
        waits_s: How long after its deadline a request may still be answered.
    """

    def __init__(
        self,
        name: str,
        settings: ClientSettings,
        facts: Facts,
        clock: Callable[[], float],
        *,
        waits_s: float,
    ) -> None:
        self.name = name
        self.settings = settings
        self._facts = facts
        self._clock = clock
        self.waits_s = waits_s
        self.latest = ""
        self._link: Link | None = None
        self._here = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Result]] = {}

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        await self.come_back()
        try:
            yield
        finally:
            await self.go_away()

    async def go_away(self) -> None:
        """Its results wait in its queue, and it asks for nothing."""
        self._here.clear()
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def come_back(self) -> None:
        while self._link is None:
            link = Link(self.settings, deliver=self._receive, lost=lambda: None)
            try:
                await link.open()
            except ClientError:
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                self._link = link
        self._here.set()

    async def ask(self, request: Request) -> SignedRequest:
        """Publish until the broker confirms it, or its deadline passes."""
        signed = sign_request(request, self.settings.private_identity)
        now = self._clock()
        left_s = request.expires_at / 1000 - time.time()
        self._facts.asked[request.request_id] = Asked(
            client=self.name,
            request=request,
            asked_s=now,
            given_up_s=now + left_s + self.settings.margin_s,
            due_s=now + left_s + self.waits_s,
        )
        self._waiting[request.request_id] = asyncio.get_running_loop().create_future()
        if isinstance(request, KeygenRequest | SignRequest):
            self.latest = request.request_id
        await self.repeat(signed)
        return signed

    async def repeat(self, signed: SignedRequest) -> None:
        """The same bytes under the same id."""
        request = signed.request
        while time.time() * 1000 < request.expires_at:
            await self._here.wait()
            link = self._link
            if link is None:
                continue
            try:
                await link.publish(signed)
            except (LinkLostError, ClientError, AttributeError):
                # The last is what a link says that was closed under the call.
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                self._facts.asked[request.request_id].published += 1
                return

    async def answer(self, request_id: str, patience_s: float) -> Result | None:
        """The first one. None if it does not come."""
        waiting = self._waiting[request_id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(waiting)
        return None

    async def _receive(self, delivery: AbstractIncomingMessage) -> None:
        result = ADAPTER.validate_json(delivery.body)
        self._facts.answers[result.request_id].append(
            Answer(at_s=self._clock(), client=self.name, body=delivery.body)
        )
        waiting = self._waiting.get(result.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)
        # Last: an ack may have reached the broker when the lost connection cancels us here.
        await delivery.ack()
