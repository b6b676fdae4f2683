"""A broker with its dead letters, and an operator's terminal."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from typer.testing import CliRunner, Result

from ops.cli.main import app
from tests.patience import until
from topology.model import Members
from workers.delivery.publisher import Publisher, dead_letter

MEMBERS = Members(parties=("p1",), clients=("svcA",))
INBOX = "warren.inbox.p1"
DEAD = "warren.dead"
SIGNING = "mpc.signing_request"
PASSWORD = "hunter2"


@dataclass
class Office:
    """A broker with its dead letters, and an operator's terminal."""

    url: str = field(repr=False)
    management_url: str = field(repr=False)
    connection: AbstractConnection

    @property
    def vhost(self) -> str:
        return unquote(urlsplit(self.url).path[1:])

    async def queue(self, name: str) -> AbstractQueue:
        return await (await self.connection.channel()).get_queue(name, ensure=False)

    async def depth(self, queue: str) -> int:
        async with self.connection.channel() as channel:
            asked = await channel.declare_queue(queue, passive=True)
            return asked.declaration_result.message_count or 0

    async def filled(self, queue: str, count: int) -> None:
        async def so_full() -> bool:
            return await self.depth(queue) == count

        await until(so_full)

    async def publish(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        async with self.connection.channel(on_return_raises=True) as channel:
            message = aio_pika.Message(
                body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties
            )
            where = await channel.get_exchange(exchange, ensure=False)
            await where.publish(message, key, mandatory=True)

    async def take(self, queue: str) -> AbstractIncomingMessage:
        message = await (await self.queue(queue)).get()
        await message.ack()
        return message

    async def reject(self, queue: str, count: int = 1) -> None:
        """Make dead letters of what waits there."""
        before = await self.depth(DEAD)
        asked = await self.queue(queue)
        for _ in range(count):
            await (await asked.get()).reject(requeue=False)
        await self.filled(DEAD, before + count)

    async def rejected(self, *bodies: bytes) -> None:
        """A dead letter of each, which died in the inbox of p1."""
        for number, body in enumerate(bodies):
            await self.publish(
                "warren.rounds", "p1", body, type="keygen/1", message_id=f"m{number}"
            )
        await self.reject(INBOX, len(bodies))

    async def refused(self, body: bytes, *, reason: str = "no", **changes: Any) -> None:
        """What `deliveries.settle` does with a message that a handler refuses."""
        given = {"headers": {"message_id": "m1"}, "routing_key": "p1", "source": INBOX, **changes}
        async with Publisher(self.url, name="test") as publisher:
            await publisher.publish(dead_letter(body=body, reason=reason, **given))

    async def run(self, *arguments: str, answer: str | None = None, url: str = "") -> Result:
        # The commands have event loops of their own.
        return await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["dead-letters", *arguments],
            input=answer,
            env={"WARREN_AMQP_URL": url or self.url},
        )

    async def told(self, *arguments: str, code: int = 0) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def listed(self, *arguments: str) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = (await self.told("list", *arguments))["letters"]
        return letters
