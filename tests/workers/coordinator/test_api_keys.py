"""Whom a client's gateways let in, as the coordinator keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.api_keys import Action, SignedApiKeyEntry
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.results import PutApiKeyResult, QueryApiKeysResult, RevokeApiKeyResult
from tests.contracts.chains import AUTHORITY, Scribe
from tests.workers.callers import answered, ask, refused, wish
from tests.workers.simulate import CLIENT, World


@pytest.fixture
def scribe() -> Scribe:
    return Scribe(client_id=CLIENT)


async def put(world: World, entry: SignedApiKeyEntry) -> int | None:
    return (await ask(world, PutApiKeyResult, "put_api_key", entry=entry)).number


async def revoke(world: World, entry: SignedApiKeyEntry) -> int | None:
    return (await ask(world, RevokeApiKeyResult, "revoke_api_key", entry=entry)).number


async def page(world: World, **fields: Any) -> QueryApiKeysResult:
    asked = {"authority": AUTHORITY.public.der} | fields
    return await ask(world, QueryApiKeysResult, "query_api_keys", **asked)


async def failure(world: World, operation: str, entry: SignedApiKeyEntry) -> tuple[Any, str]:
    kind = PutApiKeyResult if operation == "put_api_key" else RevokeApiKeyResult
    found = await answered(world, wish(world, operation, entry=entry), kind)
    assert found.failure is not None
    return found.failure.code, found.failure.message


async def test_a_chain_is_handed_on_as_its_authority_signed_it(
    shire: World, scribe: Scribe
) -> None:
    assert await put(shire, scribe.put()) == 1
    assert await put(shire, scribe.nothing_after(scribe.entries[0].claimed().issued_at + 9999)) == 2
    assert await revoke(shire, scribe.revoke()) == 3
    found = await page(shire)
    assert (found.entries, found.highest, found.more) == (scribe.entries, 3, False)
    assert found.unsigned == []
    assert (await page(shire, unsigned=True)).unsigned == []


async def test_a_chain_comes_in_pages(shire: World, scribe: Scribe) -> None:
    for number in range(5):
        await put(shire, scribe.put(f"key-{number}"))
    first, last = await page(shire, limit=3), await page(shire, limit=3, after=3)
    assert (first.entries, first.more, first.highest) == (scribe.entries[:3], True, 5)
    assert (last.entries, last.more, last.after) == (scribe.entries[3:], False, 3)
    assert (await page(shire, after=5)).entries == []


async def test_chains_of_other_authorities_are_apart(shire: World, scribe: Scribe) -> None:
    await put(shire, scribe.put())
    other = Scribe(Identity.generate(), client_id=CLIENT)
    await put(shire, other.put())
    found = await page(shire, authority=other.identity.public.der)
    assert found.entries == other.entries
    assert (await page(shire, tenant="shop")).entries == []


async def test_an_entry_that_does_not_continue_its_chain_is_refused(
    shire: World, scribe: Scribe
) -> None:
    first = scribe.put()
    await put(shire, first)
    left_out, third = scribe.put("second"), scribe.put("third")
    code, said = await failure(shire, "put_api_key", third)
    assert code is FailureCode.CONFLICT
    assert "highest number is 1" in said
    fork = Scribe(client_id=CLIENT).put("other")
    assert (await failure(shire, "put_api_key", fork))[0] is FailureCode.CONFLICT
    behind = scribe.signed(Action.REVOKE, number=2, previous=fork.digest, api_key_id="shop-1")
    assert (await failure(shire, "revoke_api_key", behind))[0] is FailureCode.CONFLICT
    assert (await page(shire)).entries == [first]
    await put(shire, left_out)
    assert await put(shire, third) == 3
    assert await put(shire, first) == 1  # once more


async def test_what_its_authority_has_not_signed_is_refused(shire: World, scribe: Scribe) -> None:
    entry = scribe.put()
    forged = SignedApiKeyEntry(
        body=entry.body.replace(b'"shop"', b'"bank"'), signature=entry.signature
    )
    code, said = await failure(shire, "put_api_key", forged)
    assert code is FailureCode.INVALID_REQUEST
    assert "not signed" in said
    assert (await page(shire)).entries == []


@pytest.mark.parametrize("operation", ["put_api_key", "revoke_api_key"])
def test_a_request_carries_an_entry_of_its_own(
    shire: World, scribe: Scribe, operation: str
) -> None:
    put, revoked = scribe.put(), scribe.revoke()
    wrong = revoked if operation == "put_api_key" else put
    with pytest.raises(ValueError, match="another operation"):
        wish(shire, operation, entry=wrong)
    other = Scribe(client_id="svcB")
    theirs = other.put() if operation == "put_api_key" else other.revoke()
    with pytest.raises(ValueError, match="another client"):
        wish(shire, operation, entry=theirs)


async def test_a_late_wish_lets_nobody_in_and_revokes_all_the_same(
    shire: World, scribe: Scribe
) -> None:
    await put(shire, scribe.put())
    late = wish(shire, "put_api_key", entry=scribe.signed_put("late"))
    revoked = wish(shire, "revoke_api_key", entry=scribe.revoke())
    shire.clock.offset_ms += 120_000
    assert await refused(shire, late) is FailureCode.EXPIRED
    assert (await answered(shire, revoked, RevokeApiKeyResult)).number == 2
