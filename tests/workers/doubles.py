"""What stands in for the broker's ends: a message and a publisher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from workers.store.records import Outgoing


@dataclass
class FakeMessage:
    """Remembers how the delivery ended."""

    endings: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        self.endings.append("ack")

    async def nack(self, *, requeue: bool) -> None:
        self.endings.append("requeue" if requeue else "drop")

    async def reject(self, *, requeue: bool) -> None:
        self.endings.append("failed, requeue" if requeue else "dead letter")


@dataclass
class FakePublisher:
    """Keeps what is published; raises `trouble` instead, as long as there is any."""

    sent: list[Outgoing] = field(default_factory=list)
    trouble: list[BaseException] = field(default_factory=list)

    async def publish(self, message: Outgoing) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.sent.append(message)

    async def publish_all(self, messages: Any) -> None:
        for message in messages:
            await self.publish(message)


@contextlib.asynccontextmanager
async def eventually(timeout_s: float = 60.0) -> AsyncIterator[None]:
    """A bound for what must happen, however slow the machine."""
    async with asyncio.timeout(timeout_s):
        yield
