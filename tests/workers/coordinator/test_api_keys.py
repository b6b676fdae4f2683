"""Whom a client's gateways let in, as the coordinator keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.primitives import Scope
from contracts.results import ApiKeyView, PutApiKeyResult, QueryApiKeysResult, RevokeApiKeyResult
from tests.workers.callers import answered, ask, digest, refusal, refused, wish
from tests.workers.simulate import World


def key(api_key_id: str = "first", **changes: Any) -> dict[str, Any]:
    fields = {
        "api_key_id": api_key_id,
        "holder": "shop",
        "key_digest": digest(f"secret of {api_key_id}"),
        "scopes": ["sign", "read"],
    }
    return fields | changes


async def put(world: World, *named: str, **changes: Any) -> ApiKeyView:
    found = await ask(world, PutApiKeyResult, "put_api_key", **key(*named, **changes))
    assert found.api_key is not None
    return found.api_key


async def revoke(world: World, api_key_id: str) -> ApiKeyView:
    found = await ask(world, RevokeApiKeyResult, "revoke_api_key", api_key_id=api_key_id)
    assert found.api_key is not None
    return found.api_key


async def listed(world: World, **fields: Any) -> list[ApiKeyView]:
    return (await ask(world, QueryApiKeysResult, "query_api_keys", **fields)).api_keys


async def test_an_api_key_is_seen_as_it_was_put(shire: World) -> None:
    until = shire.clock() + 1_000
    made = await put(shire, valid_until=until, scopes=["sign", "read", "sign"])
    assert made.scopes == [Scope.READ, Scope.SIGN]
    assert (made.holder, made.key_digest) == ("shop", digest("secret of first"))
    assert (made.valid_until, made.revoked_at) == (until, None)
    assert await listed(shire) == [made]
    assert await listed(shire, tenant="shop") == []


async def test_putting_it_again_changes_what_it_may_do(shire: World) -> None:
    first = await put(shire)
    shire.clock.offset_ms += 10
    again = await put(shire, scopes=["read"], valid_until=2**50)
    assert again == first.model_copy(update={"scopes": [Scope.READ], "valid_until": 2**50})
    assert await listed(shire) == [again]


async def test_the_same_request_again_is_answered_alike(shire: World) -> None:
    signed = wish(shire, "put_api_key", **key())
    first = await answered(shire, signed, PutApiKeyResult)
    again = await answered(shire, signed, PutApiKeyResult)
    assert first.api_key is not None
    assert again.api_key == first.api_key


@pytest.mark.parametrize(
    "changes",
    [
        key(holder="bank"),
        key(key_digest=digest("another")),
        key("second", key_digest=key()["key_digest"]),
    ],
)
async def test_an_id_has_one_holder_and_one_secret_and_a_secret_one_id(
    shire: World, changes: dict[str, Any]
) -> None:
    made = await put(shire)
    signed = wish(shire, "put_api_key", **changes)
    result = await answered(shire, signed, PutApiKeyResult)
    assert result.failure is not None
    assert result.failure.code is FailureCode.CONFLICT
    assert made.key_digest.hex() not in result.model_dump_json()
    assert await listed(shire) == [made]


async def test_a_key_is_changed_for_another_without_a_gap(shire: World) -> None:
    await put(shire)
    second = await put(shire, "second")
    gone = await revoke(shire, "first")
    assert gone.revoked_at is not None
    assert await listed(shire) == [gone, second]


async def test_what_was_revoked_does_not_come_back(shire: World) -> None:
    before = wish(shire, "put_api_key", **key())
    await put(shire)
    gone = await revoke(shire, "first")
    shire.clock.offset_ms += 10
    assert await revoke(shire, "first") == gone
    for signed in (before, wish(shire, "put_api_key", **key())):
        assert await refused(shire, signed) is FailureCode.CONFLICT
    assert await listed(shire) == [gone]
    code = await refusal(shire, "revoke_api_key", api_key_id="second")
    assert code is FailureCode.UNKNOWN_API_KEY


async def test_an_earlier_wish_that_comes_later_gives_nothing_back(shire: World) -> None:
    earlier = wish(shire, "put_api_key", **key())
    shire.clock.offset_ms += 10
    now = await put(shire, scopes=["read"])
    assert await refused(shire, earlier) is FailureCode.CONFLICT
    shire.clock.offset_ms += 60_000
    assert await refused(shire, earlier) is FailureCode.EXPIRED
    assert await listed(shire) == [now]


async def test_a_key_is_revoked_however_late_the_wish_comes(shire: World) -> None:
    await put(shire)
    signed = wish(shire, "revoke_api_key", api_key_id="first")
    shire.clock.offset_ms += 120_000
    result = await answered(shire, signed, RevokeApiKeyResult)
    assert result.api_key is not None
    assert result.api_key.revoked_at is not None


async def test_api_keys_come_in_pages(shire: World) -> None:
    names = [f"key-{number}" for number in range(5)]
    for name in names:
        await put(shire, name)

    async def page(**fields: Any) -> tuple[list[str], bool]:
        found = await ask(shire, QueryApiKeysResult, "query_api_keys", **fields)
        return [each.api_key_id for each in found.api_keys], found.more

    assert await page() == (names, False)
    assert await page(limit=3) == (names[:3], True)
    assert await page(limit=3, after="key-2") == (names[3:], False)
