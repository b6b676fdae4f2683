"""Answers to a client's requests, by somebody who is before the coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.client import Client, ClientError
from contracts.signing import SignedRequest
from tests.patience import until

from .adversary import PATIENCE_S, Adversary, heard_request, is_request, is_result
from .forms import Wire, now_ms

T = TypeVar("T")

Answer = Callable[[SignedRequest], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """
    Attributes:
        outcome: What the call came to, a client's error included.
        disbelieved: How often the client heard what the coordinator had not signed.
        refused: Why it refused what the coordinator had.
    """

    outcome: T | ClientError
    disbelieved: int
    refused: list[str]

    def is_refused(self, adversary: Adversary, because: str) -> bool:
        """Whether the forged answer was: for its signature, or if that was right for this."""
        if not adversary.is_coordinator:
            return self.disbelieved == 1
        return self.disbelieved == 0 and any(because in each for each in self.refused)


class _Reasons(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextlib.contextmanager
def refusals() -> Iterator[list[str]]:
    """What clients say meanwhile of results that they do not believe."""
    logger, reasons = logging.getLogger("contracts.client.correspondence"), _Reasons()
    logger.addHandler(reasons)
    try:
        yield reasons.heard
    finally:
        logger.removeHandler(reasons)


@contextlib.asynccontextmanager
async def told_before(
    adversary: Adversary,
    client: Client,
    call: Coroutine[Any, Any, T],
    operation: str,
    answer: Answer | None,
) -> AsyncIterator[tuple[asyncio.Task[T], list[str]]]:
    """A call of the client's, and why that refused the forged answer which came before the true
    one. The true one comes when this is left.

    Arguments:
        answer: None: nothing is said.
    """
    before = disbelieved(client)
    with refusals() as reasons:
        async with adversary.holding_requests("svcA", operation) as held:
            task = asyncio.ensure_future(call)
            wire = await held.recording.first(is_request(operation))
            signed = heard_request(wire)
            if answer is not None:
                reply_to = signed.request.reply_to
                forged = adversary.forms.result(answer(signed), reply_to, request=signed.body)
                await adversary.publish(forged)
                async with asyncio.timeout(PATIENCE_S):
                    await until(
                        lambda: task.done() or bool(reasons) or disbelieved(client) > before
                    )
            try:
                yield task, reasons
            finally:
                await held.let_through([wire])


async def told(
    adversary: Adversary,
    client: Client,
    call: Coroutine[Any, Any, T],
    operation: str,
    answer: Answer,
) -> Told[T]:
    before = disbelieved(client)
    async with told_before(adversary, client, call, operation, answer) as (task, refused):
        pass
    try:
        outcome: T | ClientError = await task
    except ClientError as error:
        outcome = error
    return Told(outcome, disbelieved(client) - before, refused)


def disbelieved(client: Client) -> int:
    return sum(client.disbelieved.values())


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
