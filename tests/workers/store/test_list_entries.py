"""Entries of lists in both roles' stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import migrations
from workers.store.interface import CoordinatorStore, PartyStore
from workers.store.opening import open_coordinator_store
from workers.store.records import ListEntryRecord

from .conftest import open_party
from .examples import previous, session_id


def record(number: int = 1, **other: Any) -> ListEntryRecord:
    """Its digest is that of the body, see `previous`."""
    body = other.pop("body", f"entry {number}")
    values: dict[str, Any] = {
        "list_name": "clients",
        "number": number,
        "digest": session_id(body),
        "body": body.encode(),
        "signature": b"signature",
    }
    return ListEntryRecord(**(values | other))


@pytest.fixture(params=["party", "coordinator"])
def role_name(request: pytest.FixtureRequest) -> migrations.Role:
    name: migrations.Role = request.param
    return name


@pytest.fixture
async def store(
    role_name: migrations.Role, url: str
) -> AsyncIterator[PartyStore | CoordinatorStore]:
    opened = open_party(url) if role_name == "party" else coordinator_store(url)
    async with opened as store:
        yield store


def coordinator_store(url: str) -> CoordinatorStore:
    return open_coordinator_store(url, max_connections=4)


async def add(
    store: PartyStore | CoordinatorStore, number: int, behind: bytes | None = None, **other: Any
) -> bool:
    return await store.add_list_entry(
        record(number, **other), previous(number) if behind is None else behind
    )


async def test_entries_come_back_as_they_were_added_in_pages(
    store: PartyStore | CoordinatorStore,
) -> None:
    for number in (1, 2, 3):
        assert await add(store, number)
        assert await add(store, number, list_name="parties")
    expected = [record(number) for number in (1, 2, 3)]
    assert await store.list_entries("clients", after=0, limit=9) == expected
    assert await store.list_entries("clients", after=1, limit=1) == expected[1:2]
    assert await store.list_entries("clients", after=3, limit=9) == []
    assert await store.list_entries("others", after=0, limit=9) == []


async def test_an_entry_continues_its_list_or_is_not_added(
    store: PartyStore | CoordinatorStore,
) -> None:
    assert not await add(store, 2)
    assert await add(store, 1)
    assert await add(store, 1)
    assert not await add(store, 1, body="another")
    assert not await add(store, 2, behind=bytes(32))
    assert not await add(store, 3)
    assert await add(store, 2)
    assert not await add(store, 2, list_name="parties")
    assert await store.list_entries("clients", after=0, limit=9) == [record(1), record(2)]


async def test_of_many_entries_of_one_number_one_is_added(
    store: PartyStore | CoordinatorStore, role_name: migrations.Role, url: str
) -> None:
    async with open_party(url) if role_name == "party" else coordinator_store(url) as twin:
        done = await asyncio.gather(
            *(add(store if racer % 2 else twin, 1, body=f"racer {racer}") for racer in range(8))
        )
    assert done.count(True) == 1


async def test_a_new_incarnation_keeps_the_lists(
    store: PartyStore | CoordinatorStore, role_name: migrations.Role, url: str
) -> None:
    assert await add(store, 1)
    if role_name == "party":
        async with open_party(url) as opened:
            await opened.begin_incarnation("as after a restore")
    assert await store.list_entries("clients", after=0, limit=9) == [record(1)]
