"""The HTTP server: uvicorn, with patience limited where it has no limits of its own.

uvicorn closes idle connections after an answer, but waits for ever for a first request, and for
the rest of one whose headers have begun; it keeps headers of any length; it holds an answer for
ever that nobody reads. Who does that to it a thousand times keeps others out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .entry.bodies import LINGER_BYTES, LINGER_S
from .entry.framing import framing_problem
from .entry.headers import SECURITY_HEADERS
from .problems import Problem
from .settings import GatewaySettings, Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

READY_FILE = "WARREN_READY_FILE"
"""Environment variable: a file that is created once the gateway serves."""

BACKLOG = 2048
CHUNK_BYTES = 8
"""For each byte of a body that comes in chunks: its chunk's size and ends of lines. What a caller
sends besides is kept and read by nobody, and the parser would gather it."""


SOCKET_MESSAGE_BYTES = 1024
"""Of a message to us, and none is read."""
SOCKET_PING_S = 15.0
FIELD_BYTES = len(": \r\n")
"""What a header field has beside its name and value."""


class _RefusedError(Exception):
    """Ends the parsing of a request that is refused as it stands."""


class PatientProtocol(HttpToolsProtocol):
    """One connection. `configuration` makes the class that has its `limits`."""

    limits: Limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._refusal: Problem | None = None  # of what the parser has come to just now
        self._refused = False  # and answered: what still comes is read by nobody
        self._discarded_bytes = 0
        self._handed_over = False  # to the protocol of a socket
        self._header_bytes: int | None = None  # so far, while headers have begun and not ended
        self._gathered_bytes = (
            0  # the same by what was read since, whether it is a header yet or not
        )
        self._messages = 0  # requests that have begun
        self._body_bytes = 0  # of the latest
        self._other_bytes = 0  # of it since its headers: chunks' sizes, and what follows them

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One connection more, if there is room; its headers are waited for, not for ever."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            logger.warning("too many connections")
            transport.abort()
            return
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_holding()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Closes on whoever sends more than headers and body may have."""
        if self._refused or self.transport.is_closing():
            self._discard(len(data))
            return
        counted, message, body_bytes = self._header_bytes, self._messages, self._body_bytes
        super().data_received(data)
        if self._handed_over:
            return
        if counted is None and message == self._messages:
            self._other_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._other_bytes > self.limits.header_bytes + CHUNK_BYTES * self._body_bytes:
                self.transport.close()
                return
        if self._header_bytes is None:
            if not self._answering:  # bytes before a request begins, which uvicorn takes for one
                self._wait_for_headers()
        # What the parser has found is counted already; what it still gathers is a part of this.
        # What came with the end of an earlier request is not known apart: one read, at most.
        elif counted is not None or self._messages == 1:
            self._gathered_bytes += len(data)
            if self._gathered_bytes > self.limits.header_bytes:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._messages += 1
        self._header_bytes = self._gathered_bytes = self._body_bytes = self._other_bytes = 0
        self._wait_for_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind a chunked body there may be more, from whoever wrote the body: no proxy has looked
        # at them, and the application takes its headers for what it was asked with.
        if self._header_bytes is not None:
            self._count_header(len(name) + len(value) + FIELD_BYTES)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if (problem := framing_problem(version, self.headers)) is not None:
            self._give_up_parsing(problem)
        self._header_bytes = None
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def pause_writing(self) -> None:
        """The caller does not read: it has `read_seconds` to go on."""
        super().pause_writing()
        self._stop_holding()
        self._unread = self.loop.call_later(self.limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_holding()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        self._handed_over = True
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """A problem document in place of uvicorn's bare text."""
        self._refuse(self._refusal or Problem("not_http", msg))

    def _count_header(self, count: int) -> None:
        assert self._header_bytes is not None  # by `on_message_begin`
        self._header_bytes += count
        if self._header_bytes > self.limits.header_bytes:
            self._give_up_parsing(self._too_large())

    def _give_up_parsing(self, problem: Problem) -> NoReturn:
        """Before the application is told of a request: nothing that follows is looked at either."""
        self._refusal = problem
        raise _RefusedError  # the parser passes it on as a fault of what it has read

    def _too_large(self) -> Problem:
        text = f"The request's line and headers may have {self.limits.header_bytes} bytes."
        return Problem("headers_too_large", text)

    def _wait_for_headers(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_holding(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._header_bytes is None:
            self.transport.close()
            return
        text = f"The headers took longer than {self.limits.header_seconds:g} s."
        self._refuse(Problem("too_slow", text))

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, problem: Problem) -> None:
        """Before there is a request that the application could answer."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_waiting()
        if self._answering:  # the bytes would stand in the middle of another answer
            self.transport.close()
        else:
            body = problem.body()
            headers = [
                *self.server_state.default_headers,
                *problem.raw_headers(len(body)),
                *SECURITY_HEADERS,
            ]
            lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
            status = f"HTTP/1.1 {problem.status} {problem.kind.title}\r\n".encode()
            self.transport.write(status + lines + b"\r\n" + body)
            self._linger()

    def _linger(self) -> None:
        """A connection that is closed with bytes unread is reset, and the answer with it: whoever
        is still sending has a moment to read why."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _discard(self, count: int) -> None:
        self._discarded_bytes += count
        if self._discarded_bytes > LINGER_BYTES:
            self.transport.close()


class PatientSocket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket; the same patience with who does not read."""

    limits: Limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unread: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_holding()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The caller does not read: it has `read_seconds` to go on."""
        super().pause_writing()
        self._stop_holding()
        self._unread = self.loop.call_later(self.limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_holding()
        super().resume_writing()

    def _stop_holding(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class Server(uvicorn.Server):
    """Ends with exit code 0 when it was told to; says when it serves.

    Arguments:
        stopping: Called when it begins to end: long polls are to be answered.
    """

    def __init__(self, config: uvicorn.Config, *, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: Any = None) -> None:
        """Tell those who wait, before their connections are waited for."""
        self._stopping()
        await super().shutdown(sockets)

    async def startup(self, sockets: Any = None) -> None:
        """Say when callers may come."""
        await super().startup(sockets)
        if self.started:
            _say_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, without raising them once more when all is done."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _say_ready() -> None:
    logger.info("ready")
    if (path := os.environ.get(READY_FILE)) is not None:
        with contextlib.suppress(OSError):
            Path(path).touch()


def configuration(app: FastAPI, settings: GatewaySettings) -> uvicorn.Config:
    """uvicorn's settings from ours: HTTP/1.1 only, no proxy headers, no log of its own."""
    door, limits = settings.door, settings.limits
    return uvicorn.Config(
        app,
        host=door.host,
        port=door.port,
        http=type("Protocol", (PatientProtocol,), {"limits": limits}),
        ws=type("Socket", (PatientSocket,), {"limits": limits}),
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_ping_interval=SOCKET_PING_S,
        ws_ping_timeout=limits.read_seconds,
        ws_per_message_deflate=False,  # costs more than it saves, and memory for each
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # `entry.networks` knows whom to believe
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=door.shutdown_seconds,
        ssl_certfile=door.tls_certificate_file,
        ssl_keyfile=door.tls_key_file,
    )
