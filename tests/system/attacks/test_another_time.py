"""What was said long ago, said again; and what is to come later, said now."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from contracts.client import Client
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment

from . import asking
from .adversary import ANSWERED, SHARES, Adversary, is_report, is_request, is_result
from .false_coordinator import FalseCoordinator
from .forms import cancel_instruction
from .under_way import outcome

MONTH_MS = 30 * 24 * asking.HOUR_MS
AHEAD_MS = 160_000
SIGNERS = ["party-1", "party-2"]


async def test_a_query_of_a_month_ago_is_not_answered(
    key: CertifiedKey, stranger: Adversary
) -> None:
    for age_ms, status in ((0, "completed"), (MONTH_MS, "expired")):
        signed = asking.query_keys(stranger.client_settings(), age_ms=age_ms)
        await stranger.request(signed)
        told = await stranger.recording.first(is_result("query_keys", signed.request.request_id))
        assert told.json()["status"] == status
        assert bool(told.json()["keys"]) == (status == "completed")


async def test_a_cancel_of_a_month_ago_ends_nothing(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    request_id = f"wanted-{secrets.token_hex(4)}"
    async with stranger.holding_reports(SHARES) as held:
        task = asyncio.create_task(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ED25519,
                request_id=request_id,
            )
        )
        await stranger.recording.first(is_request("sign", request_id))
        shares = await stranger.shares_of(request_id, held)
        old = asking.cancel(stranger.client_settings(), request_id, age_ms=MONTH_MS)
        await stranger.request(old)
        told = await stranger.recording.first(is_result("cancel", old.request.request_id))
        assert told.json()["status"] == "expired"
        await held.let_through(shares)
    assert (await task).request_id == request_id


async def test_no_party_heeds_a_cancel_of_a_month_ago_or_of_the_future(
    stack: Deployment, insider: Adversary
) -> None:
    """Shown to them by the coordinator itself; one of now is heeded."""
    ages = {0: None, MONTH_MS: "not_authorised", -AHEAD_MS: "not_authorised"}
    for age_ms, refused in ages.items():
        cancel = asking.cancel(insider.client_settings(), "some-request", age_ms=age_ms)
        content = cancel_instruction(cancel)
        for party_id in stack.plan.party_ids:
            await insider.publish(insider.forms.instruction(content, party_id))
        answered = is_report(ANSWERED, content.session_id)
        answers = await insider.recording.count(answered, 3, 20)
        assert [wire.json()["refused"] for wire in answers] == [refused] * 3


@pytest.mark.parametrize("operation", ["sign", "keygen", "cancel", "query_keys"])
async def test_a_request_from_the_future_is_invalid_at_once(
    key: CertifiedKey, stranger: Adversary, operation: str
) -> None:
    settings = stranger.client_settings()
    fields: dict[str, dict[str, Any]] = {
        "sign": {"key_id": key.facts.key_id, "scheme": "ed25519", "message": "00"},
        "keygen": {
            "key_id": f"early-{secrets.token_hex(4)}",
            "curve": "ed25519",
            "threshold": 2,
            "party_count": 3,
        },
        "cancel": {"target": "another"},
        "query_keys": {},
    }
    signed = asking.signed(settings, operation, age_ms=-AHEAD_MS, **fields[operation])
    await stranger.request(signed)
    wire = await stranger.recording.first(is_result(operation, signed.request.request_id))
    failure = wire.json()["failure"]
    assert (failure["code"], failure["retryable"]) == ("invalid_request", False)
    assert "ahead of the coordinator's clock" in failure["message"]


@pytest.mark.parametrize(
    ("age_ms", "because"),
    [
        (-AHEAD_MS, "the request was issued in the future"),
        (asking.LIFETIME_MS + AHEAD_MS, "the request expired"),
    ],
)
async def test_no_party_signs_a_request_of_another_time(
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
    age_ms: int,
    because: str,
) -> None:
    signed = asking.sign(adversary.client_settings(), key.facts.key_id, age_ms=age_ms)
    await false_coordinator.refused(signed, key.facts, SIGNERS, because)


async def test_a_configuration_that_was_replaced_is_not_restored_by_its_replay(
    victim: Client, stranger: Adversary
) -> None:
    shop = victim.acting_for("shop")
    name = f"account-{secrets.token_hex(4)}"
    begun = await shop.begin_key(
        name, curve=Curve.ED25519, threshold=2, party_count=3, user_id="Ada"
    )
    await outcome(asyncio.ensure_future(begun.result()))
    first, second = ["party-1", "party-2"], ["party-2", "party-3"]
    assert (await shop.configure_account(name, signers=first)).signers == first
    wire = await stranger.recording.first(is_request("configure_account"))
    assert (await shop.configure_account(name, signers=second)).signers == second
    await stranger.publish(wire)
    replayed = is_result("configure_account", wire.message_id)
    _, again = await stranger.recording.count(replayed, 2, 20)
    assert again.json()["failure"]["code"] == "conflict"
    assert (await shop.account(name)).signers == second
