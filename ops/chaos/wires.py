"""TCP proxies before the broker, one for each worker that is to lose it.

They run on a thread of their own: the stack is started and stopped by functions that block.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from contracts.hosts import Hosts


class Wire:
    """Cut, it drops every connection and takes no more; frozen, it keeps them and passes nothing
    on. Of several far ends it takes one that is there, like a load balancer."""

    def __init__(self, far_ends: Sequence[tuple[str, int]]) -> None:
        self._far_ends = far_ends
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self.port = 0

    async def mend(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def freeze(self) -> None:
        self._flowing.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for host, port in random.sample(self._far_ends, len(self._far_ends)):
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(host, port)
                break
        else:
            writer.transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(sink)
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    await self._flowing.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            self._writers.discard(sink)
            sink.close()


class Wires:
    """By worker."""

    def __init__(self, amqp_url: str, workers: Iterable[str]) -> None:
        far_ends = [(each.host or "", each.port or 5672) for each in Hosts(amqp_url).all]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._wires = {name: Wire(far_ends) for name in workers}

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
