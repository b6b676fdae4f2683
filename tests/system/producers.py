"""A producer that writes its own messages, as one in another language would, and wrong ones too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from contracts import addresses
from contracts.client import ClientSettings
from contracts.encoding import pack
from contracts.identity import Identity
from ops.stack.deployment import LEGACY, Deployment

_numbers = itertools.count(1)


@dataclass
class Producer:
    """
    Attributes:
        channel: With the client's own login.
        desk: With the operator's, for dead letters.
    """

    channel: AbstractChannel
    desk: AbstractChannel
    client_id: str | None
    identity: Identity

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, deployment: Deployment, name: str) -> AsyncIterator[Producer]:
        settings = ClientSettings.load(deployment.clients[name])
        async with (
            await aio_pika.connect(settings.amqp_url) as connection,
            await aio_pika.connect(deployment.amqp_urls["operator"]) as operators,
        ):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            desk = await operators.channel()
            made = cls(channel, desk, None if name == LEGACY else name, settings.private_identity)
            for owner, queue in made._queues():
                await (await owner.get_queue(queue)).purge()
            yield made

    def _queues(self) -> tuple[tuple[AbstractChannel, str], ...]:
        own = addresses.results_queue(self.client_id)
        return (self.channel, own), (self.desk, addresses.DEAD_QUEUE)

    def body(self, operation: str, **changes: Any) -> dict[str, Any]:
        """A request's fields, right but for the changes."""
        number = next(_numbers)
        now = time.time_ns() // 1_000_000
        fields: dict[str, Any] = {
            "version": 1,
            "operation": operation,
            "request_id": f"raw-{now}-{number}",
            "client_id": self.client_id,
            "signer": self.identity.public.to_base64(),
            "issued_at": now,
            "expires_at": now + 60_000,
        }
        if operation == "keygen":
            fields |= {
                "key_id": f"raw-{now}-{number}",
                "curve": "ed25519",
                "threshold": 2,
                "party_count": 3,
            }
        if operation == "sign":
            fields |= {"key_id": "shared", "scheme": "ed25519", "message": "00ff"}
        fields |= changes
        if "reply_to" not in fields:
            fields["reply_to"] = addresses.result_key(
                operation,
                client_id=fields["client_id"],
                request_id=fields["request_id"],
                key_id=fields.get("key_id"),
            )
        return fields

    async def send(self, fields: dict[str, Any], **how: Any) -> bytes:
        body = json.dumps(fields).encode()
        await self.send_bytes(
            body,
            **{
                "operation": fields["operation"],
                "message_id": str(fields["request_id"]),
                **how,
            },
        )
        return body

    async def send_bytes(
        self,
        body: bytes,
        *,
        operation: str,
        message_id: str,
        identity: Identity | None = None,
        signature: str | None = None,
        headers: dict[str, Any] | None = None,
        routing_key: str | None = None,
    ) -> None:
        """Sign as the contract says: DER ECDSA over the length-prefixed tag and body."""
        if signature is None:
            made = (identity or self.identity).sign(b"warren/request/v1", body)
            signature = base64.b64encode(made).decode()
        exchange = await self.channel.get_exchange(addresses.REQUESTS, ensure=False)
        await exchange.publish(
            aio_pika.Message(
                body,
                message_id=message_id,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers={"signature": signature, **(headers or {})},
            ),
            routing_key or addresses.request_key(operation, self.client_id),
            mandatory=True,
        )

    async def result(self, request_id: str, *, patience_s: float = 60) -> dict[str, Any]:
        """The result of a request; every other message on the queue is a failure."""
        message = await self._take(*self._queues()[0], patience_s)
        result: dict[str, Any] = json.loads(message.body)
        assert result["request_id"] == request_id
        return result

    async def refusal(self, *, patience_s: float = 60) -> tuple[str, bytes]:
        """The reason in words and the body of the next dead letter."""
        message = await self._take(*self._queues()[1], patience_s)
        await asyncio.sleep(1)  # the next one within this second would only be counted
        return str(message.headers["warren-reason"]), message.body

    async def nothing_more(self, *, wait_s: float = 0.3) -> None:
        """Neither a result nor a dead letter is left."""
        await asyncio.sleep(wait_s)
        for owner, name in self._queues():
            queue = await owner.get_queue(name)
            left = await queue.get(fail=False)
            assert left is None, f"{name} holds {left.body[:200] if left else b''!r}"

    async def _take(
        self, owner: AbstractChannel, queue_name: str, patience_s: float
    ) -> AbstractIncomingMessage:
        queue = await owner.get_queue(queue_name)
        async with asyncio.timeout(patience_s):
            async with queue.iterator() as messages:
                message = await anext(messages)
                await message.ack()
        return message


def signed_bytes(body: bytes) -> bytes:
    """What a request's signature covers, spelled out."""
    return pack((b"warren/request/v1", body))
