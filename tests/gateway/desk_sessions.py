"""Sessions of a desk's double, and what reshares among them come to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from contracts.client import Rehearsal
from contracts.epochs import sign_dealt
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.keys import CertifiedKey, EpochBundle, Holder, KeyFacts, Resharing
from contracts.primitives import Status
from contracts.readiness import Readiness, RoleAnswer
from contracts.requests import RehearseRequest
from contracts.results import QuerySessionResult, ReshareResult, SessionResult
from contracts.terms import ReshareMember, ReshareTerms
from contracts.views import SessionEvent, SessionView
from gateway.opening import NewShares

from ..contracts.samples import fields

PARTIES = {f"party-{number}": Identity.generate() for number in range(1, 6)}
CREATED_AT = 1_763_705_640_000
LIFETIME_MS = 60_000


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


@dataclass
class Running:
    """A session of the double."""

    view: SessionView
    asked: dict[str, Any]
    outcome: SessionResult | None = None
    changes: list[QuerySessionResult] = field(default_factory=list)

    def add(
        self,
        event: str,
        party_id: str | None = None,
        *,
        details: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> None:
        events = [
            *self.view.events,
            SessionEvent(
                sequence=len(self.view.events) + 1,
                at=CREATED_AT + len(self.view.events),
                event=event,
                party_id=party_id,
                details=dict(details),
            ),
        ]
        self.view = self.view.model_copy(update={"events": events, **changes})
        self.changes.append(self.looked())

    def looked(self) -> QuerySessionResult:
        return QuerySessionResult(
            request_id="query",
            client_id="gateway",
            session_id=self.view.session_id,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=CREATED_AT,
            session=self.view,
            outcome=self.outcome,
        )


def reshare_terms(asked: Mapping[str, Any]) -> ReshareTerms:
    facts: KeyFacts = asked["facts"]
    parties: list[str] = asked["parties"]
    old = {holder.party_id: i for i, holder in enumerate(facts.holders, start=1)}
    return ReshareTerms(
        request_digest=bytes(32),
        key_session=facts.session_id,
        predecessor=facts.digest(),
        epoch=asked["epoch"],
        threshold=asked["threshold"],
        members=[
            ReshareMember(
                party_id=name,
                index=place,
                identity=PARTIES[name].public.der,
                deals_as=old[name] if name in asked["dealers"] else None,
                receives_as=parties.index(name) + 1 if name in parties else None,
            )
            for place, name in enumerate(dict.fromkeys([*asked["dealers"], *parties]), start=1)
        ],
        salt=bytes(32),
    )


def reshare_result(running: Running, before: CertifiedKey) -> ReshareResult:
    """What comes of it, dealt from the key as it was."""
    view, asked = running.view, running.asked
    parties, dealers = asked["parties"], asked["dealers"]
    changes = {
        "version": 3,
        "epoch": asked["epoch"],
        "threshold": view.threshold,
        "holders": [
            Holder(
                party_id=name,
                identity=PARTIES[name].public.der,
                public_share=before.facts.public_key,
            )
            for name in parties
        ],
        "reshared": Resharing(
            session_id=view.session_id, predecessor=before.facts.digest(), dealers=dealers
        ),
    }
    facts = before.facts.model_copy(update=changes)
    bundle = EpochBundle(
        request=b"{}",
        request_signature=b"",
        predecessor=before,
        key=CertifiedKey(
            facts=facts, certificates={name: facts.certify(PARTIES[name]) for name in parties}
        ),
        possessions=dict.fromkeys(parties, bytes(64)),
        dealt={name: sign_dealt(facts, PARTIES[name]) for name in dealers},
    )
    return ReshareResult(
        request_id=view.request_id,
        client_id="gateway",
        session_id=view.session_id,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=CREATED_AT,
        key_id=view.key_id,
        bundle=bundle,
        signs_from=CREATED_AT + 30_000,
    )


def rehearsal(
    facts: KeyFacts, wanted: NewShares, *, declining: Collection[str], away: Collection[str]
) -> Rehearsal:
    """What the client library makes of the parties' answers."""
    request = RehearseRequest(
        **fields(
            "rehearse",
            key_id=facts.key_id,
            public_key=facts.public_key,
            from_epoch=facts.epoch,
            **{name: each for name, each in asdict(wanted).items() if name != "delete_after"},
        )
    )
    names = [*(holder.party_id for holder in facts.holders), *wanted.parties]
    no: dict[str, Any] = {"refused": FailureCode.PARTY_REFUSED, "message": "we have lost our share"}
    body = request.model_dump_json().encode()
    return Rehearsal(
        request=request,
        body=body,
        before=facts,
        answers={
            name: Readiness(
                party_id=name,
                request_digest=hashlib.sha256(body).digest(),
                roles=[
                    RoleAnswer(deals=True, receives=True, **(no if name in declining else {})),
                ],
                at=CREATED_AT,
                signature=b"",
            )
            for name in names
            if name not in away
        },
    )
