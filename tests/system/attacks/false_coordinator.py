"""A coordinator of one's own: invites parties, gathers shares, puts signatures together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from contracts import sessions
from contracts.keys import KeyFacts
from contracts.primitives import Scheme
from contracts.requests import KeygenRequest, SignRequest
from contracts.results import SignedItem
from contracts.sessions import Member, NonceCommitment, SessionTerms
from contracts.signing import SignedRequest
from ops.stack.deployment import Deployment
from workers.protocols.rounds import PartyIndex, ProtocolError
from workers.session.coordinator.combining import combine_frost
from workers.session.nonce_batches import batch_id

from .adversary import Adversary, Wanted, is_report
from .forms import envelope, fit, now_ms

ANSWER_S = 4.0
"""For parties to answer, or to have had time to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Of ours, with those who were invited."""

    terms: SessionTerms
    signed: SignedRequest

    @property
    def session_id(self) -> bytes:
        return self.terms.session_id()

    @property
    def party_ids(self) -> list[str]:
        return [member.party_id for member in self.terms.members]


class FalseCoordinator:
    """
    Arguments:
        adversary: At the broker; what it holds decides in whose name we speak.
    """

    def __init__(self, adversary: Adversary) -> None:
        self._adversary = adversary

    def signing(self, signed: SignedRequest, facts: KeyFacts, signers: Sequence[str]) -> Session:
        members = [
            Member(party_id=holder.party_id, index=index, identity=holder.identity)
            for index, holder in enumerate(facts.holders, start=1)
            if holder.party_id in signers
        ]
        terms = SessionTerms(
            protocol="sign",
            request_digest=signed.digest,
            key_session=facts.session_id,
            epoch=facts.epoch,
            threshold=facts.threshold,
            members=members,
            salt=secrets.token_bytes(32),
        )
        return Session(terms=terms, signed=signed)

    def keygen(self, signed: SignedRequest) -> Session:
        request = signed.request
        assert isinstance(request, KeygenRequest)
        members = [
            Member(party_id=party_id, index=index, identity=identity.der)
            for index, (party_id, identity) in enumerate(
                list(self._adversary.parties.items())[: request.party_count], start=1
            )
        ]
        terms = SessionTerms(
            protocol="keygen",
            request_digest=signed.digest,
            key_session=None,
            epoch=0,
            threshold=request.threshold,
            members=members,
            salt=secrets.token_bytes(32),
        )
        return Session(terms=terms, signed=signed)

    async def commitments(self, session: Session) -> dict[str, NonceCommitment]:
        """One fresh nonce of each signer that gives one."""
        await asyncio.gather(*(self._want_nonces(session, each) for each in session.party_ids))
        wanted = is_report("nonces_made", session.session_id)
        heard = await self._adversary.recording.count(wanted, len(session.party_ids), ANSWER_S)
        return {
            envelope(wire).sender: sessions.NoncesMade.model_validate_json(
                envelope(wire).payload
            ).fresh[0]
            for wire in heard
        }

    async def _want_nonces(self, session: Session, party_id: str) -> None:
        request, terms = session.signed.request, session.terms
        assert isinstance(request, SignRequest)
        batch = batch_id(session.session_id, party_id)
        content = fit(
            sessions.NoncesWanted,
            batch_id=batch,
            session_id=session.session_id,
            key_session=terms.key_session,
            epoch=terms.epoch,
            scheme=request.scheme,
            count=1,
            issued_at=now_ms(),
        )
        # The envelope is about what the waiting session is.
        wire = self._adversary.forms.instruction(content, party_id, about=session.session_id)
        await self._adversary.publish(wire)

    async def invite(
        self,
        session: Session,
        commitments: Mapping[str, NonceCommitment],
        among: Sequence[str] | None = None,
    ) -> None:
        for party_id in among or session.party_ids:
            content = fit(
                sessions.SessionCreated,
                session_id=session.session_id,
                terms=session.terms,
                commitments=[commitments[each] for each in session.party_ids]
                if commitments
                else [],
                request=session.signed.body,
                request_signature=session.signed.signature,
                join_token=bytes(32),
                time_left_ms=60_000,
                issued_at=now_ms(),
            )
            await self._adversary.publish(
                self._adversary.forms.instruction(content, party_id, about=session.session_id)
            )

    async def answers(self, session: Session, count: int) -> dict[str, list[bytes]]:
        """The shares of those who signed, as far as we can read them."""
        recording = self._adversary.recording
        ended = _any(
            is_report("share_signed", session.session_id),
            is_report("session_failed", session.session_id),
        )
        await recording.count(ended, count, ANSWER_S)
        return dict(self._shares(session))

    def _shares(self, session: Session) -> Iterator[tuple[str, list[bytes]]]:
        adversary = self._adversary
        for wire in adversary.recording.all(is_report("share_signed", session.session_id)):
            report = envelope(wire)
            shares = adversary.forms.shares(report, adversary.parties[report.sender])
            if shares is not None:
                yield report.sender, shares

    async def sign(
        self,
        signed: SignedRequest,
        facts: KeyFacts,
        signers: Sequence[str],
        *,
        invited: Sequence[str] | None = None,
        own: Mapping[str, list[bytes]] | None = None,
    ) -> SignedItem | None:
        """A signature by nobody's leave but that of these signers; None if they give none."""
        session = self.signing(signed, facts, signers)
        commitments = await self.commitments(session)
        if set(commitments) != set(signers):
            return None
        await self.invite(session, commitments, invited)
        shares = await self.answers(session, len(signers))
        return combined(facts, session, commitments, {**shares, **(own or {})})


def combined(
    facts: KeyFacts,
    session: Session,
    commitments: Mapping[str, NonceCommitment],
    shares: Mapping[str, list[bytes]],
) -> SignedItem | None:
    request = session.signed.request
    assert isinstance(request, SignRequest)
    assert request.scheme is not Scheme.ECDSA
    if set(shares) != set(session.party_ids):
        return None
    index = {member.party_id: PartyIndex(member.index) for member in session.terms.members}
    try:
        (item,) = combine_frost(
            facts,
            request,
            {index[party_id]: each.commitment for party_id, each in commitments.items()},
            {index[party_id]: own for party_id, own in shares.items()},
        )
    except ProtocolError:
        return None
    return item


def every_signer_set(deployment: Deployment) -> list[tuple[str, str]]:
    """Of a 2-of-3 key."""
    one, two, three = deployment.plan.party_ids
    return [(one, two), (one, three), (two, three)]


def _any(*wanted: Wanted) -> Wanted:
    return lambda wire: any(each(wire) for each in wanted)
