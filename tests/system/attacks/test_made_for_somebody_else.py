"""Keys that are true, and were made for another request, another tenant, or in other words."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from contracts import addresses
from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve

from .adversary import Adversary
from .in_its_place import base, told

ADDED_IN_V2 = {"version", "tenant", "request_digest", "schemes", "origin"}


def as_certified(key: CertifiedKey) -> dict[str, Any]:
    return key.model_dump(mode="json")


def as_v1(key: CertifiedKey) -> dict[str, Any]:
    """Without whose it is."""
    said = key.model_dump(mode="json")
    said["facts"] = {name: said["facts"][name] for name in said["facts"] if name not in ADDED_IN_V2}
    return said


@pytest.mark.parametrize("claim", [as_certified, as_v1])
@pytest.mark.parametrize("tenant", ["mallory", "alice"])
async def test_a_key_that_was_made_before_is_not_the_one_that_is_asked_for_now(
    victim: Client, adversary: Adversary, claim: Any, tenant: str
) -> None:
    """For another tenant; or for the same one by a request of before, whose key id it is to be."""
    name = f"twice-{secrets.token_hex(4)}"
    asked: dict[str, Any] = {"curve": Curve.ED25519, "threshold": 2, "party_count": 3}
    made = await victim.acting_for("alice").create_key(name, **asked)
    said = claim(made)
    believed = await told(
        adversary,
        victim.acting_for(tenant).create_key(name, **asked),
        "keygen",
        lambda signed: base(
            signed,
            key_id=name,
            curve="ed25519",
            key=said,
            session_id=said["facts"]["session_id"],
        ),
        queue=addresses.KEYGEN_QUEUE,
    )
    assert isinstance(believed, ClientError) or believed.facts.session_id != made.facts.session_id
