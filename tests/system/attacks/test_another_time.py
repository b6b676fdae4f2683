"""What was said long ago, said again; and what is to come later, said now."""

from __future__ import annotations

import asyncio
import json
import secrets

import pytest

from contracts.client import Client
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme

from . import asking
from .adversary import QUIET_S, SHARES, Adversary, is_request, is_result
from .under_way import outcome

MONTH_MS = 30 * 24 * asking.HOUR_MS
AHEAD_MS = 160_000


async def completed(adversary: Adversary, operation: str, request_id: str) -> bool:
    heard = await adversary.recording.count(is_result(operation, request_id), 1, QUIET_S)
    return any(json.loads(wire.body)["status"] == "completed" for wire in heard)


async def test_a_query_of_a_month_ago_is_not_answered(
    key: CertifiedKey, stranger: Adversary
) -> None:
    signed = asking.query_keys(stranger.client_settings(), age_ms=MONTH_MS)
    await stranger.request(signed)
    assert not await completed(stranger, "query_keys", signed.request.request_id)


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
        shares = await held.recording.count(lambda _: True, 2, 20)
        old = asking.cancel(stranger.client_settings(), request_id, age_ms=MONTH_MS)
        await stranger.request(old)
        await completed(stranger, "cancel", old.request.request_id)
        await held.let_through(shares)
    assert (await task).request_id == request_id


@pytest.mark.parametrize("operation", ["sign", "keygen"])
async def test_a_request_from_the_future_is_invalid_at_once(
    key: CertifiedKey, stranger: Adversary, operation: str
) -> None:
    settings = stranger.client_settings()
    if operation == "sign":
        signed = asking.sign(settings, key.facts.key_id, age_ms=-AHEAD_MS)
    else:
        name = f"early-{secrets.token_hex(4)}"
        signed = asking.keygen(settings, name, age_ms=-AHEAD_MS)
    await stranger.request(signed)
    wire = await stranger.recording.first(is_result(operation, signed.request.request_id))
    told = json.loads(wire.body)
    assert told["failure"]["code"] == "invalid_request", told
    assert told["failure"]["retryable"] is False


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
    await shop.configure_account(name, signers=first)
    wire = await stranger.recording.first(is_request("configure_account"))
    await shop.configure_account(name, signers=second)
    await stranger.publish(wire)
    await asyncio.sleep(QUIET_S)
    assert (await shop.account(name)).signers == second
