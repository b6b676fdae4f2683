"""Results of reshares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import results as models
from ...epochs import sign_dealt
from ...keys import EpochBundle, KeyFacts, Origin
from ...readiness import Readiness, RoleAnswer
from ...signing import sign_request
from .. import spoken
from ..hands import CLIENT, ED25519, NOW, PARTIES, SECP256K1, STRANGER, certified
from ..proven import anew, reshared
from .deliveries import ANOTHERS, DISBELIEVED, Changes, Delivery, base, changed

DEALERS = ("p1", "p2")


def reshares() -> Sequence[Delivery]:
    asked = spoken.signed("reshare", **spoken.RESHARE)
    session_id = reshared().session_id
    facts = anew(request_digest=asked.digest)

    def bundle(made: KeyFacts = facts, **changes: Any) -> EpochBundle:
        given: dict[str, Any] = {
            "request": asked.body,
            "request_signature": asked.signature,
            "predecessor": ED25519.certified(),
            "key": certified(made),
            "possessions": {holder.party_id: bytes(64) for holder in made.holders},
            "dealt": {name: sign_dealt(made, PARTIES[name]) for name in DEALERS},
        }
        return EpochBundle(**(given | changes))

    def of(**changes: Any) -> tuple[dict[str, Any], str]:
        """With other facts, which all have signed."""
        return {"bundle": bundle(anew(**({"request_digest": asked.digest} | changes)))}, DISBELIEVED

    def with_(**changes: Any) -> tuple[dict[str, Any], str]:
        return {"bundle": bundle(**changes)}, DISBELIEVED

    def told(**changes: Any) -> dict[str, Any]:
        return {**reshared().model_dump(), **changes}

    good = models.ReshareResult(
        **base(asked, session_id=session_id),
        key_id="ed25519",
        bundle=bundle(),
        signs_from=NOW + 30_000,
    )
    other = spoken.signed("reshare", **{**spoken.RESHARE, "request_id": "r2"})
    stranger = sign_request(
        asked.request.model_copy(update={"signer": STRANGER.public.der}), STRANGER
    )
    key = certified(facts)
    two = sign_dealt(facts, PARTIES["p1"])
    changes: Changes = {
        **ANOTHERS,
        "without the epoch": ({"bundle": None}, DISBELIEVED),
        "without the time": ({"signs_from": None}, DISBELIEVED),
        "of another key": ({"key_id": "secp256k1"}, DISBELIEVED),
        "of another session": ({"session_id": bytes(32)}, DISBELIEVED),
        "for another request": with_(request=other.body, request_signature=other.signature),
        "for a stranger's request": with_(
            request=stranger.body, request_signature=stranger.signature
        ),
        "for a request that nobody signed": with_(
            request_signature=CLIENT.sign(b"another tag", asked.body)
        ),
        "from another key": with_(predecessor=SECP256K1.certified()),
        "from what was not certified": with_(
            predecessor=ED25519.certified().model_copy(update={"certificates": {}})
        ),
        "that a new holder did not certify": with_(
            key=key.model_copy(update={"certificates": {"p1": key.certificates["p1"]}})
        ),
        "that a new holder did not prove": with_(possessions={"p1": bytes(64)}),
        "that a dealer did not sign": with_(dealt={"p1": two}),
        "that a dealer signed as another": with_(dealt={"p1": two, "p2": two}),
        "of other dealers": with_(dealt={"p1": two, "p3": sign_dealt(facts, PARTIES["p3"])}),
        "of one dealer twice": of(reshared=told(dealers=["p1", "p1"])),
        "dealt by one of no share": of(reshared=told(dealers=["p1", "p4"])),
        "from an epoch of another digest": of(reshared=told(predecessor=bytes(32))),
        "of the first shares": of(version=2, epoch=0, reshared=None),
        "of another epoch": of(epoch=3),
        "of another threshold": of(threshold=1 + len(spoken.RESHARE["parties"])),
        "of other parties": of(holders=ED25519.facts().holders),
        "of another public key": of(public_key=ED25519.child(bytes(31) + b"\1").public_key),
        "of another chain code": of(chain_code=bytes(32)),
        "of another origin": of(origin=Origin.IMPORTED),
        "a tenant's": of(tenant="alice"),
        "another client's key": of(client_id="svcB"),
    }
    return [*changed("other shares", asked, good, changes), *_announced()]


def rehearsals() -> Sequence[Delivery]:
    """What in them is signed is counted, and none is refused for what is not."""
    asked = spoken.signed("rehearse", **spoken.RESHARE)
    answer = Readiness.signed(
        PARTIES["p1"],
        "p1",
        request_digest=asked.digest,
        roles=[RoleAnswer(deals=True, receives=True)],
        at=NOW,
    )
    good = models.RehearseResult(
        **base(asked, session_id=None), key_id="ed25519", answers=[answer], silent=["p2", "p3"]
    )
    changes: Changes = {**ANOTHERS, "of another key": ({"key_id": "secp256k1"}, DISBELIEVED)}
    return changed("a rehearsal", asked, good, changes)


def _announced() -> Sequence[Delivery]:
    """The session that was announced is not the one that made the epoch where that was a later
    try."""
    asked = spoken.signed("reshare", **{**spoken.RESHARE, "announce": True})
    facts = anew(request_digest=asked.digest)
    good = models.ReshareResult(
        **base(asked, session_id=bytes([1]) * 32),
        key_id="ed25519",
        bundle=EpochBundle(
            request=asked.body,
            request_signature=asked.signature,
            predecessor=ED25519.certified(),
            key=certified(facts),
            possessions={holder.party_id: bytes(64) for holder in facts.holders},
            dealt={name: sign_dealt(facts, PARTIES[name]) for name in DEALERS},
        ),
        signs_from=NOW + 30_000,
    )
    changes: Changes = {"of another key": ({"key_id": "secp256k1"}, DISBELIEVED)}
    return changed("other shares in a session that was announced", asked, good, changes)
