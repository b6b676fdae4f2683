"""Results of key generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import results as models
from ...keys import CertifiedKey, Origin, Resharing
from ...primitives import Curve, Scheme
from .. import spoken
from ..hands import ED25519, SECP256K1
from .deliveries import ANOTHERS, DISBELIEVED, Changes, Delivery, base, changed


def keys() -> Sequence[Delivery]:
    asked = spoken.signed("keygen", **spoken.KEYGEN)
    facts: dict[str, Any] = {"key_id": "treasury", "request_digest": asked.digest}

    def made(**changes: Any) -> dict[str, Any]:
        return {"key": ED25519.certified(**{**facts, **changes})}

    good = models.KeygenResult(**base(asked), key_id="treasury", curve=Curve.ED25519, **made())
    key = ED25519.certified(**facts)
    missing = key.model_copy(update={"certificates": dict(list(key.certificates.items())[:2])})
    two = ED25519.facts().holders[:2]
    first = old(key_id="treasury")
    anew = Resharing(session_id=bytes([9]) * 32, predecessor=bytes(32), dealers=["p1", "p2"])
    changes: Changes = {
        **ANOTHERS,
        "without the key": ({"key": None}, DISBELIEVED),
        "a certificate is missing": ({"key": missing}, DISBELIEVED),
        "of another name": (made(key_id="other"), DISBELIEVED),
        "with another name beside it": ({"key_id": "other"}, DISBELIEVED),
        "of another request's key": (made(request_digest=bytes(32)), DISBELIEVED),
        "a tenant's": (made(tenant="alice"), DISBELIEVED),
        "another client's key": (made(client_id="svcB"), DISBELIEVED),
        "of another session": (made(session_id=bytes(32)), DISBELIEVED),
        "of another curve": (
            {"key": SECP256K1.certified(**facts)},
            DISBELIEVED,
        ),
        "of a higher threshold": (made(threshold=3), DISBELIEVED),
        "of fewer parties": (made(holders=two), DISBELIEVED),
        "for one scheme that nobody asked for": (made(schemes=[Scheme.ED25519]), DISBELIEVED),
        "imported": (made(origin=Origin.IMPORTED), DISBELIEVED),
        "of version 1": ({"key": first}, DISBELIEVED),
        "of shares that were made anew": (made(version=3, epoch=1, reshared=anew), DISBELIEVED),
    }
    named = spoken.signed("keygen", **{**spoken.KEYGEN, "parties": ["p1", "p2", "p4"]})
    elsewhere = models.KeygenResult(
        **base(named),
        key_id="treasury",
        curve=Curve.ED25519,
        key=ED25519.certified(key_id="treasury", request_digest=named.digest),
    )
    return [
        *changed("a key", asked, good, changes),
        Delivery(
            name="a key: of other parties than those that were named",
            asked=named,
            body=elsewhere.model_dump_json().encode(),
            refused=DISBELIEVED,
        ),
    ]


def old(**changes: Any) -> CertifiedKey:
    """Of the first version: it does not say whose request it was made for."""
    return ED25519.certified(version=1, request_digest=None, origin=None, **changes)
