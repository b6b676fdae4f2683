"""Accounts, and the keys that they show."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import (
    AccountView,
    ConfigureAccountResult,
    QueryAccountsResult,
    Status,
)

from . import samples
from .samples import (
    sign_result,
)
from .trusting import ED25519, OTHER, trust


def account(key: CertifiedKey | None, **changes: Any) -> AccountView:
    given: dict[str, Any] = {
        "account_id": "treasury",
        "user_id": "Ada",
        "status": Status.WAITING if key is None else Status.COMPLETED,
        "session_id": bytes([5]) * 32,
        "created_at": 1,
        "curve": Curve.ED25519,
        "threshold": 2,
        "parties": ["p3", "p1", "p2"],
        "signers": None,
        "public_key": None if key is None else key.facts.public_key,
        "key": key,
    }
    return AccountView(**given | changes)


def told_of(
    *accounts: AccountView, configured: bool
) -> QueryAccountsResult | ConfigureAccountResult:
    head: dict[str, Any] = {
        "request_id": "r1",
        "client_id": "svcA",
        "session_id": None,
        "request_digest": bytes(32),
        "status": Status.COMPLETED,
        "finished_at": 1,
    }
    if configured:
        return ConfigureAccountResult(**head, account=accounts[0])
    return QueryAccountsResult(**head, accounts=list(accounts))


@pytest.mark.parametrize("configured", [False, True])
async def test_an_account_shows_the_key_that_its_parties_certified(configured: bool) -> None:
    knowing = trust()
    for key in (None, ED25519.certified()):
        await knowing.check(told_of(account(key), configured=configured), None)
    # Known from now on: signatures need no other answer of the coordinator's.
    await knowing.check(sign_result(samples.sign_request(), ED25519), None)


LIES: dict[str, tuple[AccountView, str]] = {
    "a bare key": (
        account(None, public_key=ED25519.public_key),
        "comes without what proves its key",
    ),
    "a bare key, made": (
        account(None, public_key=ED25519.public_key, status=Status.COMPLETED),
        "comes without what proves its key",
    ),
    "made, and no key": (
        account(None, status=Status.COMPLETED),
        "comes without what proves its key",
    ),
    "another public key": (account(ED25519.certified(), public_key=OTHER.public_key), "public_key"),
    "no public key": (account(ED25519.certified(), public_key=None), "public_key"),
    "another account's key": (account(ED25519.certified(key_id="other")), "account_id"),
    "another session's key": (account(ED25519.certified(session_id=bytes(32))), "session_id"),
    "another curve": (account(ED25519.certified(), curve=Curve.SECP256K1), "curve"),
    "another threshold": (account(ED25519.certified(), threshold=3), "threshold"),
    "other parties": (account(ED25519.certified(), parties=["p1", "p2", "p4"]), "parties"),
    "another client's key": (account(ED25519.certified(client_id="svcB")), "another client"),
    "not certified by all": (
        account(CertifiedKey(facts=ED25519.facts(), certificates={})),
        "no certificate",
    ),
    "certified for other facts": (
        account(
            CertifiedKey(
                facts=OTHER.facts(),
                certificates=ED25519.certified().certificates,
            )
        ),
        "wrong signature",
    ),
}


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("lie", LIES)
async def test_an_account_without_its_certified_key_is_not_believed(
    lie: str, configured: bool
) -> None:
    view, reason = LIES[lie]
    with pytest.raises(ContractError, match=reason):
        await trust().check(told_of(view, configured=configured), None)


async def test_one_false_account_spoils_its_page() -> None:
    view, _ = LIES["a bare key"]
    page = told_of(account(ED25519.certified()), view, configured=False)
    with pytest.raises(ContractError, match="comes without"):
        await trust().check(page, None)


async def test_an_account_keeps_its_key() -> None:
    knowing = trust()
    await knowing.check(told_of(account(ED25519.certified()), configured=False), None)
    with pytest.raises(ContractError, match="another public key before"):
        await knowing.check(told_of(account(OTHER.certified()), configured=False), None)
