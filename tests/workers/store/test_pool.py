"""Which connections are used again, and which are not."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from workers.store.postgres.pool import Pool


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True

    async def close(self) -> None:
        self.closed = True


class Server:
    def __init__(self) -> None:
        self.connections: list[Connection] = []

    async def connect(self) -> Any:
        await asyncio.sleep(0)
        self.connections.append(Connection())
        return self.connections[-1]


@pytest.fixture
def server() -> Server:
    return Server()


async def use(pool: Pool, error: BaseException | None = None) -> Any:
    async with pool.connection() as connection:
        await asyncio.sleep(0)
        if error is not None:
            raise error
    return connection


async def test_no_more_connections_are_opened_than_are_used_at_once(server: Server) -> None:
    pool = Pool(server.connect, 3)
    for _ in range(5):
        await use(pool)
    assert len(server.connections) == 1
    await asyncio.gather(*(use(pool) for _ in range(20)))
    assert len(server.connections) == 3


@pytest.mark.parametrize(
    ("error", "used_again"),
    [
        (asyncpg.UniqueViolationError("taken"), True),
        (asyncpg.QueryCanceledError("statement timeout"), True),
        (asyncpg.AdminShutdownError("going down"), False),
        (asyncpg.ConnectionDoesNotExistError("lost"), False),
        (asyncpg.CrashShutdownError("another process crashed"), False),
        (asyncpg.CannotConnectNowError("starting up"), False),
        (asyncpg.exceptions.IdleSessionTimeoutError("idle"), False),
        (asyncpg.PostgresIOError("disk"), False),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in it"), False),
        (asyncpg.InterfaceError("closed"), False),
        (TimeoutError(), False),
        (asyncio.CancelledError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_connection_is_used_again_if_its_statement_ended(
    server: Server, error: BaseException, used_again: bool
) -> None:
    pool = Pool(server.connect, 1)
    with pytest.raises(type(error)):
        await use(pool, error)
    first = server.connections[0]
    assert first.closed != used_again
    assert (await use(pool) is first) == used_again


async def test_a_connection_that_was_lost_while_idle_is_not_used(server: Server) -> None:
    pool = Pool(server.connect, 1)
    (await use(pool)).closed = True
    assert not (await use(pool)).closed


async def test_no_connection_to_a_server_that_only_reads_is_used_again(server: Server) -> None:
    """Not those either that only read, and never hear of it."""
    pool = Pool(server.connect, 3)
    await asyncio.gather(*(use(pool) for _ in range(3)))
    async with pool.connection() as reading:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await use(pool, asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in it"))
        assert sum(connection.closed for connection in server.connections) == 2
        assert not reading.is_closed()
    assert all(connection.closed for connection in server.connections)
    elsewhere = await use(pool)
    assert await use(pool) is elsewhere


async def test_a_connection_that_could_not_be_opened_leaves_its_place_to_others(
    server: Server,
) -> None:
    async def refuse() -> Any:
        raise ConnectionRefusedError

    pool = Pool(refuse, 1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await use(pool)


async def test_closing_closes_connections_idle_and_in_use_and_opens_none(server: Server) -> None:
    pool = Pool(server.connect, 2)
    await asyncio.gather(use(pool), use(pool))
    async with pool.connection():
        await pool.close()
        assert sorted(connection.closed for connection in server.connections) == [False, True]
    assert all(connection.closed for connection in server.connections)
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await use(pool)
