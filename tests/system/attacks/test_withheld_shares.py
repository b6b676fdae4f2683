"""Shares that are kept back until their request is over, and put together then."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from contracts.client import Client
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.requests import SignRequest

from . import asking
from .adversary import PATIENCE_S, SHARES, Adversary, heard_request, is_report, is_request
from .after_final import Assembly
from .false_coordinator import FalseCoordinator
from .forms import envelope, may_exist, said_final
from .under_way import lost, outcome


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.ECDSA])
@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_nothing_is_final_while_the_shares_of_a_threshold_are_kept_back(
    victim: Client, insider: Adversary, scheme: Scheme, ending: str
) -> None:
    request_id = f"withheld-{secrets.token_hex(4)}"
    key = await victim.create_key(request_id, curve=scheme.curve, threshold=2, party_count=3)
    async with insider.holding_reports(SHARES) as held:
        call = victim.sign(
            request_id,
            message=asking.MESSAGE,
            scheme=scheme,
            request_id=request_id,
            timeout_s=15 if ending == "expired" else 60,
        )
        task = asyncio.ensure_future(call)
        assert len(await held.recording.count(is_report(SHARES), 2, PATIENCE_S)) == 2
        if ending == "expired":
            told_so = await outcome(task)
            assert may_exist(told_so)
        told = await victim.cancel(request_id)
        told_so = await outcome(task)
    assembly = Assembly(insider.recording.heard, insider.forms, insider.parties)
    assert len(assembly.signatures(request_id, key.facts)) == 1
    assert not said_final(told)
    assert may_exist(told_so)


async def test_one_withheld_share_and_the_others_cannot_be_made_to_sign_after_final(
    victim: Client, key: CertifiedKey, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    """One party has signed for an attacker who then waits for the end."""
    request_id = f"one-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        signers=["party-1", "party-2"],
    )
    under_way = await lost(adversary, call, "sign", request_id)
    session = false_coordinator.signing(under_way.signed, key.facts, ["party-1", "party-2"])
    commitments = await false_coordinator.commitments(session)
    if len(commitments) == 2:
        await false_coordinator.invite(session, commitments, ["party-1"])
        await false_coordinator.answers(session, 1)
    told = await victim.cancel(request_id)
    await outcome(under_way.task)
    if len(commitments) == 2:
        await false_coordinator.invite(session, commitments, ["party-2"])
        await false_coordinator.answers(session, 2)
    assembly = Assembly(adversary.recording.heard, adversary.forms, adversary.parties)
    found = assembly.signatures(request_id, key.facts)
    assert not (said_final(told) and found)


async def test_no_signature_after_final_comes_of_all_that_was_said(
    victim: Client, insider: Adversary
) -> None:
    """Twenty requests, cancelled at any moment, and all that can be made of what was heard."""
    name = f"many-{secrets.token_hex(4)}"
    key = await victim.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3)

    async def one(number: int) -> tuple[str, object]:
        request_id = f"{name}-{number}"
        task = asyncio.ensure_future(
            victim.sign(name, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id)
        )
        sent = await insider.recording.first(is_request("sign", request_id))
        assert isinstance(heard_request(sent).request, SignRequest)
        await asyncio.sleep(0.005 * number)
        told = await outcome(asyncio.ensure_future(victim.cancel(request_id)))
        await outcome(task)
        return request_id, told

    answers = await asyncio.gather(*map(one, range(20)))
    await asyncio.sleep(2)
    assembly = Assembly(insider.recording.heard, insider.forms, insider.parties)
    wrong = [
        (request_id, told)
        for request_id, told in answers
        if said_final(told) and assembly.signatures(request_id, key.facts)
    ]
    assert wrong == []
    assert envelope(insider.recording.all(is_report(SHARES))[0]).kind == SHARES
