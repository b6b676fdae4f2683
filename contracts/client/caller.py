"""Requests of one client or tenant, made, signed and answered."""

from __future__ import annotations

import asyncio
import copy
import random
import secrets
import time
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from ..addresses import bundled_key, result_key
from ..failures import Failure, FailureCode
from ..requests import RequestBase
from ..results import Result
from ..signer import sign_request_by
from ..signing import SignedRequest, explain
from .begun import Begun
from .correspondence import Correspondence
from .errors import ClockError, RequestFailedError
from .settings import ClientSettings

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=RequestBase)


class Caller:
    """What every part of the client stands on: it makes requests, and asks for what is known of
    them."""

    def __init__(
        self, settings: ClientSettings, correspondence: Correspondence, tenant: str | None
    ) -> None:
        self._settings = settings
        self._correspondence = correspondence
        self._tenant = tenant

    def _of(self, tenant: str | None) -> Self:
        """The same connection and queue, for another tenant or for none."""
        other = copy.copy(self)
        other._tenant = tenant
        return other

    def _request(
        self, kind: type[RequestT], lifetime_s: float, request_id: str | None, **fields: Any
    ) -> RequestT:
        request_id = request_id or secrets.token_hex(16)
        now = now_ms()
        operation = kind.model_fields["operation"].default
        client_id = self._settings.client_id
        reply_to = result_key(
            operation,
            client_id=client_id,
            request_id=request_id,
            key_id=fields.get("key_id"),
        )
        if operation == "sign" and client_id is not None and self._correspondence.takes_bundles:
            reply_to = bundled_key(client_id)
        try:
            return kind(
                request_id=request_id,
                client_id=client_id,
                signer=self._settings.identity.public.der,
                issued_at=now,
                expires_at=now + round(lifetime_s * 1000),
                reply_to=reply_to,
                tenant=self._tenant,
                salt=secrets.token_hex(8),
                **fields,
            )
        except ValidationError as error:
            raise ValueError(explain(error)) from None

    async def _query(self, kind: type[RequestBase], answer: type[T], **fields: Any) -> T:
        """Of the requests that begin no session."""
        request = self._request(kind, self._settings.query_timeout_s, None, **fields)
        return await self._ask(request, answer)

    async def _ask(self, request: Any, kind: type[T]) -> T:
        return (await self._answered(request, kind))[1]

    async def _answered(self, request: Any, kind: type[T]) -> tuple[SignedRequest, T]:
        """What is refused because the coordinator has too much to do is asked again, as often as
        its deadline allows: in new bytes, for a refusal is kept, and under the same id. Returns
        also what was answered in the end."""
        fresh = True
        while True:
            signed = await self._sign(request)
            result = await self._correspondence.submit(signed, fresh=fresh)
            if result.failure is None:
                assert isinstance(result, kind)
                return signed, result
            pause_s = _pause_s(result.failure, request)
            if pause_s is None:
                raise refusal(result.failure, result, request, now_ms())
            await asyncio.sleep(pause_s)
            fresh = False  # others have heard of it: only statements prove that nothing came of it
            request = _anew(request)

    async def _begin(self, request: Any) -> Begun:
        begun = self._correspondence.begin(await self._sign(request), fresh=True)
        try:
            await begun.opened()
            if begun.announced is None:
                _had_a_session(await begun.result(), request)
        except BaseException:
            begun.stop()
            raise
        return begun

    async def _sign(self, request: Any) -> SignedRequest:
        return await sign_request_by(request, self._settings.identity)


def now_ms() -> int:
    """Unix milliseconds, by this machine's clock."""
    return time.time_ns() // 1_000_000


def present(value: T | None) -> T:
    """What `check_answer` has made sure of."""
    assert value is not None
    return value


def refusal(failure: Failure, result: Result, request: RequestBase, now: int) -> RequestFailedError:
    """What the failure of a request is to its caller; `ClockError` if it began no session for being
    late, and is not late here."""
    left_ms = request.expires_at - now
    if failure.code is FailureCode.EXPIRED and result.session_id is None and left_ms > 0:
        return ClockError(failure, result, behind_s=left_ms / 1000)
    return RequestFailedError(failure, result)


def _pause_s(failure: Failure, request: RequestBase) -> float | None:
    """How long to wait before asking again; None if there is no time for it, or no use."""
    if failure.code is not FailureCode.OVERLOADED or failure.retry_after_ms is None:
        return None
    # Not all at once who were told the same.
    pause_s = failure.retry_after_ms / 1000 * random.uniform(1.0, 1.25)
    left_s = (request.expires_at - now_ms()) / 1000
    return pause_s if pause_s < left_s else None


def _anew(request: RequestT) -> RequestT:
    """The same wish until the same deadline, in other bytes."""
    issued_at = min(now_ms(), request.expires_at - 1)
    return request.model_copy(update={"issued_at": issued_at, "salt": secrets.token_hex(8)})


def _had_a_session(result: Result, request: RequestBase) -> None:
    if result.failure is not None and result.session_id is None:
        raise refusal(result.failure, result, request, now_ms())
