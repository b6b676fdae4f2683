"""Accounts and API keys as the coordinator's store keeps them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import ApiKeyRecord, Outcome, StoredAccount

from .conftest import RawDatabase
from .examples import account, api_key, coordinator_change, key, session_id

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


async def test_an_api_key_comes_back_as_it_was_put(coordinator: CoordinatorStore) -> None:
    timed = api_key("second", valid_until=2**50, holder="other")
    assert await coordinator.put_api_key(timed)
    assert await coordinator.put_api_key(api_key())
    assert await coordinator.put_api_key(api_key(owner="svcB"))
    assert await coordinator.api_key("svcA", "first") == api_key()
    assert await coordinator.api_key("svcC", "first") is None
    assert await coordinator.api_keys("svcA", after="", limit=9) == [api_key(), timed]
    assert await coordinator.api_keys("svcA", after="", limit=1) == [api_key()]
    assert await coordinator.api_keys("svcA", after="first", limit=9) == [timed]
    assert await coordinator.api_keys("svcC", after="", limit=9) == []


async def test_putting_again_replaces_what_the_key_may_do(coordinator: CoordinatorStore) -> None:
    await coordinator.put_api_key(api_key())
    changed = api_key(scopes=("read",), valid_until=9, asked_at=6)
    for _ in range(2):
        assert await coordinator.put_api_key(replace(changed, created_at=6))
        assert await coordinator.api_key("svcA", "first") == changed
    assert not await coordinator.put_api_key(api_key())
    assert await coordinator.api_key("svcA", "first") == changed


@pytest.mark.parametrize(
    "other",
    [
        api_key(holder="another"),
        api_key(key_digest=session_id("another secret")),
        api_key("second", key_digest=api_key().key_digest),
    ],
)
async def test_one_id_stands_for_one_secret_and_one_secret_for_one_id(
    coordinator: CoordinatorStore, other: ApiKeyRecord
) -> None:
    await coordinator.put_api_key(api_key())
    assert not await coordinator.put_api_key(other)
    assert await coordinator.api_keys("svcA", after="", limit=9) == [api_key()]


async def test_of_many_ids_for_one_secret_one_gets_it(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    digest = session_id("the secret")
    done = await asyncio.gather(
        *(
            (coordinator if racer % 2 else coordinator_twin).put_api_key(
                api_key(f"racer-{racer}", key_digest=digest)
            )
            for racer in range(8)
        )
    )
    assert done.count(True) == 1
    assert len(await coordinator.api_keys("svcA", after="", limit=9)) == 1


async def test_what_was_revoked_stays_so_from_the_first_time_on(
    coordinator: CoordinatorStore,
) -> None:
    await coordinator.put_api_key(api_key())
    assert await coordinator.revoke_api_key("svcA", "first", 8)
    assert await coordinator.revoke_api_key("svcA", "first", 9)
    assert not await coordinator.revoke_api_key("svcA", "second", 9)
    assert not await coordinator.revoke_api_key("svcB", "first", 9)
    assert not await coordinator.put_api_key(api_key(asked_at=10))
    assert await coordinator.api_key("svcA", "first") == api_key(revoked_at=8)
