"""TCP proxies before the broker, for whoever is to lose it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from contracts.hosts import Hosts

Direction: TypeAlias = Literal["there", "back"]


class Wire:
    """A TCP proxy before a broker. Cut, it drops every connection and takes no more; frozen, it
    keeps them and passes nothing on. Of several far ends it takes one that is there, like a load
    balancer.

    Attributes:
        held: Set when something does not pass since it is frozen.
    """

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._far_ends = [(each.host, each.port or 5672) for each in Hosts(amqp_url).all]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing: dict[Direction, asyncio.Event] = {
            "there": asyncio.Event(),
            "back": asyncio.Event(),
        }
        self.held = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The broker's, through the wire."""
        return through(self._amqp_url, self.port)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.cut()

    async def mend(self) -> None:
        for flowing in self._flowing.values():
            flowing.set()
        self.held.clear()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """What was held is lost."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def freeze(self, *directions: Direction) -> None:
        """Both directions, unless one is given: there, which is to the broker, or back."""
        for direction in directions or self._flowing:
            self._flowing[direction].clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for host, port in random.sample(self._far_ends, len(self._far_ends)):
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(host, port)
                break
        else:
            writer.transport.abort()
            return
        pairs: dict[Direction, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {
            "there": (reader, far_writer),
            "back": (far_reader, writer),
        }
        for direction, (source, sink) in pairs.items():
            self._writers.add(sink)
            pump = asyncio.create_task(self._pump(direction, source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        flowing = self._flowing[direction]
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    if not flowing.is_set():
                        self.held.set()
                        await flowing.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            self._writers.discard(sink)
            sink.close()


def through(amqp_url: str, port: int) -> str:
    """The address of a broker, at a port of this machine."""
    return str(Hosts(amqp_url).current.with_host("127.0.0.1").with_port(port))


class Wires:
    """By worker. They run on a thread of their own: the stack is started and stopped by functions
    that block."""

    def __init__(self, amqp_url: str, workers: Iterable[str]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._wires = {name: Wire(amqp_url) for name in workers}

    @property
    def ports(self) -> dict[str, int]:
        return {name: wire.port for name, wire in self._wires.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        for name in self._wires:
            self.mend(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in self._wires:
            self.cut(name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, worker: str) -> None:
        self._run(self._wires[worker].cut())

    def freeze(self, worker: str) -> None:
        self._run(self._wires[worker].freeze())

    def mend(self, worker: str) -> None:
        self._run(self._wires[worker].mend())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
