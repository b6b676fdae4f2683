"""What the door of a running gateway takes for a request, by raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import httpx
import pytest

from ops.stack.gateways import Gateways

CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


async def said(gateways: Gateways, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Status and all bytes of the answer to these headers, sent in one write with a key."""
    place = urlsplit(gateways.urls[0])
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    key = f"Host: g\r\nX-API-Key: {gateways.api_key}\r\n".encode()
    line, _, fields = head.partition(b"\r\n")
    writer.write(line + b"\r\n" + key + fields + b"\r\n\r\n" + body)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@pytest.mark.parametrize(
    "fields",
    [
        b"\r\n".join(b"X-Long-%d: %s" % (i, b"x" * 1000) for i in range(140)),
        b"X-Long: " + b"x" * 140_000,
        b"X-Long: " + b"x" * 33_000,
    ],
)
async def test_headers_beyond_the_limit_are_refused(gateways: Gateways, fields: bytes) -> None:
    status, answer = await said(gateways, b"GET /api/v1/accounts HTTP/1.1\r\n" + fields)
    assert status == 431
    assert b"headers_too_large" in answer


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"gzip, chunked", 501),
        (b"xchunked", 501),
        (b"chunked, chunked", 400),
        (b"chunked\r\nContent-Length: 2", 400),
    ],
)
async def test_a_body_that_is_coded_otherwise_is_refused(
    gateways: Gateways, coding: bytes, status: int
) -> None:
    head = b"POST /api/v1/accounts HTTP/1.1\r\nTransfer-Encoding: " + coding
    found, answer = await said(gateways, head, CHUNKS)
    assert found == status
    assert b"application/problem+json" in answer
    assert b'"remedy"' in answer


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/accounts", "GET, HEAD, POST, OPTIONS"),
        ("/api/v1/accounts/a/signing-config", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/api/v1/sessions", "POST, OPTIONS"),
        (f"/api/v1/sessions/{'00' * 32}", "GET, HEAD, OPTIONS"),
        ("/health/ready", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_path_tells_all_its_methods(
    caller: httpx.AsyncClient, path: str, methods: str
) -> None:
    """Whichever other one is asked for."""
    others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(methods.split(", "))
    assert "PATCH" in others
    for other in sorted(others):
        refused = await caller.request(other, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, methods)
    told = await caller.options(path)
    assert (told.status_code, told.headers["allow"]) == (204, methods)


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/api/v1/accounts"])
async def test_a_head_has_no_body(caller: httpx.AsyncClient, path: str) -> None:
    for _ in range(2):  # on one connection, which a body would put out of step
        head = await caller.head(path)
        assert (head.status_code, head.content) == (200, b"")
