"""Who gets which result: seen at the queues themselves, without the client library.

All signatures are asked for once more, all at the same time and with nobody listening. So the
results stay in the queues, where they are counted and read.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue

from contracts import addresses, results
from contracts.answers import check_answer
from contracts.client import ClientSettings
from contracts.connecting import connect
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.results import Result, SignResult, Status
from contracts.signing import SignedRequest, sign_request
from contracts.verification import check_signed
from ops.showcase.acts import Outcome
from ops.showcase.errors import MisdeliveredError

LIFETIME_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What a client's queue held: the result of one of its own requests."""

    queue: str
    client_id: str | None
    request_id: str
    scheme: Scheme
    status: Status


@dataclass(frozen=True, slots=True)
class _Asked:
    request: SignRequest
    key: CertifiedKey


@dataclass(slots=True)
class _Inbox:
    """One client's queue, and what was taken out of it so far."""

    queue: AbstractQueue
    taken: set[bytes] = field(default_factory=set)

    async def next(self) -> bytes | None:
        """A message's body; None if there is none now.

        Delivery is at least once: a worker that died before it knew that its result had arrived
        has another one send the same bytes again, and a client takes them for what they are. So a
        repeat of what was taken is passed over. Other bytes for the same request are not.
        """
        while (message := await self.queue.get(no_ack=True, fail=False)) is not None:
            if message.body not in self.taken:
                self.taken.add(message.body)
                return message.body
        return None


async def deliver(
    settings: Mapping[str, ClientSettings], outcomes: Sequence[Outcome]
) -> list[Delivered]:
    """Each client with its own login.

    Raises:
        MisdeliveredError: Or a result is missing after its request's deadline.
        ContractError: A result does not answer its request, or its signature is wrong.
    """
    asked = [_ask_again(outcome, settings[outcome.act.client]) for outcome in outcomes]
    waiting: dict[str, dict[str, _Asked]] = {}
    for each in asked:
        queue = addresses.results_queue(each.request.client_id)
        waiting.setdefault(queue, {})[each.request.request_id] = each
    async with contextlib.AsyncExitStack() as stack:
        channels = {name: await _channel(stack, own) for name, own in settings.items()}
        for each, outcome in zip(asked, outcomes, strict=True):
            exchange = await channels[outcome.act.client].get_exchange(addresses.REQUESTS)
            signed = sign_request(each.request, settings[outcome.act.client].private_identity)
            await exchange.publish(
                _message(signed),
                addresses.request_key(signed.request.operation, signed.request.client_id),
            )
        owners = {
            addresses.results_queue(own.client_id): channels[name] for name, own in settings.items()
        }
        inboxes = [await _open(owners[queue], queue) for queue in waiting]
        channel = next(iter(channels.values()))  # whoever may open the vhost may look
        delivered = [
            result for inbox in inboxes for result in await _take(inbox, waiting[inbox.queue.name])
        ]
        # Only now: a result that went astray has had the time of all others to turn up.
        for inbox in inboxes:
            if await inbox.next() is not None:
                raise MisdeliveredError(f"a message too many is in queue {inbox.queue.name}")
        for queue in (addresses.UNCLAIMED, addresses.DEAD_QUEUE):
            found = await channel.declare_queue(queue, passive=True)
            if left := found.declaration_result.message_count:
                raise MisdeliveredError(f"{left} messages are left in queue {queue}")
    return delivered


def _ask_again(outcome: Outcome, settings: ClientSettings) -> _Asked:
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
        derivation_path=outcome.payment.path,
        taproot_merkle_root=unsigned.taproot_merkle_root,
    )
    return _Asked(request, outcome.key)


def _message(signed: SignedRequest) -> aio_pika.Message:
    return aio_pika.Message(
        signed.body,
        headers=dict(signed.headers()),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=signed.request.request_id,
    )


async def _channel(stack: contextlib.AsyncExitStack, settings: ClientSettings) -> AbstractChannel:
    connection = await connect(settings.amqp_url)
    await stack.enter_async_context(connection)
    return await connection.channel()


async def _open(channel: AbstractChannel, queue: str) -> _Inbox:
    return _Inbox(await channel.declare_queue(queue, passive=True))


async def _take(inbox: _Inbox, waiting: Mapping[str, _Asked]) -> list[Delivered]:
    """The result of every request, in whichever order they have come.

    Arguments:
        waiting: By request id.
    """
    queue, left, delivered = inbox.queue.name, dict(waiting), []
    while left:
        deadline_ms = min(asked.request.expires_at for asked in left.values())
        result = await _next_result(inbox, deadline_ms)
        asked = left.pop(result.request_id, None)
        if asked is None or result.client_id != asked.request.client_id:
            raise MisdeliveredError(
                f"queue {queue} got a result of client {result.client_id} for request "
                f"{result.request_id}"
            )
        delivered.append(_checked(queue, result, asked))
    return delivered


def _checked(queue: str, result: Result, asked: _Asked) -> Delivered:
    request = asked.request
    check_answer(request, result)
    if result.failure is not None:
        raise MisdeliveredError(f"queue {queue} got a failure: {result.failure.message}")
    assert isinstance(result, SignResult)
    check_signed(result, asked.key, request.taproot_merkle_root)
    return Delivered(
        queue=queue,
        client_id=result.client_id,
        request_id=result.request_id,
        scheme=request.scheme,
        status=result.status,
    )


async def _next_result(inbox: _Inbox, deadline_ms: int) -> Result:
    while _now_ms() < deadline_ms:
        body = await inbox.next()
        if body is not None:
            return results.ADAPTER.validate_json(body)
        await asyncio.sleep(0.02)
    raise MisdeliveredError(f"no result reached queue {inbox.queue.name} in {LIFETIME_S} s")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
