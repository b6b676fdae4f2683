"""A simulated Warren, and databases for one on both backends."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

import migrations
from ops.stack import databases
from ops.stack.services import Services
from tests.workers.simulate import World, world
from tests.workers.store.conftest import RawDatabase

PARTIES = ["party-1", "party-2", "party-3"]
ROLES: dict[str, migrations.Role] = {
    **dict.fromkeys(PARTIES, "party"),
    "coordinator": "coordinator",
}


@pytest.fixture(scope="module")
async def servers_databases(services: Services) -> AsyncIterator[Mapping[str, RawDatabase]]:
    """On PostgreSQL, to be emptied."""
    token = secrets.token_hex(4)
    made = {}
    for name, role in ROLES.items():
        url = await databases.create(services.database_url, f"test_{name}_{token}")
        await migrations.upgrade(role, url)
        made[name] = RawDatabase(url)
    yield made
    for name in ROLES:
        await databases.drop(services.database_url, f"test_{name}_{token}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def used_places(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, RawDatabase]:
    if request.param == "sqlite":
        return {name: RawDatabase(f"sqlite:///{tmp_path / name}.sqlite") for name in ROLES}
    made: Mapping[str, RawDatabase] = request.getfixturevalue("servers_databases")
    return made


@pytest.fixture
async def places(used_places: Mapping[str, RawDatabase]) -> Mapping[str, RawDatabase]:
    """Empty databases by party id, and of "coordinator"; SQLite files are yet to be made."""
    for name, place in used_places.items():
        if place.on_postgres:
            kept = migrations.version_table(ROLES[name])
            tables = [table for table in await place.tables() if table != kept]
            await place.query(*(f"DELETE FROM {table}" for table in tables))
    return used_places


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
