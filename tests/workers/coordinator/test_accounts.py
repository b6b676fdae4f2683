"""Keys that are made for users, and who signs with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import KeygenRequest
from contracts.results import (
    AccountView,
    CancelResult,
    ConfigureAccountResult,
    KeygenResult,
    QueryAccountsResult,
    Result,
    SignResult,
    Status,
)
from tests.workers.callers import answer, answered, ask, refusal, refused, wish
from tests.workers.crew import coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import AHEAD, ecdsa_request, look
from tests.workers.simulate import World, world
from tests.workers.tries import (
    FROST,
    deaf,
    everyone_is_alive,
    session_of,
    signers_of,
    try_time_is_over,
)
from workers.coordinator import accounts as accounts_module
from workers.delivery.publisher import PublishError

pytestmark = pytest.mark.long

PARTIES = [f"party-{number}" for number in range(1, 5)]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    """Of four parties."""
    async with world(tmp_path, party_count=4) as made:
        yield made


@pytest.fixture
async def stocking(tmp_path: Path) -> AsyncIterator[World]:
    """One that makes presignatures ahead."""
    async with world(tmp_path, party_count=4, pool_limits=AHEAD) as made:
        yield made


async def opened(world: World, **fields: Any) -> tuple[KeygenRequest, KeygenResult]:
    request = world.keygen_request(**({"user_id": "Zoë", "curve": "secp256k1"} | fields))
    await world.ask(request)
    await world.run()
    return request, answer(world, request, KeygenResult)


async def account(world: World, account_id: str, **fields: Any) -> AccountView:
    found = await ask(world, QueryAccountsResult, "query_accounts", only=account_id, **fields)
    (one,) = found.accounts
    return one


async def configure(world: World, account_id: str, signers: list[str] | None) -> AccountView:
    found = await ask(
        world, ConfigureAccountResult, "configure_account", account_id=account_id, signers=signers
    )
    assert found.account is not None
    return found.account


async def test_an_account_is_seen_from_the_moment_its_key_is_asked_for(shire: World) -> None:
    request = shire.keygen_request(user_id="Zoë, first floor", curve="secp256k1")
    await shire.ask(request)
    running = await account(shire, request.key_id)
    assert running.status is Status.WAITING
    assert running.public_key is None
    await shire.run()
    result = answer(shire, request, KeygenResult)
    assert result.key is not None
    over = await account(shire, request.key_id)
    assert over == running.model_copy(
        update={
            "status": Status.COMPLETED,
            "public_key": result.key.facts.public_key,
            "key": result.key,
        }
    )
    assert over.user_id == "Zoë, first floor"
    assert over.session_id == result.session_id
    assert (over.curve, over.threshold, over.parties) == (request.curve, 2, PARTIES)
    assert over.signers is None


async def test_a_key_without_a_user_is_no_account(shire: World) -> None:
    request, _ = await opened(shire, user_id=None)
    assert await refusal(shire, "query_accounts", only=request.key_id) is (
        FailureCode.UNKNOWN_ACCOUNT
    )
    assert await refusal(shire, "configure_account", account_id=request.key_id) is (
        FailureCode.UNKNOWN_ACCOUNT
    )


async def test_accounts_come_in_pages(shire: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"account-{number}" for number in range(5)]
    for name in names:
        await shire.ask(shire.keygen_request(key_id=name, user_id="Zoë"))

    async def page(**fields: Any) -> tuple[list[str], bool]:
        found = await ask(shire, QueryAccountsResult, "query_accounts", **fields)
        return [each.account_id for each in found.accounts], found.more

    assert await page() == (names, False)
    assert await page(limit=5) == (names, False)
    assert await page(limit=2) == (names[:2], True)
    assert await page(limit=2, after="account-1") == (names[2:4], True)
    assert await page(limit=2, after="account-3") == (names[4:], False)
    assert await page(after="account-4") == ([], False)
    # A page is no longer than a message may be.
    one = (await account(shire, names[0])).model_dump_json()
    monkeypatch.setattr(accounts_module, "PAGE_BYTES", 3 * (len(one.encode()) + 1))
    assert await page() == (names[:3], True)
    assert await page(after="account-1") == (names[2:], False)


async def test_the_id_of_a_failed_account_can_be_used_again(shire: World) -> None:
    first = shire.keygen_request(user_id="Zoë")
    await shire.ask(first)
    again = shire.keygen_request(user_id="Ann", key_id=first.key_id)
    await shire.ask(again)
    taken = answer(shire, again, KeygenResult)
    assert taken.failure is not None
    assert taken.failure.code is FailureCode.KEY_EXISTS
    await configure(shire, first.key_id, PARTIES[:2])
    await ask(shire, CancelResult, "cancel", target=first.request_id)
    assert (await account(shire, first.key_id)).status is Status.CANCELLED
    await shire.run()

    await shire.ask(again.model_copy(update={"salt": "once-more"}))
    await shire.run()
    assert answer(shire, again, KeygenResult).status is Status.COMPLETED
    over = await account(shire, first.key_id)
    assert (over.user_id, over.status, over.signers) == ("Ann", Status.COMPLETED, None)


###
### Who signs
###


async def signed_by(world: World, key: CertifiedKey, **fields: Any) -> list[str]:
    await everyone_is_alive(world)
    request = ecdsa_request(world, key, **fields)
    await world.ask(request)
    await world.run()
    result = answer(world, request, SignResult)
    assert result.status is Status.COMPLETED, result.failure
    return result.signers


@pytest.mark.parametrize("scheme", ["ecdsa", FROST])
async def test_the_configured_sign_where_a_request_names_nobody(shire: World, scheme: str) -> None:
    request, made = await opened(shire)
    assert made.key is not None
    for signers in (["party-1", "party-2"], ["party-4", "party-3"]):
        view = await configure(shire, request.key_id, signers)
        assert view.signers == sorted(signers)
        assert await account(shire, request.key_id) == view
        for _ in range(2):
            assert await signed_by(shire, made.key, scheme=scheme) == sorted(signers)
    named = await signed_by(shire, made.key, scheme=scheme, signers=["party-1", "party-2"])
    assert named == ["party-1", "party-2"]
    assert (await configure(shire, request.key_id, None)).signers is None


async def test_a_configuration_counts_at_every_coordinator_at_once(shire: World) -> None:
    request, made = await opened(shire)
    assert made.key is not None
    other, _ = coordinator_worker(shire)
    for signers in (PARTIES[:2], PARTIES[2:], PARTIES[1:3]):
        await configure(shire, request.key_id, signers)
        shire.requests, other = other, shire.requests
        assert await signed_by(shire, made.key) == signers


@pytest.mark.parametrize("scheme", ["ecdsa", FROST])
async def test_other_signers_are_chosen_among_the_configured_too(
    stocking: World, scheme: str
) -> None:
    shire = stocking
    request, made = await opened(shire)
    assert made.key is not None
    chosen = PARTIES[1:]
    await configure(shire, request.key_id, chosen)
    assert set(await signed_by(shire, made.key, scheme=scheme)) < set(chosen)
    await look(shire)
    await everyone_is_alive(shire)
    signing = ecdsa_request(shire, made.key, scheme=scheme, message=bytes(32))
    await shire.ask(signing)
    first = await session_of(shire, signing)
    silent = (await signers_of(shire, first))[0]
    await shire.run(dropped=deaf(silent))
    await try_time_is_over(shire, first)
    await shire.run(dropped=deaf(silent))
    result = answer(shire, signing, SignResult)
    assert result.status is Status.COMPLETED, result.failure
    assert set(result.signers) == set(chosen) - {silent}


async def test_no_others_are_tried_where_only_as_many_are_configured_as_sign(
    shire: World,
) -> None:
    request, made = await opened(shire)
    assert made.key is not None
    await configure(shire, request.key_id, PARTIES[:2])
    await everyone_is_alive(shire)
    signing = ecdsa_request(shire, made.key, scheme=FROST)
    await shire.ask(signing)
    session_id = await session_of(shire, signing)
    session = await shire.coordinator_store.session(session_id)
    assert session is not None
    assert session.deadline == signing.expires_at


async def test_stock_of_signers_that_were_not_configured_is_not_used(stocking: World) -> None:
    request, made = await opened(stocking)
    assert made.key is not None
    before = await signed_by(stocking, made.key)
    await look(stocking)
    others = [party_id for party_id in PARTIES if party_id not in before]
    await configure(stocking, request.key_id, others)
    assert await signed_by(stocking, made.key) == others


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        (["party-1", "party-9"], FailureCode.UNKNOWN_PARTY),
        (["party-1", "party-2"], FailureCode.INVALID_REQUEST),
    ],
)
async def test_only_enough_parties_of_the_key_can_be_configured(
    shire: World, signers: list[str], code: FailureCode
) -> None:
    request, _ = await opened(shire, threshold=3)
    found = await refusal(shire, "configure_account", account_id=request.key_id, signers=signers)
    assert found is code
    assert (await account(shire, request.key_id)).signers is None


async def test_an_earlier_configuration_that_comes_later_changes_nothing(shire: World) -> None:
    request, _ = await opened(shire)
    earlier = wish(shire, "configure_account", account_id=request.key_id, signers=PARTIES[:2])
    shire.clock.offset_ms += 5
    await configure(shire, request.key_id, PARTIES[2:])
    assert await refused(shire, earlier) is FailureCode.CONFLICT
    assert (await account(shire, request.key_id)).signers == PARTIES[2:]
    shire.clock.offset_ms += 60_000
    assert await refused(shire, earlier) is FailureCode.EXPIRED


async def test_a_configuration_that_was_not_answered_is_when_it_comes_again(
    shire: World,
) -> None:
    request, _ = await opened(shire)
    wanted = wish(shire, "configure_account", account_id=request.key_id, signers=PARTIES[:2])
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    healthy = shire.requests
    shire.requests, _ = coordinator_worker(shire, network=away)
    with pytest.raises(PublishError):
        await shire.submit(wanted)
    shire.requests = healthy
    result: Result = await answered(shire, wanted, ConfigureAccountResult)
    assert result.failure is None
