"""A signing session with presignatures, by parties 1 and 3, for a test to change one thing in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts import sessions
from contracts.primitives import Curve
from contracts.requests import SignRequest
from contracts.sessions import PresignaturesUsed, SessionCreated
from contracts.signing import SignedRequest, sign_request
from contracts.terms import Member, SessionTerms
from tests.protocols.simulate import coins
from tests.session.builders import (
    CLIENT,
    LIFETIME_MS,
    NOW,
    accepted_by,
    created,
    facts,
    key_record,
    member,
    party,
    report_in,
    signing_request,
    terms,
    unsealed,
)
from tests.session.presigners import Run, sent
from workers.protocols.rounds import PartyIndex
from workers.session.coordinator.combining import combine_ecdsa
from workers.session.coordinator.conduct import Conduct, Presigned
from workers.session.party import presigned
from workers.session.party.acceptance import Accepted
from workers.session.party.step import Step
from workers.store.records import PresignatureRecord

CURVE = Curve.SECP256K1.value
DIGEST = coins("what is signed")
Place = tuple[str, int]
"""A batch's seed and a position in it."""


@functools.cache
def batch(seed: str = "run", signers: tuple[int, ...] = (1, 3)) -> Run:
    """Three presignatures. The tests sign many things with each; nobody else may."""
    return sent(4, count=3, seed=seed, signers=signers)


def record(i: int, place: Place, signers: tuple[int, ...] = (1, 3)) -> PresignatureRecord:
    seed, position = place
    return batch(seed, signers).presignatures(f"party-{i}")[position]


@dataclass(frozen=True)
class EcdsaSigning:
    """As everybody in the session sees it.

    Attributes:
        places: Of the presignatures that it uses up, one for each message.
    """

    request: SignRequest
    signed: SignedRequest
    terms: SessionTerms
    places: tuple[Place, ...]

    def conduct(self) -> Conduct:
        return Conduct(
            request=self.request,
            terms=self.terms,
            join_secret=coins("join secret"),
            deadline=NOW + LIFETIME_MS,
            facts=facts(CURVE),
            presignatures=self.presigned(),
        )

    def presigned(self) -> list[Presigned]:
        made = []
        for seed, position in self.places:
            run = batch(seed)
            point = run.points()["party-1"][position]
            made.append(Presigned(batch=run.batch.session_id, position=position, point=point))
        return made

    def created(self, **changes: Any) -> SessionCreated:
        used = [PresignaturesUsed(batch=p.batch, positions=[p.position]) for p in self.presigned()]
        return created(self.signed, self.terms, **({"presignatures": used} | changes))

    def accepted(self, i: int, **changes: Any) -> Accepted:
        return accepted_by(self.created(**changes), i)

    def records(self, i: int) -> tuple[PresignatureRecord, ...]:
        return tuple(record(i, place) for place in self.places)

    def answer(self, i: int, **changes: Any) -> Step:
        """Party i's answer, with other arguments than the right ones where asked for."""
        given: dict[str, Any] = {
            "accepted": self.accepted(i),
            "key_share": key_record(i, CURVE),
            "presignatures": self.records(i),
        } | changes
        return presigned.answer(
            given["accepted"], party(i), given["key_share"], given["presignatures"]
        )

    def share(self, i: int, **changes: Any) -> sessions.ShareSigned:
        """Party i's report."""
        signed = report_in(self.answer(i, **changes).outgoing[0])
        assert isinstance(signed, sessions.ShareSigned)
        return signed

    def own_shares(self, i: int, **changes: Any) -> list[bytes]:
        """What is in it, as the coordinator reads it."""
        return unsealed(self.share(i, **changes), i, self.terms)

    def shares(self) -> dict[PartyIndex, Sequence[bytes]]:
        return {PartyIndex(i): self.own_shares(i) for i in (1, 3)}

    def combine(self, shares: dict[PartyIndex, Sequence[bytes]], **changes: Any) -> Any:
        given: dict[str, Any] = {
            "request": self.request,
            "presignatures": self.presigned(),
            "session_id": self.terms.session_id(),
            "request_digest": self.signed.digest,
        } | changes
        return combine_ecdsa(
            facts(CURVE),
            given["request"],
            given["presignatures"],
            shares,
            session_id=given["session_id"],
            request_digest=given["request_digest"],
        )


def ecdsa_session(
    *places: Place,
    members: Sequence[Member] | None = None,
    terms_changes: dict[str, Any] | None = None,
    **fields: Any,
) -> EcdsaSigning:
    """
    Arguments:
        places: Of the presignatures; position 0 of the first batch unless given.
        fields: Of the request.
    """
    request = signing_request(**({"scheme": "ecdsa", "message": DIGEST} | fields))
    signed = sign_request(request, CLIENT)
    return EcdsaSigning(
        request=request,
        signed=signed,
        terms=terms(
            signed,
            [member(1), member(3)] if members is None else members,
            **({"threshold": 2} | (terms_changes or {})),
        ),
        places=places or (("run", 0),),
    )


ITEMS: list[dict[str, Any]] = [
    {"message": coins("first"), "derivation_path": None},
    {"message": coins("second"), "derivation_path": "m/44/60/0/0/7"},
    {"message": coins("second"), "derivation_path": "m/0"},
    {"message": bytes(32), "derivation_path": "m/2147483647"},
]
LIST_PLACES: tuple[Place, ...] = (("run", 2), ("run", 0), ("second", 1), ("run", 1))


def list_session(**fields: Any) -> EcdsaSigning:
    """Four messages, by presignatures of two batches in no order."""
    return ecdsa_session(*LIST_PLACES, **({"message": None, "items": ITEMS} | fields))
