"""Every test of a store runs on both backends."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import migrations
from workers.store.interface import CoordinatorStore, PartyStore
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.records import CoordinatorChange, PartyChange
from workers.store.sealing import MasterKeys, Sealer

from . import examples

SEALER = Sealer(MasterKeys({1: bytes(range(32))}))


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

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        if self.on_postgres:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()
        with closing(sqlite3.connect(self.path)) as file, file:
            return file.execute(statement).fetchall()

    async def tables(self) -> list[str]:
        catalogue = (
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            if self.on_postgres
            else "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        return [name for (name,) in await self.query(f"{catalogue} ORDER BY 1")]

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables."""
        return {
            name: sorted(await self.query(f"SELECT * FROM {name}"), key=repr)
            for name in await self.tables()
        }


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture
def raw(url: str) -> RawDatabase:
    return RawDatabase(url)


@pytest.fixture
async def party_url(url: str) -> str:
    await migrations.upgrade("party", url)
    return url


@pytest.fixture
async def party(party_url: str) -> AsyncIterator[PartyStore]:
    async with open_party_store(party_url, party_id="party-1", sealer=SEALER) as store:
        yield store


@pytest.fixture
async def party_twin(party_url: str) -> AsyncIterator[PartyStore]:
    """Another worker's store on the same database."""
    async with open_party_store(party_url, party_id="party-1", sealer=SEALER) as store:
        yield store


@pytest.fixture
async def coordinator_url(url: str) -> str:
    await migrations.upgrade("coordinator", url)
    return url


@pytest.fixture
async def coordinator(coordinator_url: str) -> AsyncIterator[CoordinatorStore]:
    async with open_coordinator_store(coordinator_url) as store:
        yield store


@pytest.fixture
async def coordinator_twin(coordinator_url: str) -> AsyncIterator[CoordinatorStore]:
    async with open_coordinator_store(coordinator_url) as store:
        yield store


@dataclass(frozen=True)
class Role:
    """A role's store, and how to make changes for it."""

    store: Any
    twin: Any
    change: Callable[..., PartyChange | CoordinatorChange]


@pytest.fixture(params=["party", "coordinator"])
async def role(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Role]:
    await migrations.upgrade(request.param, url)
    if request.param == "party":
        stores: list[Any] = [
            open_party_store(url, party_id="party-1", sealer=SEALER) for _ in range(2)
        ]
        change: Callable[..., Any] = examples.party_change
    else:
        stores = [open_coordinator_store(url) for _ in range(2)]
        change = examples.coordinator_change
    async with stores[0], stores[1]:
        yield Role(stores[0], stores[1], change)
