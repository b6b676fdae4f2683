"""Who gets which result: seen at the queues themselves, without the client library.

Each client signs once more, all at the same time and with nobody listening. So the results stay
in the queues, where they are counted and read.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel

from contracts import addresses, results
from contracts.client import ClientSettings
from contracts.keys import CertifiedKey
from contracts.requests import SignRequest
from contracts.results import Result, SignResult, Status
from contracts.signing import SignedRequest, sign_request
from contracts.verification import check_answer, check_signed
from ops.showcase.errors import MisdeliveredError
from ops.showcase.tour import Outcome

LIFETIME_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one client's queue held: the result of its own request, and nothing else."""

    queue: str
    client_id: str | None
    request_id: str
    status: Status


async def deliver(
    amqp_url: str, settings: Mapping[str, ClientSettings], outcomes: Sequence[Outcome]
) -> list[Delivered]:
    """
    Raises:
        MisdeliveredError: Or a result is missing after its request's deadline.
        ContractError: A result does not answer its request, or its signature is wrong.
    """
    requests = [_request(outcome, settings[outcome.act.client]) for outcome in outcomes]
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        exchange = await channel.get_exchange(addresses.REQUESTS)
        for signed in requests:
            await exchange.publish(
                _message(signed), addresses.request_key(signed.request.operation)
            )
        delivered = [
            await _own_result(channel, signed, outcome.key)
            for signed, outcome in zip(requests, outcomes, strict=True)
        ]
        # Only now: a result that went astray has had the time of all others to turn up.
        queues = [each.queue for each in delivered]
        for queue in (*queues, addresses.UNCLAIMED, addresses.DEAD_QUEUE):
            found = await channel.declare_queue(queue, passive=True)
            if left := found.declaration_result.message_count:
                raise MisdeliveredError(f"{left} messages are left in queue {queue}")
    return delivered


def _request(outcome: Outcome, settings: ClientSettings) -> SignedRequest:
    unsigned, request_id, now_ms = outcome.unsigned, secrets.token_hex(16), _now_ms()
    request = SignRequest(
        request_id=request_id,
        client_id=settings.client_id,
        signer=settings.identity.public.der,
        issued_at=now_ms,
        expires_at=now_ms + 1000 * LIFETIME_S,
        reply_to=addresses.result_key("sign", client_id=settings.client_id, request_id=request_id),
        key_id=outcome.act.key_id,
        scheme=unsigned.scheme,
        message=unsigned.message,
        taproot_merkle_root=unsigned.taproot_merkle_root,
    )
    return sign_request(request, settings.identity)


def _message(signed: SignedRequest) -> aio_pika.Message:
    return aio_pika.Message(
        signed.body,
        headers=dict(signed.headers()),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=signed.request.request_id,
    )


async def _own_result(
    channel: AbstractChannel, signed: SignedRequest, key: CertifiedKey
) -> Delivered:
    request = signed.request
    assert isinstance(request, SignRequest)
    name = addresses.results_queue(request.client_id)
    result = await _next_result(channel, name, request.expires_at)
    if (result.client_id, result.request_id) != (request.client_id, request.request_id):
        raise MisdeliveredError(f"queue {name} got a result of client {result.client_id}")
    check_answer(request, result)
    if result.failure is not None:
        raise MisdeliveredError(f"queue {name} got a failure: {result.failure.message}")
    assert isinstance(result, SignResult)
    check_signed(result, key, request.taproot_merkle_root)
    return Delivered(
        queue=name,
        client_id=result.client_id,
        request_id=result.request_id,
        status=result.status,
    )


async def _next_result(channel: AbstractChannel, name: str, deadline_ms: int) -> Result:
    queue = await channel.declare_queue(name, passive=True)
    while _now_ms() < deadline_ms:
        message = await queue.get(no_ack=True, fail=False)
        if message is not None:
            return results.ADAPTER.validate_json(message.body)
        await asyncio.sleep(0.02)
    raise MisdeliveredError(f"no result reached queue {name} in {LIFETIME_S} s")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
