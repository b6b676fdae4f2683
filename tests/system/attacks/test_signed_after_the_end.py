"""The bytes of a request that is over, in a session of somebody else's."""

from __future__ import annotations

import secrets

from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from ops.stack.deployment import Deployment

from . import asking
from .adversary import Adversary
from .false_coordinator import FalseCoordinator, every_signer_set
from .under_way import lost, outcome

CANCELLED = "the request was cancelled"


async def test_what_was_lost_and_not_cancelled_is_signed_by_whoever_holds_the_coordinators_key(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    """So it is the cancel that the tests below are about."""
    request_id = f"lost-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        timeout_s=2,
    )
    under_way = await lost(insider, call, request_id, key)
    assert isinstance(await outcome(under_way.task), ClientError)
    tried = await FalseCoordinator(insider).sign(
        under_way.signed, key.facts, ["party-1", "party-3"]
    )
    assert tried.item is not None


async def test_what_was_cancelled_is_signed_by_nobody(
    stack: Deployment,
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    request_id = f"cancelled-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    under_way = await lost(adversary, call, request_id, key)
    told = await victim.cancel(request_id)
    assert isinstance(await outcome(under_way.task), ClientError)
    assert told.final
    for signers in every_signer_set(stack):
        await false_coordinator.refused(under_way.signed, key.facts, signers, CANCELLED)


async def test_other_bytes_of_what_was_cancelled_are_signed_by_nobody(
    stack: Deployment, key: CertifiedKey, victim: Client, insider: Adversary
) -> None:
    """All digests of the id are cancelled, and those that were never sent."""
    settings, key_id = insider.client_settings(), key.facts.key_id
    false_coordinator, early = FalseCoordinator(insider), asking.sign(settings, key_id)
    request_id = early.request.request_id
    other = asking.sign(settings, key_id, request_id=request_id, message=bytes(range(32)).hex())
    told = await victim.cancel(request_id, key_id=key_id, issued_at=early.request.issued_at)
    assert told.final
    for signed in (early, other):
        for signers in every_signer_set(stack):
            await false_coordinator.refused(signed, key.facts, signers, CANCELLED)


async def test_what_expired_and_was_asked_about_is_signed_by_nobody(
    stack: Deployment,
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    """Within the tolerance that parties give to clocks."""
    request_id = f"expired-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        timeout_s=2,
    )
    under_way = await lost(adversary, call, request_id, key)
    assert isinstance(await outcome(under_way.task), ClientError)
    assert (await victim.cancel(request_id)).final
    for signers in every_signer_set(stack):
        await false_coordinator.refused(under_way.signed, key.facts, signers, CANCELLED)


async def test_a_key_that_was_cancelled_is_made_by_nobody(
    victim: Client, insider: Adversary
) -> None:
    """A wish that was not cancelled is fulfilled, by the same coordinator."""
    settings, false_coordinator = insider.client_settings(), FalseCoordinator(insider)
    for cancelled in (False, True):
        signed = asking.keygen(settings, f"unmade-{secrets.token_hex(4)}")
        request_id = signed.request.request_id
        if not cancelled:
            assert len((await false_coordinator.make_key(signed)).shares) == 3
            continue
        under_way = await lost(insider, victim.submit(signed), request_id, None)
        told = await victim.cancel(request_id)
        await outcome(under_way.task)
        assert told.final
        await false_coordinator.no_key(signed, CANCELLED)
