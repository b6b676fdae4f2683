"""What PostgreSQL, or a pooler in front of it, says, as the stores say it."""

from __future__ import annotations

import asyncpg
import pytest

import migrations
from migrations import connections
from workers.store.database import RefusedError
from workers.store.interface import PoolerError, ReadOnlyError, StoreUnavailableError
from workers.store.postgres.database import (
    PostgresDatabase,
    _calling_in_incarnation,
    _translated,
)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (asyncpg.DuplicatePreparedStatementError("of another's"), PoolerError),
        (asyncpg.InvalidSQLStatementNameError("of another's"), PoolerError),
        (migrations.PoolerError("two share a session"), PoolerError),
        (asyncpg.ReadOnlySQLTransactionError("a standby"), ReadOnlyError),
        (asyncpg.AdminShutdownError("terminating"), StoreUnavailableError),
        (asyncpg.InsufficientPrivilegeError("not yours"), StoreUnavailableError),
        (asyncpg.InterfaceError("the connection is closed"), StoreUnavailableError),
        (asyncpg.InternalClientError("between two states"), StoreUnavailableError),
        (TimeoutError(), StoreUnavailableError),
        (ConnectionResetError(), StoreUnavailableError),
        # What is wrong with a statement or a value is wrong the next time, too.
        (asyncpg.UndefinedColumnError("no such column"), asyncpg.UndefinedColumnError),
        (asyncpg.DataError("a value of a wrong type"), asyncpg.DataError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, BaseException) else each.__name__,
)
def test_an_error_is_said_to_be_of_its_kind(told: BaseException, said: type[BaseException]) -> None:
    with pytest.raises(said) as caught, _translated():
        raise told
    assert type(caught.value) is said


def test_where_nobody_says_why_it_was_no_answer() -> None:
    with pytest.raises(StoreUnavailableError, match="no answer in time"), _translated():
        raise TimeoutError


def test_a_row_that_only_another_delivery_can_have_written_is_a_lost_race() -> None:
    error = asyncpg.UniqueViolationError("there already")
    error.constraint_name = "inbox_pkey"
    with pytest.raises(RefusedError), _translated():
        raise error


def test_behind_a_pooler_a_call_is_tied_to_the_session_that_was_admitted() -> None:
    direct = _calling_in_incarnation("advance_v1", 2, "", 0)
    pooled = _calling_in_incarnation("advance_v1", 2, "", 0, pooled=True)
    assert pooled == f"{direct} AND {connections.SESSION} = $4"


async def test_a_database_that_only_reads_is_told_from_one_to_work_with(database: str) -> None:
    opened = PostgresDatabase(database, max_connections=2)
    await opened.open()
    await opened.require_writable()
    await opened.close()
    administrator = await asyncpg.connect(database)
    await administrator.execute("CREATE TABLE kept (number int)")
    name = database.rpartition("/")[2]
    await administrator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await administrator.close()
    await opened.open()
    try:
        with pytest.raises(ReadOnlyError, match="the database is read-only"):
            await opened.require_writable()
        with pytest.raises(ReadOnlyError, match="cannot execute INSERT"):
            await opened.execute("INSERT INTO kept VALUES (1)")
        assert await opened.fetch("SELECT number FROM kept") == []
    finally:
        await opened.close()
