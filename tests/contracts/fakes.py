"""A coordinator that answers by script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses
from contracts.answers import failed_result
from contracts.coordinators import result_headers
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve
from contracts.requests import ADAPTER, KeygenRequest, QueryKeysRequest, Request, SignRequest
from contracts.results import Delivered, QueryKeysResult, Result, SessionAnnounced, Status

from .samples import COORDINATOR, SingleKey, digest_of, keygen_result, sign_result

Answer = Callable[[Request], Iterable[Delivered]]
KEYS = {curve: SingleKey(curve) for curve in Curve}


def honest(request: Request) -> list[Result]:
    """What a real system would say; every key exists, and is on the curve its name begins with."""
    match request:
        case KeygenRequest():
            return [keygen_result(request, KEYS[request.curve].made_for(request))]
        case SignRequest():
            return [sign_result(request, KEYS[request.scheme.curve])]
        case QueryKeysRequest():
            key_id = request.only or "ed25519"
            curve = Curve.SECP256K1 if key_id.startswith("secp256k1") else Curve.ED25519
            key = KEYS[curve].certified(
                client_id=request.client_id, tenant=request.tenant, key_id=key_id
            )
            return [
                QueryKeysResult(
                    request_id=request.request_id,
                    client_id=request.client_id,
                    session_id=None,
                    request_digest=digest_of(request),
                    status=Status.COMPLETED,
                    finished_at=request.issued_at,
                    keys=[key],
                )
            ]
    failure = Failure.of(FailureCode.UNKNOWN_REQUEST, "nothing of that id")
    return [
        failed_result(
            request.operation,
            failure,
            request_id=request.request_id,
            client_id=request.client_id,
            request_digest=digest_of(request),
            finished_at=request.issued_at,
        )
    ]


def another_key(request: Request) -> Result:
    """What a coordinator that lies would say: a good signature, of a key of its own."""
    assert isinstance(request, SignRequest)
    return sign_result(request, SingleKey(Curve.ED25519, secret=bytes([1]) * 32))


class FakeCoordinator:
    """
    Attributes:
        answer: What is published for each request, to its `reply_to` or as its announcement.
        asked: Every delivery of a request, in order.
    """

    def __init__(self, channel: aio_pika.abc.AbstractChannel) -> None:
        self.answer: Answer = honest
        self.asked: list[AbstractIncomingMessage] = []
        self.heard = asyncio.Event()
        self._channel = channel

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, url: str, *clients: str | None) -> AsyncGenerator[FakeCoordinator, None]:
        async with await aio_pika.connect(url) as connection:
            coordinator = cls(await connection.channel(on_return_raises=True))
            await coordinator._declare(clients)
            yield coordinator

    async def publish(self, content: Delivered, reply_to: str) -> None:
        if isinstance(content, SessionAnnounced):
            reply_to = addresses.announcement_key(content.client_id, content.request_id)
        await self.publish_raw(content.model_dump_json().encode(), reply_to)

    async def publish_raw(
        self, body: bytes, reply_to: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Signed, unless other headers are given."""
        exchange = await self._channel.get_exchange(addresses.RESULTS, ensure=False)
        own: Mapping[str, str] = result_headers(body, COORDINATOR) if headers is None else headers
        await exchange.publish(aio_pika.Message(body, headers={**own}), reply_to)

    async def declare_results_queue(self, client_id: str | None) -> None:
        pattern = "mpc.*.*" if client_id is None else f"mpc.*.{client_id}.*"
        queue = await self._channel.declare_queue(
            addresses.results_queue(client_id),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": 1_000_000,  # as in the topology
                "x-dead-letter-exchange": addresses.DEAD,
            },
        )
        await queue.bind(addresses.RESULTS, pattern)

    async def delete_results_queue(self, client_id: str | None) -> None:
        await self._channel.queue_delete(addresses.results_queue(client_id))

    async def waiting(self, queue: str) -> int:
        """Messages in a queue that nobody has in hand."""
        found = await self._channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def dead_letter(self) -> bytes:
        """Takes the oldest from the dead letters, when there is one."""
        queue = await self._channel.get_queue(addresses.DEAD_QUEUE)
        while True:
            message = await queue.get(no_ack=True, fail=False)
            if message is not None:
                return message.body
            await asyncio.sleep(0.05)

    async def _declare(self, clients: Iterable[str | None]) -> None:
        topic, durable = aio_pika.ExchangeType.TOPIC, True
        await self._channel.declare_exchange(addresses.DEAD, topic, durable=durable)
        dead = await self._channel.declare_queue(addresses.DEAD_QUEUE, durable=True)
        await dead.bind(addresses.DEAD, "#")
        await self._channel.declare_exchange(addresses.RESULTS, topic, durable=durable)
        for client_id in clients:
            await self.declare_results_queue(client_id)
        await self._channel.declare_exchange(addresses.REQUESTS, topic, durable=durable)
        requests = await self._channel.declare_queue(addresses.request_queue("sign"), durable=True)
        await requests.bind(addresses.REQUESTS, "mpc.#")
        await requests.consume(self._serve)

    async def _serve(self, message: AbstractIncomingMessage) -> None:
        self.asked.append(message)
        self.heard.set()
        request = ADAPTER.validate_json(message.body)
        for result in self.answer(request):
            await self.publish(result, request.reply_to)
        await message.ack()
