"""Statements that are false, forged, old, or nobody's to make; each with a cancel's result."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contracts.client import Client, ClientError
from contracts.identity import Identity
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.signing import SignedRequest

from . import asking
from .adversary import (
    ANSWERED,
    PATIENCE_S,
    SHARES,
    Adversary,
    Held,
    heard_request,
    is_report,
    is_request,
)
from .after_final import Assembly
from .false_coordinator import ANSWER_S
from .forms import envelope, now_ms, said_final, statement
from .in_its_place import base, told
from .under_way import outcome

LIAR = "party-3"
Forge = Callable[[Adversary, SignedRequest], Sequence[Mapping[str, Any]]]


def by(identity: Identity, party_id: str, target: SignedRequest, **changes: Any) -> dict[str, Any]:
    request = target.request
    fields: dict[str, Any] = {
        "client_id": request.client_id,
        "tenant": request.tenant,
        "request_id": request.request_id,
        "issued_until": now_ms(),
    }
    return statement(identity, party_id, **(fields | changes))


def of_strangers(adversary: Adversary, target: SignedRequest) -> Sequence[Mapping[str, Any]]:
    names = adversary.deployment.plan.party_ids
    return [by(Identity.generate(), party_id, target) for party_id in names]


def of_one_liar_thrice(adversary: Adversary, target: SignedRequest) -> Sequence[Mapping[str, Any]]:
    identity = adversary.stolen_key(LIAR)
    return [by(identity, LIAR, target)] * 3


def of_one_liar_for_all(adversary: Adversary, target: SignedRequest) -> Sequence[Mapping[str, Any]]:
    identity = adversary.stolen_key(LIAR)
    return [by(identity, name, target) for name in adversary.deployment.plan.party_ids]


def of_no_holders(adversary: Adversary, target: SignedRequest) -> Sequence[Mapping[str, Any]]:
    return [by(Identity.generate(), f"party-{number}", target) for number in (4, 5, 6)]


def about_another_request(
    adversary: Adversary, target: SignedRequest
) -> Sequence[Mapping[str, Any]]:
    """By all three, and true: of an id that was never used."""
    names = adversary.deployment.plan.party_ids
    return [by(adversary.stolen_key(name), name, target, request_id="another") for name in names]


def about_another_tenant(
    adversary: Adversary, target: SignedRequest
) -> Sequence[Mapping[str, Any]]:
    names = adversary.deployment.plan.party_ids
    return [by(adversary.stolen_key(name), name, target, tenant="another") for name in names]


def about_another_client(
    adversary: Adversary, target: SignedRequest
) -> Sequence[Mapping[str, Any]]:
    names = adversary.deployment.plan.party_ids
    return [by(adversary.stolen_key(name), name, target, client_id="svcB") for name in names]


def of_before_the_request(
    adversary: Adversary, target: SignedRequest
) -> Sequence[Mapping[str, Any]]:
    """By all three, and true when they were made."""
    names = adversary.deployment.plan.party_ids
    before = target.request.issued_at - 1
    return [by(adversary.stolen_key(name), name, target, issued_until=before) for name in names]


FORGERIES: list[Forge] = [
    of_strangers,
    of_one_liar_thrice,
    of_one_liar_for_all,
    of_no_holders,
    about_another_request,
    about_another_tenant,
    about_another_client,
    of_before_the_request,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_what_a_forged_cancel_says_of_a_signature_that_exists_is_not_final(
    victim: Client, key: CertifiedKey, insider: Adversary, forge: Forge
) -> None:
    request_id = f"stated-{secrets.token_hex(4)}"
    result = await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    assert result.signature is not None
    target = heard_request(await insider.recording.first(is_request("sign", request_id)))
    extra: dict[str, Any] = {}
    if insider.forms.signer is not None:  # or else a cancel's result knows no statements
        extra = {
            "statements": list(forge(insider, target)),
            "already_signed": [],
            "silent": [],
        }
    believed = await told(
        insider,
        victim.cancel(request_id),
        "cancel",
        lambda signed: base(signed, target=request_id, target_status="cancelled", **extra),
    )
    assert isinstance(believed, ClientError) or not said_final(believed)


async def lie_for_the_liar(insider: Adversary, held: Held, target: SignedRequest) -> None:
    """Its own answer is kept back, and a statement that it has signed nothing goes out."""
    answers = await held.recording.count(is_report(ANSWERED), 3, ANSWER_S)
    identity = insider.stolen_key(LIAR)
    for wire in answers:
        report = envelope(wire)
        if report.sender == LIAR:
            said = wire.json()
            until = max(now_ms(), target.request.issued_at)
            said["statement"] = by(identity, LIAR, target, issued_until=until)
            said["refused"] = None
            false = replace(report, payload=json.dumps(said).encode())
            wire = replace(wire, body=false.seal(identity), message_id=false.digest().hex())
        await held.let_through([wire])


async def test_one_liar_among_those_who_state_does_not_make_it_final(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """party-1 and the liar have signed; the liar states that it has not, as party-2 does truly."""
    request_id = f"liar-{secrets.token_hex(4)}"
    async with insider.holding_reports(SHARES, ANSWERED) as held:
        task = asyncio.ensure_future(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ED25519,
                request_id=request_id,
                signers=["party-1", LIAR],
            )
        )
        await held.recording.count(is_report(SHARES), 2, PATIENCE_S)
        asked = asyncio.ensure_future(victim.cancel(request_id))
        target = heard_request(await insider.recording.first(is_request("sign", request_id)))
        await lie_for_the_liar(insider, held, target)
        settlement = await outcome(asked)
        await outcome(task)
    assembly = Assembly(insider.recording.heard, insider.forms, insider.parties)
    assert len(assembly.signatures(request_id, key.facts)) == 1
    assert not said_final(settlement)
