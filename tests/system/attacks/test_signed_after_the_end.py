"""The bytes of a request that is over, in a session of somebody else's."""

from __future__ import annotations

import secrets

from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment

from . import asking
from .adversary import Adversary, is_report
from .false_coordinator import ANSWER_S, FalseCoordinator, every_signer_set
from .forms import said_final
from .under_way import lost, outcome


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
    under_way = await lost(adversary, call, "sign", request_id)
    told = await victim.cancel(request_id)
    assert isinstance(await outcome(under_way.task), ClientError)
    assert said_final(told)
    for signers in every_signer_set(stack):
        assert await false_coordinator.sign(under_way.signed, key.facts, signers) is None


async def test_what_expired_and_was_asked_about_is_signed_by_nobody(
    stack: Deployment,
    victim: Client,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    request_id = f"expired-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        timeout_s=2,
    )
    under_way = await lost(adversary, call, "sign", request_id)
    assert isinstance(await outcome(under_way.task), ClientError)
    told = await victim.cancel(request_id)
    assert said_final(told)
    for signers in every_signer_set(stack):
        assert await false_coordinator.sign(under_way.signed, key.facts, signers) is None


async def test_a_key_that_was_cancelled_is_made_by_nobody(
    stack: Deployment,
    victim: Client,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    request_id = f"unmade-{secrets.token_hex(4)}"
    call = victim.create_key(
        request_id, curve=Curve.ED25519, threshold=2, party_count=3, request_id=request_id
    )
    under_way = await lost(adversary, call, "keygen", request_id)
    told = await victim.cancel(request_id)
    assert isinstance(await outcome(under_way.task), ClientError)
    assert said_final(told)
    session = false_coordinator.keygen(under_way.signed)
    await false_coordinator.invite(session, {})
    certified = is_report("key_certified", session.session_id)
    assert await adversary.recording.count(certified, 1, ANSWER_S) == []
