"""The migrations end in the schema that the models declare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, Text, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import migrations
from migrations.models import coordinator, party
from workers.store.incarnation import EPHEMERAL
from workers.store.interface import SchemaError
from workers.store.opening import open_coordinator_store, open_party_store

from .conftest import ROLES, SEALER, RawDatabase
from .examples import KEY

pytestmark = pytest.mark.long

METADATA = {"party": party.METADATA, "coordinator": coordinator.METADATA}
VERSIONS = Path(migrations.__file__).parent


@pytest.fixture(params=ROLES)
def role_name(request: pytest.FixtureRequest) -> migrations.Role:
    name: migrations.Role = request.param
    return name


async def on_connection(url: str, work: Callable[[Connection], Any]) -> Any:
    if url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)
    address = make_url(url).set(drivername="postgresql+asyncpg")
    engine_of_postgres = create_async_engine(address, poolclass=NullPool)
    async with engine_of_postgres.begin() as connection_of_postgres:
        return await connection_of_postgres.run_sync(work)


def open_store(role: migrations.Role, url: str) -> Any:
    if role == "party":
        return open_party_store(url, party_id="party-1", sealer=SEALER)
    return open_coordinator_store(url)


@pytest.mark.parametrize(
    ("by_hand", "named"),
    [
        ("DROP TABLE outbox", "table outbox"),
        ("DROP INDEX sessions_deadline_idx", "sessions_deadline_idx of table sessions"),
        ("ALTER TABLE inbox DROP COLUMN body", "column inbox.body"),
    ],
)
async def test_what_was_changed_by_hand_stops_a_migration(
    role_name: migrations.Role, empty_url: str, by_hand: str, named: str
) -> None:
    await migrations.upgrade(role_name, empty_url)
    place = RawDatabase(empty_url)
    await place.query(by_hand)
    with pytest.raises(migrations.DriftError, match=f"not as declared: {named}\\. Undo"):
        await migrations.upgrade(role_name, empty_url)


async def test_nothing_of_a_migration_remains_that_does_not_end_in_the_models(
    role_name: migrations.Role, empty_url: str
) -> None:
    metadata = METADATA[role_name]
    forgotten = Table("forgotten", metadata, Column("id", Text, primary_key=True))
    try:
        with pytest.raises(migrations.DriftError, match="table forgotten"):
            await migrations.upgrade(role_name, empty_url)
    finally:
        metadata.remove(forgotten)
    assert await RawDatabase(empty_url).tables() == []


async def test_an_operators_index_stops_no_migration(
    role_name: migrations.Role, empty_url: str
) -> None:
    await migrations.upgrade(role_name, empty_url)
    await RawDatabase(empty_url).query("CREATE INDEX operators_idx ON sessions (status)")
    await migrations.upgrade(role_name, empty_url)


async def test_the_migrated_indexes_and_columns_are_the_models_to_the_letter(
    role_name: migrations.Role, raw: RawDatabase, empty_url: str
) -> None:
    """What an upgrade's own comparison leaves out: predicates of indexes, order, and what there
    is more."""
    metadata: MetaData = METADATA[role_name]
    await on_connection(empty_url, metadata.create_all)
    if raw.on_postgres:
        statements = [
            "SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT table_name::text, column_name::text, ordinal_position::int, data_type::text,"
            " is_nullable::text FROM information_schema.columns WHERE table_schema = 'public'",
        ]
    else:
        statements = ["SELECT name, sql FROM sqlite_master"]
    version_table = migrations.version_table(role_name)
    for statement in statements:
        migrated, declared = [
            {row for row in await place.query(statement) if version_table not in str(row)}
            for place in (raw, RawDatabase(empty_url))
        ]
        assert migrated == declared


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.system)])
async def test_the_tables_that_must_not_come_back_are_unlogged(
    role_name: migrations.Role, raw: RawDatabase
) -> None:
    rows = await raw.query(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u'"
    )
    meant = {
        table.name for table in METADATA[role_name].tables.values() if table.info.get("unlogged")
    }
    assert {name for (name,) in rows} == meant
    if role_name == "party":
        assert meant == {*EPHEMERAL, "incarnation"}
    else:
        assert meant == {"commitments", "presignatures", "pools", "presign_batches", "waiters"}


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.system)])
@pytest.mark.parametrize("role_name", ["party"])
async def test_what_looks_random_is_not_compressed(raw: RawDatabase) -> None:
    rows = await raw.query(
        "SELECT relname::text, attname::text FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attstorage = 'e'"
    )
    assert set(rows) == {
        ("inbox", "body"),
        ("nonces", "secret"),
        ("outbox", "body"),
        ("parked", "body"),
        ("presignatures", "secret"),
        ("sessions", "state"),
    }


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.system)])
async def test_the_code_before_still_commits_on_this_schema(
    role_name: migrations.Role, raw: RawDatabase
) -> None:
    """Its workers run until the last of them is replaced."""
    begin = "decode('01', 'hex'), 0, 'keygen', NULL, 'waiting', 1, '', false, 'cause'"
    finish = begin.replace("0,", "1,", 1).replace("false", "true")
    rest = ", NULL" * (25 if role_name == "party" else 36)
    for change in [begin, finish]:
        assert await raw.query(f"SELECT commit_{role_name}_v1({change}{rest})") == [(True,)]
    if role_name == "party":
        end = "SELECT end_session_v1(decode('02', 'hex'), 'cancelled', 1)"
        assert await raw.query(end) == [(True,)]


async def test_what_the_first_release_kept_is_there_after_the_migration(
    role_name: migrations.Role, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
        patch.setattr(command, "check", lambda _: None)
        await migrations.upgrade(role_name, empty_url)
    with pytest.raises(SchemaError, match="at revision 0001"):
        async with open_store(role_name, empty_url):
            pass
    place = RawDatabase(empty_url)
    key = place.literal(KEY)
    kept = {
        "party": f"key_shares VALUES ({key}, 0, 'svcA', 'treasury', '{{}}', '{{}}', {key}, true)",
        "coordinator": f"keys VALUES ('svcA', 'treasury', {key}, 0, 'ed25519', '{{}}')",
    }
    await place.query(f"INSERT INTO {kept[role_name]} RETURNING 1")
    before = {row for row in await place.everything() if "_version" not in row[0]}

    await migrations.upgrade(role_name, empty_url)

    assert before <= set(await place.everything())
    assert len(before) == 1


async def test_lists_are_kept_beside_what_the_release_before_kept(
    role_name: migrations.Role, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0006"))
        patch.setattr(command, "check", lambda _: None)
        await migrations.upgrade(role_name, empty_url)
    with pytest.raises(SchemaError, match="at revision 0006"):
        async with open_store(role_name, empty_url):
            pass
    place = RawDatabase(empty_url)
    came = f"{place.literal(KEY)}, 'slot', 'party-1', {place.literal(KEY)}, {place.literal(KEY)}"
    await place.query(f"INSERT INTO inbox VALUES ({came}) RETURNING 1")
    before = {row for row in await place.everything() if "_version" not in row[0]}
    assert "list_entries" not in await place.tables()

    await migrations.upgrade(role_name, empty_url)

    assert before <= set(await place.everything())
    assert len(before) >= 1
    async with open_store(role_name, empty_url) as store:
        assert await store.list_entries("clients", after=0, limit=9) == []


async def test_migrating_again_changes_nothing(
    role_name: migrations.Role, raw: RawDatabase
) -> None:
    before = await raw.everything()
    await migrations.upgrade(role_name, raw.url)
    assert await raw.everything() == before


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.system)])
async def test_two_may_migrate_at_the_same_time(role_name: migrations.Role, empty_url: str) -> None:
    await asyncio.gather(*(migrations.upgrade(role_name, empty_url) for _ in range(3)))
    async with open_store(role_name, empty_url) as store:
        await store.ping()


async def test_an_empty_database_is_refused_with_the_command_that_mends_it(
    role_name: migrations.Role, empty_url: str
) -> None:
    mending = f"warren store migrate {role_name} --config FILE"
    with pytest.raises(SchemaError, match=re.escape(mending)):
        async with open_store(role_name, empty_url):
            pass


async def test_a_database_of_the_other_role_is_refused(
    role_name: migrations.Role, url: str
) -> None:
    other: migrations.Role = "party" if role_name == "coordinator" else "coordinator"
    with pytest.raises(SchemaError, match=f"not a {other}'s"):
        async with open_store(other, url):
            pass


@pytest.mark.parametrize(("revision", "works"), [("0000", False), ("9999", True)])
async def test_an_older_schema_is_refused_and_a_newer_one_is_not(
    role_name: migrations.Role, raw: RawDatabase, revision: str, works: bool
) -> None:
    """A newer one is what the next release's `pre` migrations leave while this code still runs."""
    table = migrations.version_table(role_name)
    async with open_store(role_name, raw.url) as store:
        await raw.query(f"UPDATE {table} SET version_num = '{revision}' RETURNING 1")
        try:
            if works:
                await store.ping()
            else:
                with pytest.raises(
                    SchemaError, match=r"revision 0000, and revision 00(0[2-9]|1[0-9])"
                ):
                    await store.ping()
        finally:
            head = migrations.head(role_name)
            await raw.query(f"UPDATE {table} SET version_num = '{head}' RETURNING 1")


def test_revisions_are_read_from_names_as_alembic_reads_them_from_files(
    role_name: migrations.Role,
) -> None:
    scripts = ScriptDirectory(str(VERSIONS / role_name))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert scripts.get_heads() == [migrations.head(role_name)]
    names = sorted(path.name for path in (VERSIONS / role_name / "versions").glob("*.py"))
    assert [name[:4] for name in names] == sorted(revisions)
    assert all(re.fullmatch(r"\d{4}_(pre|post)_\w+\.py", name) for name in names)
    assert migrations.required(role_name) <= migrations.head(role_name)
