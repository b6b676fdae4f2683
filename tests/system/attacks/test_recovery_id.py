"""A signer of ECDSA that has seen the other's share and answers so that s is negated."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Any

import coincurve
import pytest

from contracts.client import Client, ClientError, RequestFailedError
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult
from workers.protocols.dkls23 import SignatureShare

from . import asking
from .adversary import SHARES, Adversary, is_result
from .forms import Wire, envelope
from .under_way import outcome

LIAR, HONEST = "party-1", "party-3"


@pytest.fixture
async def ecdsa_key(victim: Client) -> CertifiedKey:
    return await victim.create_key(
        f"ecdsa-{secrets.token_hex(4)}", curve=Curve.SECP256K1, threshold=2, party_count=3
    )


@dataclass(frozen=True, slots=True)
class Told:
    """Attributes: lied: The liar was asked, and could read what the other said."""

    request_id: str
    result: SignResult | ClientError
    lied: bool


async def lied_to(
    victim: Client, key: CertifiedKey, liar: Adversary, signers: list[str] | None
) -> Told:
    """A signature to which the liar gives its share when it has seen the other."""
    request_id = f"lied-to-{secrets.token_hex(4)}"
    async with liar.holding_reports(SHARES) as held:
        task = asyncio.create_task(
            victim.sign(
                key.facts.key_id,
                message=asking.MESSAGE,
                scheme=Scheme.ECDSA,
                request_id=request_id,
                signers=signers,
                timeout_s=20,
            )
        )
        mine, other = await liar.shares_of(request_id, held)
        if envelope(mine).sender != LIAR:
            mine, other = other, mine
        lie = negated(liar, mine, other) if envelope(mine).sender == LIAR else mine
        await held.let_through([other, lie])
    return Told(request_id, await outcome(task), lie is not mine)


def negated(liar: Adversary, mine: Wire, other: Wire) -> Wire:
    """w_1' = -(w_1 + w_3) - w_3: the sum of both is the negative of what it should be."""
    true, seen = shares(liar, mine), shares(liar, other)
    if true is None or seen is None:
        return mine  # it cannot read what it would need
    lie = SignatureShare(-(true.w + seen.w) - seen.w, true.u)
    identity = liar.stolen_key(LIAR)
    coordinator = liar.forms.coordinator or identity
    report = liar.forms.share_report(envelope(mine), [lie.to_bytes()], identity, coordinator.public)
    return replace(mine, body=report.seal(identity), message_id=report.digest().hex())


def shares(liar: Adversary, wire: Wire) -> SignatureShare | None:
    report = envelope(wire)
    found = liar.forms.shares(report, liar.parties[report.sender])
    return None if found is None else SignatureShare.from_bytes(found[0])


def recovered(result: SignResult) -> bytes:
    """Whose signature it is, to those who go by the recovery id."""
    assert result.signature is not None
    return coincurve.PublicKey.from_signature_and_message(
        result.signature, asking.MESSAGE, hasher=None
    ).format()


async def test_a_negated_s_is_no_signature(
    victim: Client, ecdsa_key: CertifiedKey, adversary: Adversary
) -> None:
    told = await lied_to(victim, ecdsa_key, adversary, [LIAR, HONEST])
    assert told.lied == adversary.is_coordinator
    if not told.lied:  # the other's share is sealed to somebody else
        assert isinstance(told.result, SignResult)
        assert recovered(told.result) == ecdsa_key.facts.public_key
        return
    assert isinstance(told.result, RequestFailedError), told
    assert told.result.failure.code is FailureCode.SPOILT


async def test_others_sign_in_the_end(victim: Client, insider: Adversary) -> None:
    key = await key_that_the_liar_is_asked_for(victim)
    for _ in range(10):  # until nothing is in stock but what the liar has a part in
        told = await lied_to(victim, key, insider, None)
        assert isinstance(told.result, SignResult), told
        assert recovered(told.result) == key.facts.public_key
        if told.lied:
            return
    raise AssertionError("the liar was never asked")


async def key_that_the_liar_is_asked_for(victim: Client) -> CertifiedKey:
    """Which signers are asked first follows from the key, and is the liar for two keys in three."""
    for _ in range(20):
        key = await victim.create_key(
            f"ecdsa-{secrets.token_hex(4)}", curve=Curve.SECP256K1, threshold=2, party_count=3
        )
        signed = await victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ECDSA)
        if LIAR in signed.signers:
            return key
    raise AssertionError("the liar is asked for no key")


async def result_heard(adversary: Adversary, request_id: str) -> dict[str, Any]:
    """As it was published, perhaps later to the adversary than to the client."""
    return (await adversary.recording.first(is_result("sign", request_id))).json()


async def test_what_the_coordinator_publishes_can_be_recovered(
    victim: Client, ecdsa_key: CertifiedKey, adversary: Adversary
) -> None:
    """For clients that check no more than a verifier does."""
    true = await victim.sign(ecdsa_key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ECDSA)
    told = await lied_to(victim, ecdsa_key, adversary, [LIAR, HONEST])
    published = [await result_heard(adversary, each) for each in (true.request_id, told.request_id)]
    completed = [said for said in published if said["status"] == "completed"]
    assert len(completed) == (1 if adversary.is_coordinator else 2)
    for said in completed:
        found = coincurve.PublicKey.from_signature_and_message(
            bytes.fromhex(said["signature"]), asking.MESSAGE, hasher=None
        )
        assert found.format() == ecdsa_key.facts.public_key
