"""The chain of API keys, and each of the checks that make it one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.api_keys import (
    DAY_MS,
    ENTRY_TAG,
    Action,
    ApiKeyEntry,
    ChainError,
    SignedApiKeyEntry,
    valid,
)
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.primitives import Scope

from .chains import AUTHORITY, Scribe, now_ms

DIGEST = bytes([7]) * 32


def test_a_chain_tells_what_its_authority_has_signed() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    scribe.put("b", key_digest=DIGEST, scopes=[Scope.SIGN, Scope.READ, Scope.SIGN])
    scribe.put("a", holder="bank")
    assert [chain.take(signed) for signed in scribe.entries] == [True, True]
    assert [chain.take(signed) for signed in scribe.entries] == [False, False]
    assert (chain.number, chain.head) == (2, scribe.entries[-1].digest)
    assert [key.api_key_id for key in chain.listed()] == ["a", "b"]
    found = chain.shown(DIGEST)
    assert found is not None
    assert (found.holder, found.scopes) == ("shop", [Scope.READ, Scope.SIGN])
    assert chain.shown(bytes(32)) is None
    assert chain.key("c") is None


def test_a_later_entry_changes_what_a_key_may_do_and_for_how_long() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    first, end = now_ms() - 50 * DAY_MS, now_ms() + 80 * DAY_MS
    chain.take(scribe.put(issued_at=first))
    before = chain.key("shop-1")
    assert before is not None
    assert not valid(before, now_ms())
    chain.take(scribe.put(scopes=[Scope.READ], valid_until=end))
    after = chain.key("shop-1")
    assert after is not None
    assert (after.scopes, after.valid_until, after.created_at) == ([Scope.READ], end, first)
    assert valid(after, end - 1)
    assert not valid(after, end)
    assert not valid(after.model_copy(update={"valid_until": None}), now_ms())


def test_a_gap_is_refused_and_says_what_was_seen() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    chain.take(scribe.put())
    scribe.put("left-out")
    with pytest.raises(ChainError, match="a gap: entry 3 came after entry 1"):
        chain.take(scribe.put("third"))
    assert (chain.number, chain.key("third")) == (1, None)


def test_another_entry_of_a_known_number_is_a_fork() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    for name in ("first", "second"):
        chain.take(scribe.put(name))
    for entries in ([], scribe.entries[:1]):
        other = Scribe(entries=list(entries))
        with pytest.raises(ChainError, match=f"a fork: entry {len(entries) + 1} is another"):
            chain.take(other.put("other"))
    assert chain.key("other") is None


def test_an_entry_behind_another_predecessor_is_a_fork() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    chain.take(scribe.put("first"))
    other = Scribe()
    other.put("other")
    with pytest.raises(ChainError, match="a fork: entry 2 follows another entry 1"):
        chain.take(other.put("second"))
    assert chain.number == 1


def test_what_the_authority_has_not_signed_is_refused() -> None:
    signed = Scribe().put()
    forged = Scribe(Identity.generate()).put()
    stranger = Scribe(Identity.generate())
    theirs = stranger.signed(Action.REVOKE, api_key_id="shop-1").body
    bodies = {
        "a stranger's": forged,
        "changed": SignedApiKeyEntry(
            body=signed.body.replace(b'"shop"', b'"bank"'), signature=signed.signature
        ),
        "of another kind": SignedApiKeyEntry(
            body=signed.body, signature=AUTHORITY.sign(b"warren/request/v1", signed.body)
        ),
        "of another chain": SignedApiKeyEntry(
            body=theirs, signature=AUTHORITY.sign(ENTRY_TAG, theirs)
        ),
    }
    for what, entry in bodies.items():
        chain = Scribe().chain()
        with pytest.raises(ContractError, match=r"authority"):
            chain.take(entry)
        with pytest.raises(ContractError, match=r"authority"):
            chain.revoke(entry)
        assert (chain.number, chain.listed()) == (0, []), what


def test_an_entry_for_other_gateways_is_refused() -> None:
    other = Scribe(client_id="svcB")
    chain = Scribe().chain()
    for use in (chain.take, chain.revoke):
        with pytest.raises(ContractError, match="gateways of 'svcB', not of 'gateway'"):
            use(other.revoke())
    assert chain.number == 0


def test_a_revocation_is_terminal() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    chain.take(scribe.put())
    chain.take(scribe.revoke(issued_at=5))
    chain.take(scribe.put())
    found = chain.key("shop-1")
    assert found is not None
    assert found.revoked_at == 5
    assert not valid(found, now_ms())


def test_a_revocation_counts_by_whatever_way_and_however_early_it_comes() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    put, again = scribe.put(), scribe.put()
    revoked = scribe.revoke()
    assert chain.revoke(revoked) == ("shop-1", True)
    assert chain.revoke(revoked) == ("shop-1", False)
    assert chain.number == 0
    for signed in (put, again):
        chain.take(signed)
        found = chain.key("shop-1")
        assert found is not None
        assert not valid(found, now_ms())
    with pytest.raises(ContractError, match="not a revocation"):
        chain.revoke(put)


def test_an_id_keeps_its_holder_and_secret_and_a_secret_its_id() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    chain.take(scribe.put(key_digest=DIGEST))
    for changes in ({"holder": "bank"}, {"key_digest": bytes(32)}):
        with pytest.raises(ChainError, match="another holder or secret"):
            chain.take(scribe.signed_put(**{"key_digest": DIGEST} | changes))
    with pytest.raises(ChainError, match="the secret of shop-1 another id"):
        chain.take(scribe.signed_put("shop-2", key_digest=DIGEST))
    assert chain.number == 1
    chain.take(scribe.revoke())
    with pytest.raises(ChainError, match="another id"):
        chain.take(scribe.signed_put("shop-2", key_digest=DIGEST))


def test_the_authority_can_say_for_how_long_there_is_nothing_after() -> None:
    scribe = Scribe()
    chain = scribe.chain()
    now = now_ms()
    assert chain.whole(2**52)
    chain.take(scribe.nothing_after(now + 1000))
    assert (chain.whole(now), chain.whole(now + 1000)) == (True, False)
    chain.take(scribe.put())
    assert not chain.whole(now + 1000)
    chain.take(scribe.nothing_after(now + 5000))
    assert chain.whole(now + 1000)


@pytest.mark.parametrize(
    ("action", "fields", "reason"),
    [
        (Action.PUT, {"valid_until": 90 * DAY_MS + 2}, "90 days"),
        (Action.PUT, {"valid_until": 1}, "after issued_at"),
        (Action.PUT, {"valid_until": None}, "put needs valid_until"),
        (Action.PUT, {"key_digest": None}, "put needs key_digest"),
        (Action.PUT, {"scopes": None}, "put needs scopes"),
        (Action.PUT, {"scopes": []}, "scopes"),
        (Action.PUT, {"scopes": ["admin"]}, "scopes"),
        (Action.PUT, {"scopes": [Scope.SIGN] * (len(Scope) + 1)}, "scopes"),
        (Action.PUT, {"key_digest": bytes(31)}, "key_digest"),
        (Action.PUT, {"holder": "a/b"}, "holder"),
        (Action.PUT, {"holder": None}, "put needs holder"),
        (Action.PUT, {"api_key_id": None}, "put needs api_key_id"),
        (Action.PUT, {"until": 5}, "put has no until"),
        (Action.REVOKE, {}, "revoke has no holder"),
        (Action.NOTHING_AFTER, {}, "nothing_after has no api_key_id"),
    ],
)
def test_an_entry_has_the_fields_of_its_action(
    action: Action, fields: dict[str, Any], reason: str
) -> None:
    put = {
        "api_key_id": "shop-1",
        "holder": "shop",
        "key_digest": DIGEST,
        "scopes": [Scope.SIGN],
        "valid_until": 90 * DAY_MS + 1,
    }
    scribe = Scribe()
    scribe.signed(Action.PUT, issued_at=1, **put)
    with pytest.raises(ValueError, match=reason):
        scribe.signed(action, issued_at=1, **put | fields)


def test_nothing_after_lasts_no_longer_than_a_key() -> None:
    scribe = Scribe()
    scribe.nothing_after(90 * DAY_MS + 1, issued_at=1)
    with pytest.raises(ValueError, match="90 days"):
        scribe.nothing_after(90 * DAY_MS + 2, issued_at=1)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"not JSON",
        json.dumps(
            json.loads(Scribe().signed(Action.REVOKE, api_key_id="a").body) | {"more": 1}
        ).encode(),
        Scribe().signed(Action.REVOKE, api_key_id="a").body.replace(b"{", b'{"number":1,', 1),
    ],
)
def test_what_the_authority_signed_must_be_an_entry_all_the_same(body: bytes) -> None:
    signed = SignedApiKeyEntry(body=body, signature=AUTHORITY.sign(ENTRY_TAG, body))
    with pytest.raises(ContractError):
        Scribe().chain().take(signed)


def test_an_entry_is_signed_by_the_authority_that_it_names() -> None:
    entry = Scribe().put().claimed()
    assert isinstance(entry, ApiKeyEntry)
    with pytest.raises(ValueError, match="another authority"):
        SignedApiKeyEntry.of(entry, Identity.generate())
