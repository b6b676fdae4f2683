"""A request of one tenant, signed as it should be, and another tenant's key under it."""

from __future__ import annotations

from contracts.client import Client
from contracts.keys import CertifiedKey
from ops.stack.deployment import Deployment

from . import asking
from .adversary import Adversary
from .false_coordinator import FalseCoordinator, every_signer_set
from .in_its_place import base, told


async def test_no_party_signs_mallorys_request_with_the_key_of_alice(
    stack: Deployment,
    key_of_alice: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    facts = key_of_alice.facts
    for signers in every_signer_set(stack):
        signed = asking.sign(adversary.client_settings(), facts.key_id, tenant="mallory")
        assert await false_coordinator.sign(signed, facts, signers) is None


async def test_no_party_signs_a_request_of_no_tenant_with_a_tenants_key(
    stack: Deployment,
    key_of_alice: CertifiedKey,
    adversary: Adversary,
    false_coordinator: FalseCoordinator,
) -> None:
    facts = key_of_alice.facts
    signed = asking.sign(adversary.client_settings(), facts.key_id)
    assert await false_coordinator.sign(signed, facts, every_signer_set(stack)[0]) is None


async def test_a_tenant_is_not_shown_the_key_of_another_as_its_own(
    victim: Client, key_of_alice: CertifiedKey, adversary: Adversary
) -> None:
    """A page of certified keys, true but for whose they are."""
    page = [key_of_alice.model_dump(mode="json")]
    believed = await told(
        adversary,
        victim.acting_for("mallory").keys(),
        "query_keys",
        lambda signed: base(signed, keys=page),
    )
    assert believed == []
