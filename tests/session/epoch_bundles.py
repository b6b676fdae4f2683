"""Bundles of new epochs, honest and forged: all that a forger could sign is signed anew."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from contracts.epochs import sign_dealt
from contracts.identity import Identity
from contracts.keys import CertifiedKey, EpochBundle, Holder, KeyFacts, Origin, Resharing
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.signing import REQUEST_TAG
from tests.contracts.samples import CLIENT
from tests.protocols.reshare_parties import Committee, undisturbed
from tests.protocols.simulate import coins, index, random_key
from workers.protocols import proofs
from workers.protocols.groups import Scalar, group_by_name
from workers.protocols.key_share import KeyShare
from workers.protocols.reshare.steps import possession_context
from workers.protocols.rounds import PartyIndex

IDENTITIES = {f"p{number}": Identity.generate() for number in range(1, 7)}
PINNED = {name: identity.public for name, identity in IDENTITIES.items()}
OWNERS = (CLIENT.public,)
OLD_PARTIES = ("p1", "p2", "p3")
NEW_PARTIES = ("p4", "p5", "p2", "p6")
DEALERS = ("p2", "p3")
FROM_EPOCH, TO_EPOCH = 3, 5


@cache
def old_shares(curve: Curve) -> Mapping[PartyIndex, KeyShare]:
    """2 of 3."""
    return random_key(group_by_name(curve.value), 2, 3, "an epoch")


@cache
def new_shares(curve: Curve) -> Mapping[PartyIndex, KeyShare]:
    """3 of 4: dealt by the second and third, of whom the second stays as the new third."""
    committee = Committee(dealers=(2, 3), receivers=(0, 0, 2, 0), threshold=3)
    return undisturbed(old_shares(curve), committee.members(), 3)


def holders(parties: tuple[str, ...], shares: Mapping[PartyIndex, KeyShare]) -> list[Holder]:
    public = shares[index(1)].public_shares
    return [
        Holder(
            party_id=party_id,
            identity=IDENTITIES[party_id].public.der,
            public_share=public[index(i)].to_bytes(),
        )
        for i, party_id in enumerate(parties, start=1)
    ]


def old_facts(curve: Curve, **changes: Any) -> KeyFacts:
    share = old_shares(curve)[index(1)]
    given: dict[str, Any] = {
        "version": 3,
        "client_id": "svcA",
        "tenant": "alice",
        "key_id": "treasury",
        "session_id": coins("key generation"),
        "epoch": FROM_EPOCH,
        "curve": curve,
        "threshold": 2,
        "public_key": share.public_key.to_bytes(),
        "chain_code": share.chain_code,
        "holders": holders(OLD_PARTIES, old_shares(curve)),
        "transcript_digest": coins("old transcript"),
        "request_digest": coins("old request"),
        "origin": Origin.GENERATED,
        "reshared": Resharing(
            session_id=coins("an earlier reshare"),
            predecessor=coins("an earlier epoch"),
            dealers=["p1", "p2"],
        ),
    }
    return KeyFacts(**given | changes)


def certified(facts: KeyFacts) -> CertifiedKey:
    return CertifiedKey(
        facts=facts,
        certificates={
            holder.party_id: facts.certify(IDENTITIES[holder.party_id]) for holder in facts.holders
        },
    )


def request(known: KeyFacts, signer: Identity = CLIENT, **changes: Any) -> ReshareRequest:
    now = time.time_ns() // 1_000_000
    given: dict[str, Any] = {
        "request_id": "reshare-1",
        "client_id": "svcA",
        "tenant": "alice",
        "signer": signer.public.der,
        "issued_at": now,
        "expires_at": now + 60_000,
        "reply_to": "reply",
        "key_id": known.key_id,
        "public_key": known.public_key,
        "from_epoch": known.epoch,
        "first_epoch": known.epoch + 1,
        "tries": 4,
        "threshold": 3,
        "parties": sorted(NEW_PARTIES),
    }
    return ReshareRequest(**given | changes)


@dataclass(frozen=True)
class Forger:
    """Whoever holds every identity but the owner's can sign whatever it likes.

    Attributes:
        known: The epoch that its bundle comes from.
        asked: Changes to the owner's request, which is signed by `signer`.
        facts: Changes to the new facts, which everybody certifies then.
        secrets: The new shares that it knows, by party id.
    """

    curve: Curve = Curve.SECP256K1
    known: KeyFacts | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    signer: Identity = CLIENT
    facts: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Scalar] | None = None

    @property
    def predecessor(self) -> KeyFacts:
        return self.known or old_facts(self.curve)

    def bundle(self, **changes: Any) -> EpochBundle:
        """With some of its own fields changed after all that was signed."""
        known = self.predecessor
        body = request(known, self.signer, **self.asked).model_dump_json().encode()
        key = certified(self.new_facts(body))
        statement = key.facts.statement()
        dealers = key.facts.reshared.dealers if key.facts.reshared else []
        given: dict[str, Any] = {
            "request": body,
            "request_signature": self.signer.sign(REQUEST_TAG, body),
            "predecessor": certified(known),
            "key": key,
            "possessions": {
                holder.party_id: self.possession(holder.party_id, j, statement)
                for j, holder in enumerate(key.facts.holders, start=1)
            },
            "dealt": {dealer: sign_dealt(key.facts, IDENTITIES[dealer]) for dealer in dealers},
        }
        return EpochBundle(**given | changes)

    def new_facts(self, body: bytes) -> KeyFacts:
        known, shares = self.predecessor, new_shares(self.curve)
        given = {name: getattr(known, name) for name in KeyFacts.model_fields}
        given |= {
            "version": 3,
            "epoch": TO_EPOCH,
            "threshold": 3,
            "holders": holders(NEW_PARTIES, shares),
            "transcript_digest": coins("new transcript"),
            "request_digest": hashlib.sha256(body).digest(),
            "reshared": Resharing(
                session_id=coins("reshare"), predecessor=known.digest(), dealers=list(DEALERS)
            ),
            "origin": known.origin or Origin.GENERATED,
        }
        return KeyFacts(**{**given, **self.facts})

    def possession(self, party_id: str, j: int, statement: bytes) -> bytes:
        """Of the share that it knows; of one that it does not know, something."""
        group = group_by_name(self.curve.value)
        shares = new_shares(self.curve)
        own = {p: shares[index(at)].secret_share for at, p in enumerate(NEW_PARTIES, start=1)}
        secret = (own if self.secrets is None else self.secrets).get(party_id, group.scalar(1))
        context = possession_context(statement, index(j))
        public = secret * group.generator
        return proofs.prove(secret, public, context, coins("possession")).to_bytes()

    def saying(self, **facts: Any) -> Forger:
        return replace(self, facts={**self.facts, **facts})

    def asking(self, **asked: Any) -> Forger:
        return replace(self, asked={**self.asked, **asked})
