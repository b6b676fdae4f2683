"""Answers to a client's requests, by somebody who is before the coordinator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from contracts import addresses
from contracts.client import ClientError
from contracts.signing import SignedRequest

from .adversary import Adversary, heard_request, is_request, is_result
from .forms import Wire, now_ms

T = TypeVar("T")
BELIEVED_S = 2.0
"""Longer than a client takes to believe what comes."""

Answer = Callable[[SignedRequest], Mapping[str, Any]]


@contextlib.asynccontextmanager
async def told_before(
    adversary: Adversary,
    call: Coroutine[Any, Any, T],
    operation: str,
    answer: Answer | None,
    *,
    queue: str = addresses.CONTROL_QUEUE,
    client_id: str = "svcA",
) -> AsyncIterator[asyncio.Task[T]]:
    """The call, with the forged answer before the true one, which comes when this is left.

    Arguments:
        answer: None: nothing is said.
    """
    async with adversary.holding_requests(client_id, queue, operation) as held:
        task = asyncio.ensure_future(call)
        wire = await held.recording.first(is_request(operation))
        signed = heard_request(wire)
        if answer is not None:
            reply_to = signed.request.reply_to
            forged = adversary.forms.result(answer(signed), reply_to, request=signed.body)
            await adversary.publish(forged)
            await asyncio.wait([task], timeout=BELIEVED_S)
        try:
            yield task
        finally:
            await held.let_through([wire])


async def told(
    adversary: Adversary, call: Coroutine[Any, Any, T], operation: str, answer: Answer, **how: Any
) -> T | ClientError:
    """What the call comes to, a client's error included."""
    async with told_before(adversary, call, operation, answer, **how) as task:
        pass
    try:
        return await task
    except ClientError as error:
        return error


async def true_result(adversary: Adversary, signed: SignedRequest) -> Wire:
    """What the coordinator says in the end."""
    request = signed.request
    return await adversary.recording.first(is_result(request.operation, request.request_id))


def base(signed: SignedRequest, **fields: Any) -> dict[str, Any]:
    """A completed result's head, and more."""
    request = signed.request
    return {
        "result": request.operation,
        "version": 1,
        "request_id": request.request_id,
        "client_id": request.client_id,
        "session_id": None,
        "status": "completed",
        "finished_at": now_ms(),
        **fields,
    }


def failed(signed: SignedRequest, status: str, code: str, **fields: Any) -> dict[str, Any]:
    failure = {"code": code, "message": f"{code} by somebody", "retryable": False}
    return base(signed, status=status, failure=failure, **fields)
