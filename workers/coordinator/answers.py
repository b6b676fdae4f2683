"""What the coordinator answers to requests that begin no session."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile
from typing import TypedDict, TypeVar

from pydantic import BaseModel

from contracts import addresses
from contracts.answers import failed_result
from contracts.errors import InvalidRequestError
from contracts.failures import Failure, FailureCode
from contracts.operations import OPERATIONS
from contracts.requests import Request
from contracts.results import Result, Status
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..session.sending import result
from ..store.records import Outgoing

M = TypeVar("M", bound=BaseModel)


_STATUS = {FailureCode.EXPIRED: Status.EXPIRED, FailureCode.CANCELLED: Status.CANCELLED}
"""Of requests that get no session. The others have failed."""


class Head(TypedDict):
    """What every completed result begins with."""

    request_id: str
    client_id: str | None
    session_id: bytes | None
    request_digest: bytes
    status: Status
    finished_at: int


class Answers:
    def __init__(self, publisher: Publisher, *, clock: Callable[[], int] = now_ms) -> None:
        self._publisher = publisher
        self._clock = clock

    def head(self, signed: SignedRequest, session_id: bytes | None = None) -> Head:
        return Head(
            request_id=signed.request.request_id,
            client_id=signed.request.client_id,
            session_id=session_id,
            request_digest=signed.digest,
            status=Status.COMPLETED,
            finished_at=self._clock(),
        )

    async def give(self, request: Request, content: Result) -> None:
        await self._publisher.publish(result(content, request.reply_to))

    async def again(self, message: Outgoing) -> None:
        """What was answered before, byte for byte."""
        await self._publisher.publish(message)

    async def fail(self, signed: SignedRequest, failure: Failure) -> None:
        """Without a trace: the same request again is looked at again."""
        await self.give(signed.request, failed(signed, failure, now=self._clock()))

    async def refuse(self, body: bytes, error: InvalidRequestError) -> None:
        """To a request that cannot be read, under what could be read of it."""
        content = failed_result(
            error.operation,
            Failure.of(FailureCode.INVALID_REQUEST, str(error)[:2000]),
            request_id=error.request_id,
            client_id=error.client_id,
            request_digest=hashlib.sha256(body).digest(),
            key_id=error.key_id,
            finished_at=self._clock(),
        )
        reply_to = addresses.result_key(
            error.operation,
            client_id=error.client_id,
            request_id=error.request_id,
            key_id=error.key_id,
        )
        await self._publisher.publish(result(content, reply_to))


def failed(signed: SignedRequest, failure: Failure, *, now: int) -> Result:
    request = signed.request
    operation = OPERATIONS[request.operation]
    status = _STATUS.get(failure.code, Status.FAILED)
    return failed_result(
        request.operation,
        failure,
        request_id=request.request_id,
        client_id=request.client_id,
        request_digest=signed.digest,
        status=status,
        # Late once is late for ever: then all deliveries of a request have the same answer.
        finished_at=request.expires_at if status is Status.EXPIRED else now,
        **{name: getattr(request, name) for name in operation.echoes},
    )


def that_fit(page: Sequence[M], room: int) -> list[M]:
    """The first ones, as many as so many bytes have room for."""
    ends = accumulate(len(each.model_dump_json().encode()) + 1 for each in page)
    return list(page[: sum(1 for _ in takewhile(lambda end: end <= room, ends))])


def late(by_ms: int | None = None) -> Failure:
    """Arguments: by_ms: Where the answer is kept, by the clock of whoever gave it first."""
    if by_ms is None:
        text = "the request had expired when it arrived; is a clock wrong?"
    else:
        text = (
            f"the request came {by_ms / 1000:,.1f} s after its expires_at by the coordinator's "
            "clock: unless it was on its way for so long, a clock is wrong by as much or more, and "
            "asking again is in vain until it is set"
        )
    return Failure.of(FailureCode.EXPIRED, text)


def cancelled() -> Failure:
    return Failure.of(FailureCode.CANCELLED, "cancelled before it arrived")


def conflict(request_id: str) -> Failure:
    return Failure.of(
        FailureCode.CONFLICT, f"request id {request_id} was used before for another request"
    )


def unknown(what: str) -> Failure:
    return Failure.of(FailureCode.UNKNOWN_REQUEST, f"you have no such {what}")
