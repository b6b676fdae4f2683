"""What a worker tells operators over HTTP, and what happens when it cannot."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from workers import health as module
from workers.health import Health, NotAbleError, parse_address, served


async def there() -> None:
    """A dependency that answers."""


async def away() -> None:
    raise ConnectionError("amqp://user:secret@broker is away")


async def hanging() -> None:
    await asyncio.Event().wait()


async def asked(health: Health, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=health.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        return await client.get(path)


async def test_a_process_that_answers_is_healthy_whatever_it_waits_for() -> None:
    health = Health("party")
    health.checks["broker"] = away
    answer = await asked(health, "/health")
    assert (answer.status_code, answer.json()) == (200, {"service": "party", "status": "healthy"})


async def test_a_worker_that_is_still_starting_is_not_ready() -> None:
    answer = await asked(Health("party"), "/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"service": "party", "status": "starting", "dependencies": {}}


@pytest.mark.parametrize(
    ("broker", "status", "word", "found"),
    [(there, 200, "ready", "available"), (away, 503, "not ready", "unavailable")],
)
async def test_ready_names_each_dependency(
    broker: Callable[[], Awaitable[None]], status: int, word: str, found: str
) -> None:
    health = Health("coordinator")
    health.checks.update(database=there, broker=broker)
    answer = await asked(health, "/health/ready")
    assert answer.status_code == status
    assert answer.json() == {
        "service": "coordinator",
        "status": word,
        "dependencies": {"database": "available", "broker": found},
    } | ({"reasons": {"broker": "it does not answer"}} if broker is away else {})
    assert "secret" not in answer.text
    shown = (await asked(health, "/metrics")).text
    assert f'warren_ready{{dependency="broker"}} {1.0 if found == "available" else 0.0}' in shown


async def test_a_dependency_that_hangs_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    health = Health("party")
    health.checks["database"] = hanging
    assert await health.dependencies() == {"database": "it does not answer"}


async def test_why_a_dependency_is_of_no_use_is_told_and_each_change_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="workers.health")
    health = Health("party")
    course = iter(["read-only"] * 3 + ["behind"] + [None] * 2)

    async def check() -> None:
        if (trouble := next(course)) is not None:
            raise NotAbleError(trouble)

    health.checks["database"] = check
    answer = await asked(health, "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == {"database": "read-only"}
    for _ in range(5):
        await health.watch()
    told = [(each.message, getattr(each, "reason", None)) for each in caplog.records]
    assert told == [("not ready", "read-only"), ("not ready", "behind"), ("ready again", None)]


async def test_it_listens_while_the_worker_runs_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses: list[str] = []
    create_server = socket.create_server

    def listening(*arguments: Any, **named: Any) -> socket.socket:
        listener = create_server(*arguments, **named)
        addresses.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
        return listener

    monkeypatch.setattr(socket, "create_server", listening)
    async with httpx.AsyncClient(timeout=60) as client:
        async with served(Health("party"), ("127.0.0.1", 0)):
            (address,) = addresses
            answer = await client.get(f"{address}/metrics")
            assert "warren_deliveries_total" in answer.text
            assert "process_resident_memory_bytes" in answer.text
            assert "server" not in answer.headers
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{address}/health")


async def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with served(Health("party"), taken.getsockname()):
            pytest.fail("it listens where somebody else does")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9100", ("127.0.0.1", 9100)),
        ("0.0.0.0:9100", ("0.0.0.0", 9100)),  # noqa: S104 - parsed, not bound
        ("[::1]:9100", ("::1", 9100)),
        ("party.example:1", ("party.example", 1)),
    ],
)
def test_addresses_to_listen_on(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "here", "host:", "host:0", "host:65536", "host:-1", "host:٣"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no address to listen on"):
        parse_address(text)
