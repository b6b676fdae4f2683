"""Shares that are kept back until their request is over, and put together then."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from contracts.client import Client, RequestFailedError, Settlement
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.signing import SignedRequest

from . import asking
from .adversary import SHARES, Adversary
from .after_final import Assembly, nothing_comes
from .false_coordinator import FalseCoordinator
from .under_way import lost, outcome

SIGNERS = ["party-1", "party-2"]
TIMES = 12


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.ECDSA])
@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_nothing_is_final_while_the_shares_of_a_threshold_are_kept_back(
    victim: Client, insider: Adversary, scheme: Scheme, ending: str
) -> None:
    request_id = f"withheld-{secrets.token_hex(4)}"
    key = await victim.create_key(request_id, curve=scheme.curve, threshold=2, party_count=3)
    if scheme is Scheme.ECDSA:  # the first one of these signers waits for presignatures
        await victim.sign(request_id, message=asking.MESSAGE, scheme=scheme, signers=SIGNERS)
    async with insider.holding_reports(SHARES) as held:
        call = victim.sign(
            request_id,
            message=asking.MESSAGE,
            scheme=scheme,
            request_id=request_id,
            signers=SIGNERS,
            timeout_s=12 if ending == "expired" else 60,  # on a slow day shares take some
        )
        task = asyncio.ensure_future(call)
        await insider.shares_of(request_id, held)
        if ending == "expired":
            await outcome(task)
        told = await victim.cancel(request_id)
        told_so = await outcome(task)
    assembly = Assembly(await insider.until_now(), insider.forms, insider.parties)
    assert len(assembly.signatures(request_id, key.facts)) == 1
    assert not told.final
    assert told.already_signed == ("party-1", "party-2")
    assert isinstance(told_so, RequestFailedError)
    assert told_so.failure.code == ending
    assert told_so.signature_may_exist


async def test_one_withheld_share_and_the_others_cannot_be_made_to_sign_after_the_cancel(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """One party has signed for an attacker who then waits for the end: with it nothing is final,
    for it may lie with another; and the others sign nothing more."""
    request_id, false_coordinator = f"one-{secrets.token_hex(4)}", FalseCoordinator(insider)
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        signers=SIGNERS,
    )
    under_way = await lost(insider, call, request_id, key)
    session = false_coordinator.signing(under_way.signed, key.facts, SIGNERS)
    commitments = await false_coordinator.commitments(session)
    await false_coordinator.invite(session, commitments, ["party-1"])
    tried = await false_coordinator.answers(session, key.facts, commitments, ["party-1"])
    assert list(tried.shares) == ["party-1"]
    told = await victim.cancel(request_id)
    await outcome(under_way.task)
    assert [each.party_id for each in told.statements] == ["party-2", "party-3"]
    assert (told.already_signed, told.final) == (("party-1",), False)
    await false_coordinator.invite(session, commitments, ["party-2"])
    tried = await false_coordinator.answers(session, key.facts, commitments)
    assert tried.refusals == {"party-2": "the request was cancelled"}
    assert tried.item is None


async def test_no_signature_after_final_comes_of_all_that_was_said(
    victim: Client, insider: Adversary
) -> None:
    """Requests of both kinds that are cancelled at any moment, and all that can be made of what was
    heard. Of some there is a signature, and some are final; of none both."""
    schemes = (Scheme.ED25519, Scheme.ECDSA)
    names = {scheme: f"{scheme}-{secrets.token_hex(4)}" for scheme in schemes}
    keys = {
        scheme: await victim.create_key(name, curve=scheme.curve, threshold=2, party_count=3)
        for scheme, name in names.items()
    }
    await victim.sign(names[Scheme.ECDSA], message=asking.MESSAGE, scheme=Scheme.ECDSA)

    async def one(scheme: Scheme, number: int) -> tuple[Scheme, SignedRequest, Settlement]:
        """The first of them are cancelled before they are sent, the last when they are signed."""
        signed = asking.sign(insider.client_settings(), names[scheme], scheme=scheme)
        if number == TIMES - 1:
            # On a slow day one may fail for want of presignatures.
            while (await victim.submit(signed)).failure is not None:
                signed = asking.sign(insider.client_settings(), names[scheme], scheme=scheme)
        request, sending = signed.request, None
        if number >= 2:
            sending = asyncio.create_task(victim.submit(signed))
            await asyncio.sleep(0.02 * (number - 2))
        told = await victim.cancel(
            request.request_id, key_id=names[scheme], issued_at=request.issued_at
        )
        await (sending or victim.submit(signed))
        return scheme, signed, told

    answers = await asyncio.gather(*(one(scheme, n) for scheme in names for n in range(TIMES)))
    assembly = Assembly(await insider.until_now(), insider.forms, insider.parties)
    false_coordinator, ends = FalseCoordinator(insider), set()
    for scheme, signed, told in answers:
        facts = keys[scheme].facts
        if told.final:
            await nothing_comes(false_coordinator, insider, signed, facts)
            ends.add((scheme, "final"))
        elif assembly.signatures(signed.request.request_id, facts):
            ends.add((scheme, "signed"))
    assert ends == {(scheme, end) for scheme in schemes for end in ("final", "signed")}
