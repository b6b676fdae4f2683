"""A worker that is given bundles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from contracts import addresses
from contracts.bundles import CONTENT_TYPE, Part, pack
from tests.workers.doubles import FakeMessage, FakePublisher
from workers.delivery import consuming
from workers.delivery.deliveries import Delivery
from workers.delivery.middleware import Middleware

QUEUE = addresses.inbox_queue("party-1")


class Worker:
    """One process at a queue.

    Attributes:
        trouble: By a part's name, what its handler raises, one after another; then nothing.
        handled: The names of what came to the handler.
    """

    def __init__(self, *, at_once: int = 100, middleware: Middleware | None = None) -> None:
        self.publisher = FakePublisher()
        self.trouble: dict[str, list[BaseException]] = {}
        self.handled: list[str] = []
        self.seen: list[Delivery] = []
        self.meanwhile: Callable[[str], Awaitable[None]] | None = None
        publisher: Any = self.publisher
        self._take = consuming._taking(
            publisher, QUEUE, self.handle, middleware or Middleware(), at_once=at_once
        )

    async def handle(self, delivery: Delivery) -> None:
        name = delivery.body.decode()
        self.handled.append(name)
        self.seen.append(delivery)
        if self.meanwhile is not None:
            await self.meanwhile(name)
        if self.trouble.get(name):
            raise self.trouble[name].pop(0)

    async def take(
        self,
        body: bytes,
        *,
        content_type: str = CONTENT_TYPE,
        headers: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """How the delivery ended."""
        message: Any = FakeMessage()
        raw = SimpleNamespace(
            channel=self,
            delivery_tag=1,
            headers=headers or {},
            type="bundle",
            body=body,
            routing_key="party-1",
            message_id=None,
            exchange="warren.sessions",
            content_type=content_type,
        )
        message.raw_message = raw
        await self._take(message)
        endings: list[str] = message.endings
        return endings

    def letters(self) -> dict[str, str]:
        """Of what became dead letters, the bodies with the reasons."""
        return {
            letter.body.decode(errors="replace"): letter.headers["warren-reason"]
            for letter in self.publisher.sent
        }


def bundle(*names: str) -> bytes:
    return pack(
        [
            Part(
                message_id=f"id-{name}",
                kind=f"kind-{name}",
                content_type="text/x",
                headers={"session_id": name},
                body=name.encode(),
            )
            for name in names
        ]
    )


def again(count: int) -> dict[str, Any]:
    """As a broker before 4.3 counts."""
    return {"x-delivery-count": count}
