"""A pool of connections for whole statements.

asyncpg's own pool resets a connection and starts a task whenever one is given back, which costs
as much as the statement. Ours is for connections that have nothing to reset: each statement is a
transaction, and a connection whose statement did not end is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg

from migrations import PoolerError
from migrations.connections import SHARED, Connection

HANGING_UP = ("08", "57P", "58")
"""Classes of SQLSTATE: connection exceptions, shutdowns, errors of the server's system."""
READ_ONLY = "25006"
"""The server only reads: a standby, or a primary that has been replaced. It says so for ever, and
while we stay nobody looks for the one that writes."""


class Pool:
    """At most `max_size` connections, opened when needed; the one used last is used next."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], max_size: int) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(max_size)
        self._idle: list[Connection] = []
        self._closed = False
        self.left = 0
        """How often a server was left for another one, or sessions that are not ours."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one statement or transaction; waits while all are in use."""
        async with self._places:
            if self._closed:
                raise asyncpg.InterfaceError("the store is closed")
            left = self.left
            connection = self._take() or await self._connect()
            try:
                yield connection
            except asyncpg.PostgresError as error:
                # The server's answer: it has undone the statement, and may have hung up.
                state = error.sqlstate or ""
                if state == READ_ONLY or state in SHARED:
                    self.leave()
                if state.startswith(HANGING_UP):
                    connection.terminate()
                else:
                    self._give_back(connection, left)
                raise
            except PoolerError:
                self.leave()
                connection.terminate()
                raise
            except BaseException:
                # Cancelled, or lost. Whatever still comes through it is nobody's.
                connection.terminate()
                raise
            self._give_back(connection, left)

    def leave(self) -> None:
        """Use no connection again, idle or in use: the next are made anew, to whichever of the
        hosts will do."""
        self.left += 1
        while self._idle:
            self._idle.pop().terminate()

    def open(self) -> None:
        """Again, if it was closed."""
        self._closed = False

    async def close(self) -> None:
        """Also those in use, as soon as they are given back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: Connection, left: int) -> None:
        if self._closed or left != self.left:
            connection.terminate()
        else:
            self._idle.append(connection)
