"""Connections to PostgreSQL, each with a session of the server's to itself.

A pooler may stand before the server, such as PgBouncer. Where it keeps a session for each
connection, nothing differs. Where it gives each transaction, or each statement, whichever session
is free, ours cannot work: what they prepare and set is somebody else's in the next moment, and a
connection that outlives the server says nothing about the files that the server runs on. Which it
is, is told by what happens: whoever only uses a pooler may not ask it for its settings.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NoReturn

import asyncpg

from . import PoolerError

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

PARAMETERS = {"application_name": "warren"}
"""What we begin with: every pooler knows it, and few know any other."""
FIRST_ANSWER_S = 15.0
SECOND_S = 2.0
"""For the probe's second connection. A pooler that keeps sessions may have none left for it."""

# Which of the server's sessions this is. Process ids come again, in a container at once.
SESSION = "pg_backend_pid() || '@' || extract(epoch FROM pg_postmaster_start_time())"
ASK_SESSION = f"SELECT {SESSION}"

SHARED = ("26000", "42P05")
"""SQLSTATE of a prepared statement that the session does not know, or that it knows already."""

_POOLED = (
    "a pooler before the database (such as PgBouncer) gives our connections other sessions of the "
    "server for other transactions or statements, and each needs one to itself: set "
    "pool_mode = session for this database there, or write the server's own address into "
    "database_url (ops/runbooks/pgbouncer.md)"
)
_NO_SESSION = (
    "no session within {:g} s: the server does not answer, or a pooler before it (such as "
    "PgBouncer) does not reach it or has no session left (ops/runbooks/pgbouncer.md)"
)


class Connection(_Connection):
    """
    Attributes:
        session: The server's, as `SESSION` tells.
        pooled: There is something between us and the server.
    """

    __slots__ = ("pooled", "session")
    session: str
    pooled: bool

    def _get_unique_id(self, prefix: str) -> str:
        """The name of a prepared statement. Each process would count from one: in a session that is
        shared, another's statement would have the name of ours, and be run instead of it."""
        return f"__warren_{prefix}_{secrets.token_hex(8)}__"


def pooled() -> PoolerError:
    """What is said of a pooler that leaves nobody a session."""
    return PoolerError(_POOLED)


async def connect(
    url: str, *, connect_s: float = 60, command_s: float | None = None, probe: bool = True
) -> Connection:
    """
    Arguments:
        probe: If there is a pooler, find out whether it leaves us our session.

    Raises:
        PoolerError: It does not.
        TimeoutError: With a sentence.
        ValueError, OverflowError: asyncpg does not understand the address, and may quote it.
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: Whatever else happens.
    """
    connection = await _connected(url, connect_s, command_s)
    try:
        if connection.pooled and probe:
            await _probe(connection, url)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def require_own(connection: Connection) -> None:
    """Raises PoolerError if the connection has another session now than it began with."""
    if connection.pooled and await _session(connection) != connection.session:
        raise pooled()


async def _connected(url: str, connect_s: float, command_s: float | None) -> Connection:
    try:
        connection: Connection = await asyncpg.connect(
            url,
            timeout=connect_s,
            command_timeout=command_s,
            max_cached_statement_lifetime=0,
            connection_class=Connection,
            server_settings=PARAMETERS,
        )
    except TimeoutError:
        _give_up(connect_s)
    answer_s = min(connect_s, FIRST_ANSWER_S)
    try:
        connection.session = await _session(connection, answer_s)
    except TimeoutError:
        connection.terminate()
        _give_up(answer_s)
    except BaseException:
        connection.terminate()
        raise
    connection.pooled = not connection.session.startswith(f"{connection.get_server_pid()}@")
    return connection


async def _session(connection: Connection, timeout_s: float | None = None) -> str:
    try:
        found: str = await connection.fetchval(ASK_SESSION, timeout=timeout_s)
    except asyncpg.PostgresError as error:
        if error.sqlstate in SHARED:
            raise pooled() from None
        raise
    return found


async def _probe(connection: Connection, url: str) -> None:
    """With a second connection: few sessions that are shared may come back by themselves. So it
    asks while the first one is idle, and holds what it gets while the first one asks again."""
    await require_own(connection)
    try:
        second = await _connected(url, SECOND_S, SECOND_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return  # there is no session left for it, and where they are shared there always is
    try:
        await _begin(second)
        await require_own(second)
        await require_own(connection)
        if second.session == connection.session:
            raise pooled()
    finally:
        second.terminate()


async def _begin(connection: Connection) -> None:
    """Where each statement gets another session, there are no transactions."""
    try:
        await connection.execute("BEGIN")
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        raise pooled() from None


def _give_up(seconds: float) -> NoReturn:
    raise TimeoutError(_NO_SESSION.format(seconds)) from None
