"""The server on a real socket, with callers that do not keep to good manners."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.server import configuration
from tests.gateway.entrance import SECRET, Entrance, opened, settings
from tests.patience import until

pytestmark = pytest.mark.long

HOST = "127.0.0.1"


class QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def serving(
    limits: dict[str, Any] | None = None, **door: Any
) -> AsyncIterator[tuple[Entrance, int]]:
    with socket.create_server((HOST, 0)) as listener:
        async with opened(limits, **door) as entrance:
            app: Any = entrance.app
            server = QuietServer(configuration(app, settings(limits, **door)))
            running = asyncio.create_task(server.serve([listener]))
            await until(lambda: server.started)
            try:
                yield entrance, listener.getsockname()[1]
            finally:
                entrance.going.set()
                server.should_exit = True
                await running


async def said(reader: asyncio.StreamReader) -> bytes:
    """All until the end of the connection."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


def taken_apart(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)


REQUEST = f"GET /who HTTP/1.1\r\nHost: g\r\nX-API-Key: {SECRET}\r\n".encode()


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
async def test_a_connection_that_says_nothing_is_closed(sent: bytes) -> None:
    async with serving({"header_seconds": 0.1}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(sent)
        assert await said(reader) == b""
        writer.close()


async def test_headers_that_do_not_end_are_not_waited_for() -> None:
    async with serving({"header_seconds": 0.1}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST)
        status, headers, document = taken_apart(await said(reader))
        writer.close()
    assert status == 408
    assert document["code"] == "too_slow"
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"


async def test_empty_lines_do_not_keep_a_connection_after_an_answer() -> None:
    async with serving({"header_seconds": 0.1, "idle_seconds": 60}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\r\n")
        await said(reader)
        writer.close()


async def test_a_slow_answer_is_not_cut_off_by_the_time_for_headers() -> None:
    async with serving({"header_seconds": 0.1}) as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST.replace(b"/who", b"/slow") + b"\r\n")
        await until(lambda: entrance.waiting == 1)
        await asyncio.sleep(0.2)
        entrance.going.set()
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_headers_without_end_are_not_kept() -> None:
    async with serving({"header_bytes": 1024}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST + b"X-Long: ")
        await writer.drain()
        for _ in range(3):
            await asyncio.sleep(0.02)  # so that the server reads it in several pieces
            writer.write(b"x" * 500)
        answer = await said(reader)
        writer.close()
    assert taken_apart(answer)[0] == 431


@pytest.mark.parametrize(
    ("header", "trailer", "status"),
    [
        (b"X-Forwarded-For: 192.0.2.1", b"X-API-Key: another", b"200 OK"),
        (b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 192.0.2.1", b"403 Forbidden"),
    ],
)
async def test_what_follows_a_chunked_body_is_no_header(
    header: bytes, trailer: bytes, status: bytes
) -> None:
    """Nor has a proxy looked at it, that passes it on."""
    door: dict[str, Any] = {"trusted_proxies": [HOST], "allowed_ips": ["192.0.2.1"]}
    async with serving(**door) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        head = REQUEST.replace(b"GET /who", b"POST /notes") + header
        head += b"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b'c\r\n{"text":"a"}\r\n0\r\n' + trailer + b"\r\n\r\n")
        assert status in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_what_follows_a_chunked_body_without_end_is_not_kept() -> None:
    """The parser would gather it, slower and slower, also of who may not enter at all."""
    async with serving({"header_bytes": 1024, "header_seconds": 60}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"POST /notes HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"401" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0\r\nX-Long: ")
        for _ in range(3):
            await asyncio.sleep(0.02)  # so that the server reads it in several pieces
            writer.write(b"x" * 500)
        await said(reader)
        writer.close()


async def test_a_body_may_come_in_the_smallest_chunks() -> None:
    async with serving({"header_bytes": 1024}) as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        head = REQUEST.replace(b"GET /who", b"POST /notes")
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        for byte in json.dumps({"text": "x" * 1000}).encode():
            writer.write(b"01\r\n%c\r\n" % byte)
        writer.write(b"0\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert entrance.bodies == 1
        writer.close()


LONG = b"".join(b"X-Long-%d: %s\r\n" % (i, b"x" * 1000) for i in range(140))


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST + LONG + b"\r\n",
        REQUEST + b"X-Long: " + b"x" * 140_000 + b"\r\n\r\n",
        REQUEST + b"X-Long: " + b"x" * 140_000,  # and no end of it
        REQUEST + b"x" * 140_000 + b": long\r\n\r\n",
        REQUEST.replace(b"/who", b"/who?" + b"x" * 140_000) + b"\r\n",
        REQUEST + b"".join(b"A%d:\r\n" % i for i in range(20_000)) + b"\r\n",
    ],
    ids=["fields", "value", "without-end", "name", "line", "empty-fields"],
)
async def test_headers_that_come_at_once_are_counted_too(request_: bytes) -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(request_)
        status, headers, document = taken_apart(await said(reader))
        writer.close()
    assert status == 431
    assert document["code"] == "headers_too_large"
    assert headers["connection"] == "close"


async def test_headers_just_within_the_limit_are_served_at_once_or_in_pieces() -> None:
    async with serving({"header_bytes": 4096}) as (_, port):
        request = REQUEST + b"X-Long: "
        request += b"x" * (4096 - len(request) - 8) + b"\r\n\r\n"
        for pieces in (1, 7):
            reader, writer = await asyncio.open_connection(HOST, port)
            size = len(request) // pieces + 1
            for at in range(0, len(request), size):
                writer.write(request[at : at + size])
                await asyncio.sleep(0.02)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            writer.close()


async def test_headers_behind_an_answer_are_counted_from_the_beginning() -> None:
    """On a connection that is used again, each request has all of the room."""
    async with serving({"header_bytes": 1024}) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        for _ in range(5):
            writer.write(REQUEST + b"X-Long: " + b"x" * 500 + b"\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")
        writer.write(REQUEST + LONG + b"\r\n")
        assert taken_apart(await said(reader))[0] == 431
        writer.close()


CHUNKS = b"e\r\n" + b'{"text": "a"}\n' + b"\r\n0\r\n\r\n"
POST = REQUEST.replace(b"GET /who", b"POST /notes") + b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: gzip", 501),
        (b"Transfer-Encoding: identity", 501),
        (b"Transfer-Encoding: chunked;q=1", 501),
        (b"Transfer-Encoding: chunked, gzip", 400),
        (b"Transfer-Encoding: ,chunked", 400),
        (b"Transfer-Encoding: chunked, chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding:", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 14", 400),
        (b"Content-Length: 14\r\nTransfer-Encoding: chunked", 400),
        (b"Content-Length: 14\r\nContent-Length: 15", 400),
        (b"Content-Length: +14", 400),
        (b"Host: another\r\nTransfer-Encoding: chunked", 400),
    ],
)
async def test_a_body_whose_end_two_readers_could_find_differently_is_refused(
    fields: bytes, status: int
) -> None:
    async with serving() as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(POST + fields + b"\r\n\r\n" + CHUNKS)
        refused, headers, document = taken_apart(await said(reader))
        assert entrance.bodies == 0
        writer.close()
    code = {400: "not_http", 501: "transfer_coding"}
    assert (refused, document["code"]) == (status, code[status])
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"  chunked "])
async def test_a_body_in_chunks_is_read(coding: bytes) -> None:
    async with serving() as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + CHUNKS)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert entrance.bodies == 1
        writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /notes HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"GET /health HTTP/1.1\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET /health HTTP/1.0\r\n", 200),
    ],
)
async def test_what_each_version_of_http_wants_is_asked_for(head: bytes, status: int) -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(head + b"\r\n")
        answer = await said(reader)
        assert taken_apart(answer)[0] == status
        writer.close()


async def test_the_end_of_a_head_is_not_waited_for() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        for _ in range(2):
            writer.write(b"HEAD /health HTTP/1.1\r\nHost: g\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert b"content-length: " in head
        writer.close()


async def test_what_is_no_http_is_a_problem_too() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"HELLO?\r\n\r\n")
        status, headers, document = taken_apart(await said(reader))
        writer.close()
    assert status == 400
    assert document["code"] == "not_http"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


async def test_a_connection_too_many_is_closed_and_the_others_stay() -> None:
    async with serving({"connections": 16}) as (_, port):
        held = [await asyncio.open_connection(HOST, port) for _ in range(16)]
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await said(reader) == b""
        writer.close()
        reader, writer = held[0]
        writer.write(REQUEST + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        for _, writer in held:
            writer.close()


async def test_who_does_not_read_his_answer_is_not_waited_for() -> None:
    async with serving({"read_seconds": 0.1}) as (entrance, port):
        ended = asyncio.Event()

        async def torrent(scope: Scope, receive: Receive, send: Send) -> None:
            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            caller = asyncio.create_task(gone())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            part = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
            while not caller.done():
                await send(part)
                await asyncio.sleep(0)
            ended.set()

        entrance.app.mount("/torrent", torrent)
        _, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(REQUEST.replace(b"/who", b"/torrent/") + b"\r\n")
        await ended.wait()
        writer.close()


async def test_a_body_that_is_too_large_is_refused_while_it_is_sent() -> None:
    async with serving({"body_bytes": 10_000}) as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(
            f"POST /notes HTTP/1.1\r\nHost: g\r\nX-API-Key: {SECRET}\r\n"
            "Content-Length: 100000000\r\n\r\n".encode()
        )
        writer.write(b"x" * 200_000)
        status, headers, document = taken_apart(await reader.readuntil(b"}"))
        assert entrance.bodies == 0
        writer.close()
    assert status == 413
    assert headers["connection"] == "close"
    assert document["code"] == "body_too_large"


async def test_requests_in_flight_are_finished_when_the_gateway_ends() -> None:
    async with serving() as (entrance, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(REQUEST.replace(b"/who", b"/slow") + b"\r\n")
        await until(lambda: entrance.waiting == 1)
    assert b"200 OK" in await said(reader)
    writer.close()
