# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""PostgreSQL over asyncpg: one statement for each transaction.

Every statement is prepared once per connection and commits by itself, so it costs one round trip,
and there is nothing that a cancelled task could leave open. What comes while others of its kind are
under way goes together, see `groups`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache

import asyncpg

import migrations
from contracts.hosts import AddressError
from contracts.tls import TlsFileError, refusal
from migrations import connections
from migrations.connections import Connection

from .. import opening
from ..database import RefusedError, Row
from ..interface import PoolerError, ReadOnlyError, StoreUnavailableError, TlsRefusedError
from ..records import Outcome
from .fence import RELATIONS, PostgresFence
from .groups import IMPATIENT, Call, Groups, Question, Statement
from .pool import READ_ONLY, Pool

STATEMENT_TIMEOUT_MS = 10_000
COMMAND_TIMEOUT_S = 15
"""For a server that does not even say that it gave up."""
CONNECT_TIMEOUT_S = 10

# Our functions rely on every statement in them seeing what was committed before it began. And what
# we ask often, we ask by index: a plan that was made while a table was as good as empty is kept
# while the table fills, and must not be to read all of it.
#
# Not as start-up parameters: a pooler refuses those that it does not know, or drops them.
SETTINGS = f"""
    SET statement_timeout = {STATEMENT_TIMEOUT_MS};
    SET default_transaction_isolation = 'read committed';
    SET jit = off;
    SET enable_seqscan = off;
"""

ONLY_READS = "SELECT current_setting('transaction_read_only')::bool"

# What our functions raise when nothing may remain of a change.
_REFUSALS = {
    "WN001": Outcome.NONCE_GONE,
    "WP001": Outcome.PRESIGNATURE_GONE,
    "WC001": Outcome.CANCELLED,
    "WC002": Outcome.OTHER_REQUEST,
    "WC003": Outcome.TOO_MANY_TRIES,
    "WC004": Outcome.ALREADY_SIGNED,
    "WC005": Outcome.OVERLOADED,
    "WC006": Outcome.EXPIRED,
    "WR001": Outcome.DUPLICATE_REQUEST,
    "WK001": Outcome.KEY_EXISTS,
    "WB001": Outcome.BATCH_REFUSED,
    "WE001": Outcome.EPOCH_TAKEN,
    "WE002": Outcome.PROMISED,
    "WE003": Outcome.KEY_BUSY,
}

# Rows that only another delivery of the same message can have written.
_WRITTEN_ONCE = {"inbox_pkey", "outbox_pkey"}

# Classes of SQLSTATE that are no fault of our statements: connection, authorisation, unknown
# database, rolled back, resources, operator, system. Then: no right to it, lock not available.
_UNAVAILABLE = ("08", "28", "3D", "40", "53", "57", "58", "42501", "55P03")


class PostgresDatabase:
    """A pool of connections, each of which the fence has admitted."""

    def __init__(
        self, url: str, *, max_connections: int, fence: PostgresFence | None = None
    ) -> None:
        self._url = url
        self._fence = fence
        self._pool = Pool(self._connect, max_connections)
        self._groups = Groups(self._pool, max_connections)
        self._probed: int | None = None
        """How often the pool had left its server when a pooler, if there is one, last showed that
        it leaves us our sessions."""

    async def open(self) -> None:
        """Connections are opened when they are needed."""
        self._pool.open()

    async def close(self) -> None:
        with _translated():
            await self._pool.close()
        if self._fence is not None:
            self._fence.close()

    async def attest(self) -> None:
        """Open, and every few seconds: compare the database with the witness."""
        if self._fence is not None:
            with _translated():
                async with self._pool.connection() as connection:
                    await connections.require_own(connection)
                    await self._fence.admit(connection)

    async def require_writable(self) -> None:
        """A server that only reads is left, for another of the address's hosts."""
        with _translated():
            async with self._pool.connection() as connection:
                await connections.require_own(connection)
                only_reads = await connection.fetchval(ONLY_READS)
        if only_reads:
            self._pool.leave()
            raise ReadOnlyError("PostgreSQL: the database is read-only")

    async def begin_incarnation(self, fence: PostgresFence, reason: str) -> None:
        """Through one connection; the others find out with their next commit."""
        with _translated():
            async with self._pool.connection() as connection:
                await fence.begin(connection, reason)

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        with _translated():
            async with self._pool.connection() as connection:
                return await connection.fetch(statement, *values)

    async def execute(self, statement: str, *values: object) -> int:
        with _translated():
            async with self._pool.connection() as connection:
                status = await connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])

    async def call(self, function: str, *values: object) -> bool:
        """Call one of the migrations' functions. Raises RefusedError where it refuses."""
        statement = f"SELECT {_calling(function, len(values))}"
        with _translated():
            async with self._pool.connection() as connection:
                return bool(await connection.fetchval(statement, *values))

    async def commit(self, function: str, *values: object, order: tuple[object, ...] = ()) -> bool:
        """As `call`, perhaps with others: see `Call`."""
        count = len(values)
        with _translated():
            return bool(
                await self._groups.call(
                    (function, count), lambda: _committing(function, count), Call(values, order)
                )
            )

    async def ask(
        self, question: Question, *values: object, order: tuple[object, ...] = ()
    ) -> Sequence[Row]:
        """As `fetch`, perhaps with others: see `Call`."""
        with _translated():
            return await self._groups.ask(question, Call(values, order))

    async def call_and(
        self, then: str, also: Sequence[object], function: str, *values: object
    ) -> bool:
        """The same, and in its transaction a statement that must change something: LOST_RACE
        otherwise. For what is rare: it takes two more round trips."""
        statement = f"SELECT {_calling(function, len(values))}"
        with _translated():
            async with self._pool.connection() as connection, connection.transaction():
                done = bool(await connection.fetchval(statement, *values))
                if not done or await connection.execute(then, *also) == "UPDATE 0":
                    raise RefusedError(Outcome.LOST_RACE)
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several statements, for what comes out of the first and goes into the last through our
        hands. Whatever they lock, they hold for so many round trips."""
        with _translated():
            async with self._pool.connection() as connection, connection.transaction():
                yield Transaction(connection)

    async def call_in(
        self,
        incarnation: bytes,
        function: str,
        *values: object,
        then: str = "",
        about: Sequence[object] = (),
    ) -> bool:
        """As `commit`, if the database is in this incarnation. Raises StoreUnavailableError if not;
        then it is in another one, where nothing is left of what the values were made from.

        Arguments:
            then: Another function, for when the first one did its work: about a request, which is
                locked before either.
            about: What it takes, owner and request id in front.
        """
        shape = (function, len(values), then, len(about))
        call = Call((*values, *about, incarnation), order=tuple(about[:2]) or values[:1])
        with _translated():
            done = await self._groups.call(shape, lambda: _committing_in_incarnation(*shape), call)
        if done is None:
            await self.attest()
            raise StoreUnavailableError("PostgreSQL: the database is in another incarnation")
        return bool(done)

    async def revision(self, table: str) -> str | None:
        try:
            rows = await self.fetch(f"SELECT version_num FROM {table}")
        except asyncpg.UndefinedTableError:
            return None
        return rows[0]["version_num"] if rows else None

    async def _connect(self) -> Connection:
        left = self._pool.left
        try:
            # asyncpg would read the files anyway, without a look at who else may.
            if files := opening.files_of(self._url):
                files.context()
            connection = await connections.connect(
                self._url,
                connect_s=CONNECT_TIMEOUT_S,
                command_s=COMMAND_TIMEOUT_S,
                probe=left != self._probed,
            )
        except TlsFileError as error:
            raise TlsRefusedError(f"PostgreSQL: {error}") from None
        except ssl.SSLError as error:  # some are ValueErrors, too
            raise TlsRefusedError(f"PostgreSQL: {refusal(error)}") from None
        except (ValueError, OverflowError):  # some of asyncpg's quote the address
            raise AddressError(
                "the database's address has a part that asyncpg does not understand: look at its "
                "hosts, ports, what follows the question mark, and files for TLS"
            ) from None
        except asyncpg.PostgresError as error:  # whatever it is: we are not let in
            if isinstance(error.__cause__, ssl.SSLError):
                raise TlsRefusedError(f"PostgreSQL: {refusal(error.__cause__)}") from None
            raise StoreUnavailableError(f"PostgreSQL: {error}") from error
        self._probed = left
        try:
            await connection.execute(SETTINGS)
            if self._fence is not None and self._fence.incarnation is not None:
                await self._fence.admit(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


class Transaction:
    """What was done in it so far is seen by what is done next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        return await self._connection.fetch(statement, *values)

    async def execute(self, statement: str, *values: object) -> int:
        """Returns how many rows it concerned."""
        status: str = await self._connection.execute(statement, *values)
        return int(status.rpartition(" ")[2])

    async def must(self, outcome: Outcome | None, statement: str, *values: object) -> None:
        """Raises RefusedError with this outcome, unless that is None, where it changes nothing."""
        if not await self.execute(statement, *values) and outcome is not None:
            raise RefusedError(outcome)

    async def call_all(self, function: str, calls: Sequence[Sequence[object]]) -> None:
        """Call a function of the migrations' once for each, all in one round trip. Raises
        RefusedError where one of them refuses or finds itself too late."""
        statement = f"SELECT {_calling(function, len(calls[0]))}"
        answers = await self._connection.fetchmany(statement, calls)
        if not all(row[0] for row in answers):
            raise RefusedError(Outcome.LOST_RACE)


@cache
def _calling(function: str, count: int, after: int = 0) -> str:
    places = ", ".join(f"${after + place}" for place in range(1, count + 1))
    return f"{function}({places})"


def _committing(function: str, count: int) -> Statement:
    call = _calling(function, count)
    alone, together = f"SELECT {call}", f"SELECT CASE WHEN {IMPATIENT} THEN {call} END AS done"

    def statement(_: Connection, in_group: bool) -> tuple[str, tuple[object, ...]]:
        return together if in_group else alone, ()

    return statement


def _committing_in_incarnation(function: str, count: int, then: str, about: int) -> Statement:
    def statement(connection: Connection, in_group: bool) -> tuple[str, tuple[object, ...]]:
        pooled = connection.pooled
        text = _calling_in_incarnation(function, count, then, about, pooled, in_group)
        return text, (connection.session,) if pooled else ()

    return statement


@cache
def _calling_in_incarnation(
    function: str,
    count: int,
    then: str,
    about: int,
    pooled: bool = False,
    in_group: bool = False,
) -> str:
    call = _calling(function, count)
    if then:
        # CASE keeps the order. Each function's statements see all that was committed before them.
        lock, second = f"lock_request_v1(${count + 1}, ${count + 2})", _calling(then, about, count)
        call = f"CASE WHEN {lock} THEN CASE WHEN {call} THEN {second} ELSE false END END"
    # One row, so one call; or no row, and none. The tables must be those that the row is about:
    # whoever restores a dump in place gives them new oids under our connections.
    where = f"id = ${count + about + 1} AND relations = {RELATIONS}"
    if pooled:  # behind a pooler, only in the session that the fence has admitted
        where += f" AND {connections.SESSION} = ${count + about + 2}"
    if in_group:  # a row for each, whether there is one of the incarnation or not
        call = f"CASE WHEN {IMPATIENT} THEN {call} END"
        return f"SELECT (SELECT {call} FROM incarnation WHERE {where}) AS done"
    return f"SELECT {call} FROM incarnation WHERE {where}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        state: str = error.sqlstate or ""
        if refusal := _REFUSALS.get(state):
            raise RefusedError(refusal) from None
        if getattr(error, "constraint_name", None) in _WRITTEN_ONCE:
            raise RefusedError(Outcome.LOST_RACE) from None
        if state in connections.SHARED:
            raise PoolerError(str(connections.pooled())) from None
        if state == READ_ONLY:
            raise ReadOnlyError(f"PostgreSQL: {error}") from error
        if state.startswith(_UNAVAILABLE):
            raise StoreUnavailableError(f"PostgreSQL: {error}") from error
        raise
    except migrations.PoolerError as error:
        raise PoolerError(str(error)) from None
    except asyncpg.InterfaceError as error:
        # A value of a wrong type is one too, and no reason to try again.
        if isinstance(error, ValueError):
            raise
        raise StoreUnavailableError(f"PostgreSQL: {error}") from error
    except (OSError, TimeoutError, asyncpg.InternalClientError) as error:
        # The last is what a connection says that was lost between two states of its own.
        reason = str(error) or "no answer in time"
        raise StoreUnavailableError(f"PostgreSQL: {reason}") from error
