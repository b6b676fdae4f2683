"""Every test of a store runs on both backends."""

from __future__ import annotations

import atexit
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import migrations
from ops.stack import databases
from ops.stack.services import Services
from workers.store.interface import CoordinatorStore, PartyStore
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.records import CoordinatorChange, PartyChange
from workers.store.sealing import MasterKeys, Sealer
from workers.store.share_keys import ShareKeys
from workers.store.shared.party import tombstones_beside

from . import examples

ROLES: tuple[migrations.Role, ...] = ("party", "coordinator")
MASTER_KEYS = MasterKeys({1: bytes(range(32))})
SEALER = Sealer(MASTER_KEYS)
"""For stores that hold no key share."""


@dataclass(frozen=True)
class RawDatabase:
    """The tables behind a store's back."""

    url: str

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def on_postgres(self) -> bool:
        return self.url.startswith("postgresql")

    def literal(self, value: bytes) -> str:
        return f"'\\x{value.hex()}'::bytea" if self.on_postgres else f"x'{value.hex()}'"

    async def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run them all; what the last one returns."""
        if self.on_postgres:
            connection = await asyncpg.connect(self.url)
            try:
                results = [await connection.fetch(statement) for statement in statements]
                return [tuple(row) for row in results[-1]]
            finally:
                await connection.close()
        with closing(sqlite3.connect(self.path)) as file, file:
            return [file.execute(statement).fetchall() for statement in statements][-1]

    async def tables(self) -> list[str]:
        catalogue = (
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            if self.on_postgres
            else "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        return [name for (name,) in await self.query(f"{catalogue} ORDER BY 1")]

    async def everything(self) -> list[tuple[str, str]]:
        """All rows of all tables, as text. Not the incarnation's, which counts all changes."""
        selects = [
            f"SELECT '{name}', CAST(whole AS TEXT) FROM {name} AS whole"
            if self.on_postgres
            else f"SELECT '{name}', {await self._columns(name)} FROM {name}"
            for name in await self.tables()
            if name != "incarnation"
        ]
        return sorted(await self.query(" UNION ALL ".join(selects)))

    async def _columns(self, table: str) -> str:
        columns = await self.query(f"SELECT name FROM pragma_table_info('{table}')")
        return " || ' ' || ".join(f"quote({name})" for (name,) in columns)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any table."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture(scope="session")
async def migrated_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A SQLite file for each role, to be copied: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("migrated")
    for role in ROLES:
        await migrations.upgrade(role, f"sqlite:///{folder / role}")
    return {role: folder / role for role in ROLES}


@pytest.fixture(scope="session")
async def migrated_databases(services: Services) -> AsyncIterator[Mapping[str, str]]:
    """A PostgreSQL database for each role, to be emptied."""
    suffix = secrets.token_hex(6)
    names = {role: f"test_{role}_{suffix}" for role in ROLES}
    urls: dict[str, str] = {}
    for role in ROLES:
        urls[role] = await databases.create(services.database_url, names[role])
        await migrations.upgrade(role, urls[role])
    yield urls
    for role in ROLES:
        await databases.drop(services.database_url, names[role])


@pytest.fixture
def role_name(request: pytest.FixtureRequest) -> migrations.Role:
    """Each module says whose store it tests."""
    name: migrations.Role = request.module.ROLE
    return name


@pytest.fixture
def place(
    backend: str, role_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> RawDatabase:
    if backend == "postgres":
        return RawDatabase(request.getfixturevalue("migrated_databases")[role_name])
    path = tmp_path / "store.db"
    shutil.copy(request.getfixturevalue("migrated_files")[role_name], path)
    return RawDatabase(f"sqlite:///{path}")


@pytest.fixture
async def raw(place: RawDatabase, role_name: migrations.Role) -> RawDatabase:
    """A database with a role's tables and no rows in them."""
    version_table = migrations.version_table(role_name)
    if place.on_postgres:
        tables = await place.tables()
        await place.query(*(f"DELETE FROM {name}" for name in tables if name != version_table))
        # The witness is to find out. This one remembers keys by their ids, which come again here.
        tombstones_beside(witness_of(place.url)).unlink(missing_ok=True)
        folder = share_keys_of(place.url).folder
        for each in (folder, folder.with_name("elsewhere")):  # where a test has put it
            shutil.rmtree(each, ignore_errors=True)
    return place


@pytest.fixture
def url(raw: RawDatabase) -> str:
    return raw.url


def witness_of(url: str) -> Path:
    """Where this party keeps its witness of a database, the same for all of its workers."""
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).with_suffix(".incarnation")
    return witnesses() / f"{url.rpartition('/')[2]}.incarnation"


@cache
def witnesses() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="warren-witnesses-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def share_keys_of(url: str) -> ShareKeys:
    return ShareKeys(witness_of(url).with_suffix(".share-keys"), "party-1")


def sealer_of(url: str, keys: MasterKeys = MASTER_KEYS) -> Sealer:
    return Sealer(keys, erasable=share_keys_of(url))


def open_party(url: str) -> PartyStore:
    sealer = sealer_of(url)
    return open_party_store(url, party_id="party-1", sealer=sealer, witness=witness_of(url))


@pytest.fixture
async def party(url: str) -> AsyncIterator[PartyStore]:
    async with open_party(url) as store:
        yield store


@pytest.fixture
async def party_twin(url: str) -> AsyncIterator[PartyStore]:
    """Another worker's store on the same database."""
    async with open_party(url) as store:
        yield store


@pytest.fixture
async def coordinator(url: str) -> AsyncIterator[CoordinatorStore]:
    async with open_coordinator_store(url) as store:
        yield store


@pytest.fixture
async def coordinator_twin(url: str) -> AsyncIterator[CoordinatorStore]:
    async with open_coordinator_store(url) as store:
        yield store


@dataclass(frozen=True)
class Role:
    """A role's store, and how to make changes for it."""

    store: Any
    twin: Any
    change: Callable[..., PartyChange | CoordinatorChange]


@pytest.fixture
async def role(role_name: migrations.Role, url: str) -> AsyncIterator[Role]:
    change: Callable[..., Any]
    if role_name == "party":
        opened: Callable[[str], Any] = open_party
        change = examples.party_change
    else:
        opened = open_coordinator_store
        change = examples.coordinator_change
    async with opened(url) as store, opened(url) as twin:
        yield Role(store, twin, change)
