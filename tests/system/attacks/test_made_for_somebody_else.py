"""Keys that are true, and were made for another request, another tenant, or in other words."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from contracts.client import Client, ClientError
from contracts.identity import Identity
from contracts.keys import CertifiedKey
from contracts.primitives import Curve

from .adversary import Adversary
from .in_its_place import base, told

ADDED_IN_V2 = {"version", "tenant", "request_digest", "schemes", "origin"}
REQUEST_DIGEST = "request_digest is not what was asked for"


def as_certified(key: CertifiedKey, adversary: Adversary) -> dict[str, Any]:
    return key.model_dump(mode="json")


def as_v1(key: CertifiedKey, adversary: Adversary) -> dict[str, Any]:
    """Without whose it is, and certified again by all its parties, as they once did."""
    said = key.model_dump(mode="json")
    old = {name: said["facts"][name] for name in said["facts"] if name not in ADDED_IN_V2}
    facts = type(key.facts).model_validate(old, strict=False)
    certificates = {
        holder.party_id: facts.certify(adversary.stolen_key(holder.party_id))
        for holder in facts.holders
    }
    return CertifiedKey(facts=facts, certificates=certificates).model_dump(mode="json")


@pytest.mark.parametrize(
    ("claim", "tenant", "because"),
    [
        (as_certified, "alice", REQUEST_DIGEST),
        (as_certified, "mallory", "tenant is not what was asked for"),
        (as_v1, "alice", "neither tenant nor request"),
        (as_v1, "mallory", "neither tenant nor request"),
    ],
)
async def test_a_key_that_was_made_before_is_not_the_one_that_is_asked_for_now(
    victim: Client, adversary: Adversary, claim: Any, tenant: str, because: str
) -> None:
    """For another tenant; or for the same one by a request of before, whose key id it is to be."""
    name = f"twice-{secrets.token_hex(4)}"
    asked: dict[str, Any] = {"curve": Curve.ED25519, "threshold": 2, "party_count": 3}
    made = await victim.acting_for("alice").create_key(name, **asked)
    said = claim(made, adversary)
    heard = await told(
        adversary,
        victim,
        victim.acting_for(tenant).create_key(name, **asked),
        "keygen",
        lambda signed: base(
            signed,
            key_id=name,
            curve="ed25519",
            key=said,
            session_id=said["facts"]["session_id"],
        ),
    )
    assert heard.is_refused(adversary, because), heard
    assert isinstance(heard.outcome, ClientError) == (tenant == "alice")  # it has that name


async def test_a_key_that_is_known_with_its_tenant_is_not_shown_without(
    victim: Client, key_of_alice: CertifiedKey, adversary: Adversary
) -> None:
    alice, name = victim.acting_for("alice"), key_of_alice.facts.key_id
    old = as_v1(key_of_alice, adversary)
    heard = await told(
        adversary, victim, alice.keys(name), "query_keys", lambda signed: base(signed, keys=[old])
    )
    assert heard.is_refused(adversary, "certified with its tenant before")
    assert heard.outcome == [key_of_alice]


async def test_a_key_without_the_certificate_of_a_holder_is_not_shown(
    victim: Client, key_of_alice: CertifiedKey, adversary: Adversary
) -> None:
    """Facts of the coordinator's own, certified by two of three parties that are in league."""
    alice, name = victim.acting_for("alice"), key_of_alice.facts.key_id
    facts = key_of_alice.facts.model_copy(update={"chain_code": bytes(32)})
    signers = {each: adversary.stolen_key(each) for each in ("party-1", "party-2")}
    signers["party-3"] = Identity.generate()
    false = CertifiedKey(
        facts=facts,
        certificates={each: facts.certify(identity) for each, identity in signers.items()},
    ).model_dump(mode="json")
    heard = await told(
        adversary, victim, alice.keys(name), "query_keys", lambda signed: base(signed, keys=[false])
    )
    assert heard.is_refused(adversary, "wrong signature"), heard
    assert heard.outcome == [key_of_alice]
