"""Accounts and API keys as the coordinator's store keeps them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import Outcome, StoredAccount

from .conftest import RawDatabase
from .examples import account, api_key_entry, coordinator_change, key, previous, session_id

ROLE = "coordinator"
NAME = ("svcA", "treasury")


async def begin(store: CoordinatorStore, name: str = "session", **other: str) -> Outcome:
    """A session that makes a key for a user."""
    made = account(session_id=session_id(name), **other)
    return await store.commit(
        coordinator_change(
            name, status="waiting", account=made, reserve_key=(made.owner, made.account_id)
        )
    )


async def end(store: CoordinatorStore, name: str = "session", status: str = "failed") -> None:
    made = key(key_session=session_id(name)) if status == "completed" else None
    change = coordinator_change(name, expected_version=1, cause="end", status=status, key=made)
    assert await store.commit(change) is Outcome.COMMITTED


async def found(store: CoordinatorStore) -> StoredAccount:
    stored = await store.account(*NAME)
    assert stored is not None
    return stored


async def test_an_account_is_there_with_the_session_that_makes_its_key(
    coordinator: CoordinatorStore,
) -> None:
    assert await begin(coordinator) is Outcome.COMMITTED
    expected = StoredAccount(account=account(), status="waiting", certified=None)
    assert await coordinator.account(*NAME) == expected
    assert await coordinator.account("svcB", "treasury") is None
    assert await coordinator.account("svcA", "other") is None


async def test_an_account_is_completed_for_as_long_as_there_is_its_key(
    coordinator: CoordinatorStore,
) -> None:
    await begin(coordinator)
    await end(coordinator, status="completed")
    expected = StoredAccount(account=account(), status="completed", certified="{}")
    assert await found(coordinator) == expected

    await coordinator.purge(ended_before=2**52)
    assert await coordinator.session(session_id()) is None
    assert await found(coordinator) == expected


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
async def test_an_account_without_a_key_is_what_its_session_became(
    coordinator: CoordinatorStore, status: str
) -> None:
    await begin(coordinator)
    await end(coordinator, status=status)
    assert (await found(coordinator)).status == status
    await coordinator.purge(ended_before=2**52)
    assert (await found(coordinator)).status == "failed"


async def test_the_id_of_a_failed_account_can_be_used_again(coordinator: CoordinatorStore) -> None:
    await begin(coordinator)
    await coordinator.configure_account(*NAME, ("party-1", "party-2"), asked_at=7)
    assert await begin(coordinator, "second") is Outcome.KEY_EXISTS
    await end(coordinator)

    assert await begin(coordinator, "second", user_id="another") is Outcome.COMMITTED
    again = account(session_id=session_id("second"), user_id="another")
    assert await found(coordinator) == StoredAccount(
        account=again, status="waiting", certified=None
    )
    await end(coordinator, "second", "completed")
    assert await begin(coordinator, "third") is Outcome.KEY_EXISTS
    assert (await found(coordinator)).account == again


async def test_a_refused_session_leaves_no_account(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    await begin(coordinator)
    before = await raw.everything()
    assert await begin(coordinator, "second", user_id="another") is Outcome.KEY_EXISTS
    assert await begin(coordinator, user_id="another") is Outcome.LOST_RACE
    assert await raw.everything() == before


async def test_a_key_of_the_same_name_without_an_account_hides_the_failed_one(
    coordinator: CoordinatorStore,
) -> None:
    await begin(coordinator)
    await end(coordinator)
    plain = coordinator_change("plain", status="waiting", reserve_key=NAME)
    assert await coordinator.commit(plain) is Outcome.COMMITTED
    await end(coordinator, "plain", "completed")
    assert await coordinator.account(*NAME) is None
    assert await coordinator.accounts("svcA", after="", limit=10) == []


async def test_accounts_come_in_pages_and_only_the_owner_s(coordinator: CoordinatorStore) -> None:
    names = [f"account-{number}" for number in range(5)]
    for name in reversed(names):
        await begin(coordinator, name, account_id=name)
    await begin(coordinator, "theirs", account_id="account-2", owner="svcA/shop")

    async def page(after: str, limit: int) -> list[str]:
        stored = await coordinator.accounts("svcA", after=after, limit=limit)
        return [each.account.account_id for each in stored]

    assert await page("", 10) == names
    assert await page("", 2) == names[:2]
    assert await page("account-1", 2) == names[2:4]
    assert await page("account-4", 2) == []
    (theirs,) = await coordinator.accounts("svcA/shop", after="", limit=10)
    assert theirs.account.session_id == session_id("theirs")
    assert await coordinator.accounts("shop", after="", limit=10) == []


async def test_the_latest_configuration_counts(coordinator: CoordinatorStore) -> None:
    two, three = ("party-1", "party-3"), ("party-1", "party-2", "party-3")
    assert not await coordinator.configure_account(*NAME, two, asked_at=5)
    await begin(coordinator)
    assert await coordinator.configure_account(*NAME, two, asked_at=5)
    assert (await found(coordinator)).account == account(signers=two, configured_at=5)
    assert not await coordinator.configure_account(*NAME, three, asked_at=4)
    assert not await coordinator.configure_account("svcB", "treasury", three, asked_at=9)
    assert (await found(coordinator)).account.signers == two
    assert await coordinator.configure_account(*NAME, None, asked_at=5)
    assert (await found(coordinator)).account.signers is None


OWNED = ("svcA", b"the authority")


async def add(
    store: CoordinatorStore, number: int, behind: bytes | None = None, **other: Any
) -> bool:
    return await store.add_api_key_entry(
        api_key_entry(number, **other), previous(number) if behind is None else behind
    )


async def test_entries_come_back_as_they_were_added_in_pages(coordinator: CoordinatorStore) -> None:
    others: list[dict[str, Any]] = [{}, {"owner": "svcB"}, {"authority": b"another"}]
    for number in (1, 2, 3):
        for other in others:
            assert await add(coordinator, number, api_key_id=None, **other)
    expected = [api_key_entry(number, api_key_id=None) for number in (1, 2, 3)]
    assert await coordinator.api_key_entries(*OWNED, after=0, limit=9) == expected
    assert await coordinator.api_key_entries(*OWNED, after=1, limit=1) == expected[1:2]
    assert await coordinator.api_key_entries(*OWNED, after=3, limit=9) == []
    assert await coordinator.highest_api_key_entry(*OWNED) == 3
    assert await coordinator.highest_api_key_entry("svcC", b"the authority") == 0


async def test_an_entry_continues_its_chain_or_is_not_added(coordinator: CoordinatorStore) -> None:
    assert not await add(coordinator, 2)
    assert await add(coordinator, 1)
    assert await add(coordinator, 1)
    assert not await add(coordinator, 1, body="another")
    assert not await add(coordinator, 2, behind=bytes(32))
    assert not await add(coordinator, 3)
    assert await add(coordinator, 2)
    assert not await add(coordinator, 2, owner="svcB")
    assert not await add(coordinator, 2, authority=b"another")
    found = await coordinator.api_key_entries(*OWNED, after=0, limit=9)
    assert found == [api_key_entry(1), api_key_entry(2)]


async def test_of_many_entries_of_one_number_one_is_added(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    done = await asyncio.gather(
        *(
            add(coordinator if racer % 2 else coordinator_twin, 1, body=f"racer {racer}")
            for racer in range(8)
        )
    )
    assert done.count(True) == 1
    assert await coordinator.highest_api_key_entry(*OWNED) == 1


async def test_keys_from_before_are_told_of_until_an_entry_tells_of_them(
    coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    for name, valid_until, revoked_at in (
        ("key-1", "NULL", "NULL"),
        ("key-2", "100", "NULL"),
        ("key-3", "NULL", "7"),
    ):
        await raw.query(
            "INSERT INTO api_keys (owner, api_key_id, holder, key_digest, scopes, created_at, "
            f"asked_at, valid_until, revoked_at) VALUES ('svcA', '{name}', 'shop', "
            f"{raw.literal(name.encode())}, 'read sign', 5, 5, {valid_until}, {revoked_at})"
        )

    async def left(now: int, owner: str = "svcA") -> list[str]:
        found = await coordinator.unsigned_api_keys(owner, now=now, limit=9)
        return [key.api_key_id for key in found]

    assert await left(99) == ["key-1", "key-2"]
    assert await left(100) == ["key-1"]
    assert await left(99, "svcB") == []
    (found,) = await coordinator.unsigned_api_keys("svcA", now=99, limit=1)
    assert (found.holder, found.scopes, found.valid_until) == ("shop", ("read", "sign"), None)
    await add(coordinator, 1)
    assert await left(99) == ["key-2"]
