"""What stands in for the broker's ends: a message, a publisher, and a wire that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from workers.store.records import Outgoing


@dataclass
class FakeMessage:
    """Remembers how the delivery ended."""

    endings: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        self.endings.append("ack")

    async def nack(self, *, requeue: bool) -> None:
        self.endings.append("requeue" if requeue else "drop")


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


class Wire:
    """A TCP proxy before a broker. Cut, it drops every connection and takes no more; frozen, it
    keeps them and passes nothing on."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._port = 0

    @property
    def url(self) -> str:
        """The target's, through the wire."""
        login = self._target.netloc.rpartition("@")[0]
        return urlunsplit(self._target._replace(netloc=f"{login}@127.0.0.1:{self._port}"))

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._flowing.set()
        await self.cut()

    async def mend(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def freeze(self) -> None:
        self._flowing.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            self._target.hostname, self._target.port
        )
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(sink)
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()


@contextlib.asynccontextmanager
async def eventually(timeout_s: float = 60.0) -> AsyncIterator[None]:
    """A bound for what must happen, however slow the machine."""
    async with asyncio.timeout(timeout_s):
        yield
