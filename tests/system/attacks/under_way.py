"""Requests that are stopped on their way, and go on when the attacker has had its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.client import ClientError
from contracts.keys import CertifiedKey
from contracts.signing import SignedRequest

from .adversary import Adversary, Held, heard_request, invites, is_instruction, is_request
from .forms import Wire

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UnderWay(Generic[T]):
    """
    Attributes:
        task: The client's call.
        signed: What it sent.
        held: What is held back meanwhile, by party.
    """

    task: asyncio.Task[T]
    signed: SignedRequest
    held: dict[str, Held]


@contextlib.asynccontextmanager
async def uninvited(
    adversary: Adversary, call: Coroutine[Any, Any, T], request_id: str, key: CertifiedKey | None
) -> AsyncIterator[UnderWay[T]]:
    """The coordinator has begun the session, and no party has heard of it.

    Arguments:
        key: That is to sign, and is asked to by nobody else; None where the call makes one.
    """
    operation = "keygen" if key is None else "sign"
    async with adversary.holding_all_instructions(operation) as held:
        earlier = list(adversary.recording.heard)
        task = asyncio.ensure_future(call)
        signed = heard_request(await adversary.recording.first(is_request(operation, request_id)))
        # Not any word of the coordinator: an earlier test's session may be tried once more now.
        begun = invites(request_id)
        await adversary.recording.first(
            lambda wire: (
                begun(wire)
                or (key is not None and _wants_nonces(wire, key) and wire not in earlier)
            )
        )
        yield UnderWay(task, signed, held)


def _wants_nonces(wire: Wire, key: CertifiedKey) -> bool:
    wanted = is_instruction("nonces_wanted")(wire)
    return wanted and wire.json()["key_session"] == key.facts.session_id.hex()


async def lost(
    adversary: Adversary, call: Coroutine[Any, Any, T], request_id: str, key: CertifiedKey | None
) -> UnderWay[T]:
    """As `uninvited`, and what the parties were to hear is lost for good."""
    async with uninvited(adversary, call, request_id, key) as under_way:
        return under_way


async def outcome(task: asyncio.Task[T]) -> T | ClientError:
    try:
        return await task
    except ClientError as error:
        return error


async def invited(adversary: Adversary, request_id: str, count: int) -> list[Wire]:
    return await adversary.recording.count(invites(request_id), count, 20)
