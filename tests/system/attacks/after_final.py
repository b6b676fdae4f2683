"""Everything that was said, the coordinator's key, and all that is public: is there a signature?"""

from __future__ import annotations

import base64
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from contracts import sessions
from contracts.identity import PublicIdentity
from contracts.keys import KeyFacts
from contracts.primitives import Contract, Scheme
from contracts.requests import ADAPTER, SignRequest
from contracts.results import SignedItem
from contracts.sessions import NonceCommitment, PresignaturesUsed
from contracts.signing import SignedRequest
from contracts.terms import SessionTerms
from workers.protocols.rounds import PartyIndex, ProtocolError
from workers.session.coordinator.combining import combine_ecdsa, combine_frost

from .adversary import Adversary, is_instruction, is_report
from .false_coordinator import FalseCoordinator, Point
from .forms import Forms, Wire, envelope

ContractT = TypeVar("ContractT", bound=Contract)


async def nothing_comes(
    false_coordinator: FalseCoordinator, insider: Adversary, signed: SignedRequest, facts: KeyFacts
) -> None:
    """Fails if any signers give more than a refusal, or if a signature can be put together of all
    that was said. To be asked after a cancel that was final."""
    names = [holder.party_id for holder in facts.holders]
    for signers in itertools.combinations(names, facts.threshold):
        await false_coordinator.refused(signed, facts, signers, "the request was cancelled")
    assembly = Assembly(await insider.until_now(), insider.forms, insider.parties)
    assert assembly.signatures(signed.request.request_id, facts) == []


@dataclass(slots=True)
class Overheard:
    """What one recording tells of one signing session."""

    terms: SessionTerms
    request: SignRequest
    commitments: list[NonceCommitment]
    used: list[PresignaturesUsed]
    shares: dict[str, list[bytes]] = field(default_factory=dict)


class Assembly:
    """
    Arguments:
        forms: With the coordinator's key, to read what is sealed to it.
        parties: Their public identities.
    """

    def __init__(
        self, heard: Iterable[Wire], forms: Forms, parties: Mapping[str, PublicIdentity]
    ) -> None:
        self._forms = forms
        self._parties = parties
        self._sessions: dict[bytes, Overheard] = {}
        self._points: defaultdict[bytes, set[tuple[bytes, ...]]] = defaultdict(set)
        heard = list(heard)
        for wire in filter(is_instruction("session_created"), heard):
            self._invitation(wire)
        for wire in filter(is_report("share_signed"), heard):
            self._report(wire)
        for wire in filter(is_report("presignatures_made"), heard):
            made = sessions.PresignaturesMade.model_validate_json(envelope(wire).payload)
            self._points[envelope(wire).session_id].add(tuple(made.points))

    def signatures(self, request_id: str, facts: KeyFacts) -> list[SignedItem]:
        """All that can be put together for a request, in whichever sessions and by whichever
        signers; whoever's."""
        return [
            item
            for session_id, session in self._together().items()
            if session.request.request_id == request_id
            and session.terms.key_session == facts.session_id
            for item in self._combined(session_id, session, facts)
        ]

    def _together(self) -> dict[bytes, Overheard]:
        """A share of FROST says nothing of its session: those of several add up, where signers,
        nonces and message are the same. Not so in ECDSA."""
        found: dict[bytes, Overheard] = {}
        alike: dict[tuple[object, ...], Overheard] = {}
        for session_id, session in self._sessions.items():
            if session.request.scheme is Scheme.ECDSA:
                found[session_id] = session
                continue
            what = (
                session.terms.key_session,
                session.terms.request_digest,
                tuple(member.party_id for member in session.terms.members),
                tuple(each.commitment for each in session.commitments),
            )
            if (first := alike.get(what)) is None:
                alike[what] = found[session_id] = replace(session, shares=dict(session.shares))
            else:
                first.shares.update(session.shares)
        return found

    def _invitation(self, wire: Wire) -> None:
        said = wire.json()
        terms = SessionTerms.model_validate_json(json.dumps(said["terms"]))
        request = ADAPTER.validate_json(base64.b64decode(said["request"]))
        if isinstance(request, SignRequest):
            self._sessions[bytes.fromhex(said["session_id"])] = Overheard(
                terms,
                request,
                [_parsed(NonceCommitment, each) for each in said["commitments"]],
                [_parsed(PresignaturesUsed, each) for each in said.get("presignatures", ())],
            )

    def _report(self, wire: Wire) -> None:
        report = envelope(wire)
        session = self._sessions.get(report.session_id)
        shares = self._forms.shares(report, self._parties[report.sender])
        if session is not None and shares is not None:
            session.shares[report.sender] = shares

    def _combined(
        self, session_id: bytes, session: Overheard, facts: KeyFacts
    ) -> Iterator[SignedItem]:
        members = {each.party_id: PartyIndex(each.index) for each in session.terms.members}
        if set(session.shares) != set(members):
            return
        shares = {members[party_id]: own for party_id, own in session.shares.items()}
        try:
            if session.request.scheme is Scheme.ECDSA:
                yield from combine_ecdsa(
                    facts,
                    session.request,
                    self._presignatures(session),
                    shares,
                    session_id=session_id,
                    request_digest=session.terms.request_digest,
                )
            else:
                commitments = {
                    PartyIndex(member.index): each.commitment
                    for member, each in zip(session.terms.members, session.commitments, strict=True)
                }
                yield from combine_frost(facts, session.request, commitments, shares)
        except ProtocolError:
            return

    def _presignatures(self, session: Overheard) -> list[Point]:
        return [
            Point(used.batch, position, points[position])
            for used in session.used
            for points in [next(iter(self._points[used.batch]))]
            for position in used.positions
        ]


def _parsed(model: type[ContractT], said: object) -> ContractT:
    return model.model_validate_json(json.dumps(said))
