"""A request of one tenant, signed as it should be, and another tenant's key under it."""

from __future__ import annotations

from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from ops.stack.deployment import Deployment

from . import asking
from .adversary import Adversary
from .false_coordinator import FalseCoordinator, every_signer_set
from .in_its_place import base, told

REFUSAL = "another owner's key"


async def test_no_party_signs_mallorys_request_with_the_key_of_alice(
    stack: Deployment,
    key_of_alice: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    facts, settings = key_of_alice.facts, adversary.client_settings()
    for signers in every_signer_set(stack):
        own = asking.sign(settings, facts.key_id, tenant="alice")
        assert (await false_coordinator.sign(own, facts, signers)).item or (
            not adversary.is_coordinator
        )
        mallorys = asking.sign(settings, facts.key_id, tenant="mallory")
        await false_coordinator.refused(mallorys, facts, signers, REFUSAL)


async def test_no_party_signs_a_request_of_no_tenant_with_a_tenants_key(
    stack: Deployment,
    key_of_alice: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    facts = key_of_alice.facts
    signed = asking.sign(adversary.client_settings(), facts.key_id)
    await false_coordinator.refused(signed, facts, every_signer_set(stack)[0], REFUSAL)


async def test_no_party_signs_a_tenants_request_with_its_clients_own_key(
    stack: Deployment,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    signed = asking.sign(adversary.client_settings(), key.facts.key_id, tenant="alice")
    await false_coordinator.refused(signed, key.facts, every_signer_set(stack)[0], REFUSAL)


async def test_no_party_signs_another_clients_request_with_a_key_of_the_same_name(
    stack: Deployment,
    key: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    signed = asking.sign(adversary.client_settings("svcB"), key.facts.key_id)
    await false_coordinator.refused(signed, key.facts, every_signer_set(stack)[0], REFUSAL)


async def test_a_tenant_is_not_shown_the_key_of_another_as_its_own(
    victim: Client, key_of_alice: CertifiedKey, adversary: Adversary
) -> None:
    """A page of certified keys, true but for whose they are."""
    page = [key_of_alice.model_dump(mode="json")]
    own = await told(
        adversary,
        victim,
        victim.acting_for("alice").keys(),
        "query_keys",
        lambda signed: base(signed, keys=page),
    )
    assert not isinstance(own.outcome, ClientError)
    assert key_of_alice in own.outcome
    others = await told(
        adversary,
        victim,
        victim.acting_for("mallory").keys(),
        "query_keys",
        lambda signed: base(signed, keys=page),
    )
    assert others.is_refused(adversary, "belongs to another tenant")
    assert others.outcome == []
