"""Sessions that are begun by one process and watched by another, through the whole of Warren."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme, Status
from contracts.results import SignResult
from gateway.sessions import Desk, ReferenceConflictError
from ops.stack.deployment import Deployment


@pytest.fixture
async def another(deployment: Deployment) -> AsyncIterator[Client]:
    """A second process of svcA's, on the same queue."""
    async with Client.connect(ClientSettings.load(deployment.clients["svcA"])) as connected:
        yield connected


async def test_an_account_is_made_and_signs_for_one_tenant_and_no_other(
    client: Client, another: Client
) -> None:
    shop, bank = client.acting_for("shop"), another.acting_for("bank")
    name = f"account-{secrets.token_hex(4)}"
    made = await shop.begin_key(
        name, curve=Curve.ED25519, threshold=2, party_count=3, user_id="Ada", reference="wish"
    )
    assert made.announced is not None
    assert set(made.announced.join_tokens) == set(made.announced.parties)
    assert (await made.result()).status is Status.COMPLETED
    account = await another.acting_for("shop").account(name)
    assert (account.user_id, account.status) == ("Ada", Status.COMPLETED)

    begun = await shop.begin_signature(name, message=b"message", scheme=Scheme.ED25519)
    assert begun.announced is not None
    result = await begun.result()
    assert isinstance(result, SignResult)
    looked = await another.acting_for("shop").look(session_id=begun.announced.session_id)
    assert looked.outcome == result
    assert looked.session is not None
    assert looked.session.session_id == begun.announced.session_id

    for call in (
        bank.look(session_id=begun.announced.session_id),
        bank.account(name),
        bank.sign(name, message=b"message", scheme=Scheme.ED25519),
        bank.cancel_session(begun.announced.session_id),
        client.look(session_id=begun.announced.session_id),
    ):
        with pytest.raises(RequestFailedError, match="unknown_"):
            await call


async def test_a_session_that_waits_to_be_joined_begins_when_all_are(client: Client) -> None:
    shop = client.acting_for("shop")
    made = await shop.begin_key(
        f"joined-{secrets.token_hex(4)}",
        curve=Curve.ED25519,
        threshold=2,
        party_count=3,
        join_window_ms=10_000,
    )
    assert made.announced is not None
    session_id, tokens = made.announced.session_id, made.announced.join_tokens
    with pytest.raises(RequestFailedError) as caught:
        await shop.join(session_id, bytes(32), "party-1")
    assert caught.value.failure.code is FailureCode.TOKEN_REFUSED
    for party_id, token in tokens.items():
        joined = await shop.join(session_id, token)
        assert joined.party_id == party_id
    assert (await made.result()).status is Status.COMPLETED


async def test_two_gateways_answer_one_wish_with_one_session(
    client: Client, another: Client
) -> None:
    async with Desk(client, timeout_s=60) as one, Desk(another, timeout_s=60) as other:
        asked: dict[str, Any] = {
            "key_id": f"key-{secrets.token_hex(4)}",
            "curve": Curve.ED25519,
            "threshold": 2,
            "party_count": 3,
            "reference": hashlib.sha256(b"wish").hexdigest(),
            "request_id": secrets.token_hex(16),
        }
        first = await one.begin_key("shop", **asked)
        again = await other.begin_key("shop", **asked)
        assert (again.session_id, again.replayed) == (first.session_id, True)
        found = await other.wait("shop", first.session_id, 60)
        assert found.outcome is not None
        assert found.outcome.status is Status.COMPLETED
        assert await one.outcome("shop", first.session_id, 60) == found.outcome
        statuses = [
            looked.session.status
            async for looked in other.follow("shop", first.session_id)
            if looked.session
        ]
        assert statuses == [Status.COMPLETED]
        with pytest.raises(ReferenceConflictError):
            await other.begin_key("shop", **{**asked, "reference": "another wish"})
