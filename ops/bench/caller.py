"""An HTTP caller that costs little itself, so that the gateway is what is measured.

Connections are kept and used again, as any caller's library does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from contracts.client import BrokerUnavailableError

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_END_OF_HEADERS = b"\r\n\r\n"


class GatewayUnavailableError(BrokerUnavailableError):
    """The gateway took no connection, or broke it off."""


class Answer(NamedTuple):
    """What the gateway answered."""

    status: int
    document: dict[str, Any]


class Caller:
    """
    Arguments:
        url: Of the gateway: ``http://host:port``.
    """

    def __init__(self, url: str, api_key: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 80
        self._idle: list[Connection] = []
        self._headers = (
            f"Host: {place.netloc}\r\nX-API-Key: {api_key}\r\nContent-Type: application/json\r\n"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Raises GatewayUnavailableError."""
        return await self._ask("POST", path, json.dumps(body))

    async def get(self, path: str) -> Answer:
        """Raises GatewayUnavailableError."""
        return await self._ask("GET", path, "")

    async def stream(self, path: str, seconds: float) -> int:
        """Listen for so long, on a connection of its own; returns the status.

        Raises GatewayUnavailableError.
        """
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\n{self._headers}\r\n".encode())
                head = await reader.readuntil(_END_OF_HEADERS)
                status = int(head.split()[1])
                if status == 200:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await reader.read()
            finally:
                writer.transport.abort()
        except (OSError, EOFError) as error:
            raise self._unavailable(error) from None
        return status

    async def _ask(self, method: str, path: str, content: str) -> Answer:
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(content)}\r\n\r\n"
        connection = None
        try:
            connection = await self._connection()
            reader, writer = connection
            writer.write((head + content).encode())
            answer = await _read(reader)
        except BaseException as error:
            if connection is not None:
                connection[1].transport.abort()
            if isinstance(error, OSError | EOFError):
                raise self._unavailable(error) from None
            raise
        self._idle.append(connection)
        return answer

    def _unavailable(self, error: BaseException) -> GatewayUnavailableError:
        return GatewayUnavailableError(
            f"the gateway at {self._host}:{self._port} does not answer: {type(error).__name__}"
        )

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # else the gateway thought that it was idle for too long
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(_END_OF_HEADERS)
    first, *lines = head[: -len(_END_OF_HEADERS)].decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(first.split()[1]), json.loads(content))
