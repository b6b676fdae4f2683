"""The databases of party and coordinator: reached, of the right schema, and they take changes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

import migrations
from contracts.tls import refusal
from migrations import connections
from ops.configurations import Role
from ops.doctor.checks import Check, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings, sqlite_path
from workers.store.interface import ReadOnlyError
from workers.store.sqlite.database import revision_of

CONNECT_S = 8.0
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
"""A connection that never came to be."""
_UNREAD = (ValueError, OverflowError, sqlite3.Error)
"""An address that asyncpg does not understand; a file that is no database."""


async def reachable(_: Surroundings, subject: Subject) -> list[Trouble]:
    """A pooler before it has to leave us our sessions."""
    try:
        await _revision(subject)
    except migrations.PoolerError as error:
        return [Trouble(str(error), todo="see ops/runbooks/pgbouncer.md")]
    except ssl.SSLError as error:
        return [Trouble(refusal(error), todo="see ops/runbooks/tls.md")]
    except (ValueError, OverflowError):  # some of asyncpg's quote the address
        return [Trouble("its address has a part that asyncpg does not understand")]
    except sqlite3.Error as error:
        return [Trouble(f"SQLite: {error}")]
    except asyncpg.PostgresError as error:
        return [Trouble(f"PostgreSQL: {error}")]
    except FileNotFoundError:
        return [Trouble(f"{sqlite_path(subject.worker.database_url)} is not there")]
    except _AWAY as error:
        return [Trouble(f"it does not answer ({type(error).__name__})")]
    return []


async def schema(_: Surroundings, subject: Subject) -> list[Trouble]:
    """Behind: this version's processes do not start. Ahead: the next version's migrations ran."""
    role: migrations.Role = "party" if subject.role is Role.PARTY else "coordinator"
    try:
        found = await _revision(subject)
    except (migrations.PoolerError, *_UNREAD, *_AWAY):
        raise NotLookedError("the database does not answer: see store.reachable") from None
    needed, newest = migrations.required(role), migrations.head(role)
    if found is None:
        return [Trouble(f"it is not a {role}'s, or empty; revision {needed} is needed")]
    if int(found) < int(needed):
        return [Trouble(f"it is at revision {found}, and {needed} is needed")]
    if int(found) < int(newest):
        return [
            warning(f"it is at revision {found}, and {newest} can run once the old code is gone")
        ]
    if int(found) > int(newest):
        todo = "upgrade the processes, or look whether the file names the right database"
        return [warning(f"it is at revision {found}, of a later version than this one", todo)]
    return []


async def writable(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Nothing is written: the database says whether it would be."""
    store = await surroundings.store_of(subject)
    try:
        await store.require_able()
    except ReadOnlyError:
        return [Trouble("it is read-only: a standby, or made so by somebody")]
    return []


async def _revision(subject: Subject) -> str | None:
    """As the database says it; None if it says none. With a login that reads is enough."""
    role: migrations.Role = "party" if subject.role is Role.PARTY else "coordinator"
    table = migrations.version_table(role)
    url = subject.worker.database_url
    path = sqlite_path(url)
    if path is not None:
        return await asyncio.to_thread(_of_file, path, table)
    async with _connected(url) as connection:
        try:
            told = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608  # ours
        except asyncpg.UndefinedTableError:
            return None
    return None if told is None else str(told)


def _of_file(path: Path, table: str) -> str | None:
    if not path.exists():
        raise FileNotFoundError(path)
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as file:
        return revision_of(file, table)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[connections.Connection]:
    connection = await connections.connect(url, connect_s=CONNECT_S, command_s=CONNECT_S)
    try:
        yield connection
    finally:
        connection.terminate()


WITH_STORE = frozenset({Role.PARTY, Role.COORDINATOR})

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.STORE,
        name="reachable",
        must="The database answers",
        todo="start it, or mend database_url",
        runbook="lost-database.md",
        roles=WITH_STORE,
        look=reachable,
    ),
    OfFile(
        group=Group.STORE,
        name="schema",
        must="The database has the schema of this version",
        todo="back up, then `warren store migrate party -c FILE` (or coordinator)",
        runbook="upgrade.md",
        roles=WITH_STORE,
        look=schema,
    ),
    OfFile(
        group=Group.STORE,
        name="writable",
        must="The database takes changes",
        todo="let the address lead to the primary (target_session_attrs=read-write), or make it "
        "writable",
        runbook="promoted-replica.md",
        roles=WITH_STORE,
        look=writable,
    ),
)
