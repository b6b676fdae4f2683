"""Two bodies under one request id, two keys under one name, a cancel of something else."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import Any

from contracts.client import Client
from contracts.errors import ContractError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment

from . import asking
from .adversary import (
    ANSWERED,
    QUIET_S,
    SHARES,
    Adversary,
    heard_request,
    is_report,
    is_request,
    is_result,
)
from .false_coordinator import ANSWER_S, FalseCoordinator, every_signer_set
from .forms import STATEMENT_TAG, cancel_instruction, said_final, statement_words
from .under_way import outcome


async def test_a_second_body_under_one_id_is_signed_by_nobody(
    stack: Deployment,
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    """The coordinator refuses it as a conflict; so do the parties, by themselves. A party that has
    signed neither is one too few."""
    settings, request_id = adversary.client_settings(), f"twice-{secrets.token_hex(4)}"
    result = await victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        signers=["party-1", "party-2"],
    )
    assert result.signature is not None
    second = asking.sign(
        settings, key.facts.key_id, request_id=request_id, message=bytes(range(32)).hex()
    )
    for signers in every_signer_set(stack):
        assert await false_coordinator.sign(second, key.facts, signers) is None


async def test_a_request_is_signed_in_no_more_sessions_than_it_has_tries(
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    """Its own session is one of them."""
    result = await victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        signers=["party-1", "party-2"],
    )
    wire = await adversary.recording.first(is_request("sign", result.request_id))
    for _ in range(5):
        signed = heard_request(wire)
        await false_coordinator.sign(signed, key.facts, ["party-1", "party-2"])
    digest = heard_request(wire).digest.hex()
    sessions = {
        wire.json()["session_id"]
        for wire in adversary.recording.heard
        if wire.kind == "session_created" and wire.json()["terms"]["request_digest"] == digest
    }
    signed_in = [
        session_id
        for session_id in sessions
        if adversary.recording.all(is_report(SHARES, bytes.fromhex(session_id), ["party-1"]))
    ]
    assert len(signed_in) <= 3


async def test_a_second_key_under_one_name_is_certified_by_nobody(
    victim: Client, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    """The same signed wish, in a session of somebody else's."""
    settings, name = adversary.client_settings(), f"named-{secrets.token_hex(4)}"
    signed = asking.keygen(settings, name)
    await adversary.request(signed)
    await adversary.recording.first(is_result("keygen", signed.request.request_id))
    assert [made.facts.key_id for made in await victim.keys(name)] == [name]
    session = false_coordinator.keygen(signed)
    await false_coordinator.invite(session, {})
    certified = is_report("key_certified", session.session_id)
    assert await adversary.recording.count(certified, 1, ANSWER_S) == []


async def test_another_wish_for_the_same_name_is_certified_by_nobody(
    victim: Client, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    settings, name = adversary.client_settings(), f"named-{secrets.token_hex(4)}"
    for again in (False, True):
        signed = asking.keygen(settings, name)
        if not again:
            await adversary.request(signed)
            await adversary.recording.first(is_result("keygen", signed.request.request_id))
    session = false_coordinator.keygen(signed)
    await false_coordinator.invite(session, {})
    certified = is_report("key_certified", session.session_id)
    assert await adversary.recording.count(certified, 1, ANSWER_S) == []


async def test_a_cancel_of_one_request_ends_no_other(
    stack: Deployment, victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """A recorded cancel, shown to the parties with the session of another request."""
    settings = insider.client_settings()
    other = asking.cancel(settings, "something-else")
    request_id = f"kept-{secrets.token_hex(4)}"
    session_id = secrets.token_bytes(32)
    content = cancel_instruction(session_id, other.body, other.signature)
    for party_id in stack.plan.party_ids:
        await insider.publish(insider.forms.instruction(content, party_id, about=session_id))
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    assert result.signature is not None
    for wire in insider.recording.all(is_report(ANSWERED)):
        stated = wire.json()["statement"]
        assert stated is None or not covers(insider, stated, request_id)


def covers(insider: Adversary, stated: dict[str, Any], request_id: str) -> bool:
    """Whether it is a statement about this request of svcA's."""
    words = statement_words(
        stated, client_id="svcA", tenant=None, request_id=request_id, party_id=stated["party_id"]
    )
    try:
        insider.parties[stated["party_id"]].verify(
            STATEMENT_TAG, words, base64.b64decode(stated["signature"])
        )
    except ContractError:
        return False
    return True


async def test_a_forged_cancel_makes_no_party_state_anything(
    stack: Deployment, victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """By another client, in svcA's name; and svcA's own, with one bit of its signature wrong."""
    target = f"forged-{secrets.token_hex(4)}"
    theirs, own = (
        asking.cancel(insider.client_settings(name), target) for name in ("svcB", "svcA")
    )
    wrong = own.signature[:-1] + bytes([own.signature[-1] ^ 1])
    for body, signature in ((own.body, theirs.signature), (own.body, wrong)):
        session_id = secrets.token_bytes(32)
        content = cancel_instruction(session_id, body, signature)
        for party_id in stack.plan.party_ids:
            await insider.publish(insider.forms.instruction(content, party_id, about=session_id))
    for wire in await insider.recording.count(is_report(ANSWERED), 6, QUIET_S):
        assert wire.json()["statement"] is None
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=target
    )
    assert result.signature is not None


async def test_a_cancel_that_another_client_signed_ends_nothing(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """Request ids are each owner's own."""
    request_id = f"kept-{secrets.token_hex(4)}"
    async with stranger.holding_reports(SHARES) as held:
        task = asyncio.ensure_future(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ED25519,
                request_id=request_id,
            )
        )
        shares = await held.recording.count(is_report(SHARES), 2, 20)
        foreign = asking.cancel(stranger.client_settings("svcB"), request_id)
        await stranger.request(foreign)
        told = await stranger.recording.first(is_result("cancel", foreign.request.request_id))
        await held.let_through(shares)
    assert (await task).signature is not None
    assert told.json().get("target_status") in {None, "unknown"}


async def test_a_tenants_cancel_ends_nothing_of_anothers(
    victim: Client, stranger: Adversary
) -> None:
    shop, bank = victim.acting_for("shop"), victim.acting_for("bank")
    name = f"tenants-{secrets.token_hex(4)}"
    await shop.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)
    async with stranger.holding_reports(SHARES) as held:
        task = asyncio.ensure_future(
            shop.sign(name, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=name)
        )
        shares = await held.recording.count(is_report(SHARES), 2, 20)
        told = await outcome(asyncio.ensure_future(bank.cancel(name)))
        await held.let_through(shares)
    assert (await task).signature is not None
    assert not said_final(told)
