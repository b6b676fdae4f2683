"""A coordinator of one's own: invites parties, gathers shares, puts signatures together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from contracts import sessions
from contracts.keys import KeyFacts
from contracts.primitives import Scheme
from contracts.requests import KeygenRequest, SignRequest
from contracts.results import SignedItem
from contracts.sessions import NonceCommitment, PresignaturesUsed
from contracts.signing import SignedRequest
from contracts.terms import Member, PresignTerms, SessionTerms
from ops.stack.deployment import Deployment
from workers.protocols.rounds import PartyIndex, ProtocolError
from workers.session.coordinator.combining import combine_ecdsa, combine_frost
from workers.session.nonce_batches import batch_id

from .adversary import PATIENCE_S, Adversary, Wanted, is_report
from .forms import envelope, now_ms


@dataclass(frozen=True, slots=True)
class Point:
    """The public half of a presignature."""

    batch: bytes
    position: int
    point: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Of ours, with those who were invited."""

    terms: SessionTerms
    signed: SignedRequest

    @property
    def session_id(self) -> bytes:
        return self.terms.session_id()

    @property
    def presigned(self) -> bool:
        request = self.signed.request
        return isinstance(request, SignRequest) and request.scheme is Scheme.ECDSA

    @property
    def party_ids(self) -> list[str]:
        return [member.party_id for member in self.terms.members]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a session of ours.

    Attributes:
        item: The signature, if the shares made one.
        shares: Those that came, by party.
        refusals: Why the others gave none, by party.
    """

    item: SignedItem | None = None
    shares: Mapping[str, list[bytes]] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)


class FalseCoordinator:
    """
    Arguments:
        adversary: At the broker; what it holds decides in whose name we speak.
    """

    def __init__(self, adversary: Adversary) -> None:
        self._adversary = adversary
        self._stock: dict[tuple[bytes, tuple[str, ...]], list[Point]] = {}

    ###
    ### What is asked of it
    ###

    async def sign(self, signed: SignedRequest, facts: KeyFacts, signers: Sequence[str]) -> Tried:
        """A signature by nobody's leave but that of these signers.

        In a stranger's name it waits until each of them has counted it as such."""
        session = self.signing(signed, facts, signers)
        if not self._adversary.is_coordinator:
            async with self._adversary.disbelieved(2 * len(signers)):
                await self._want_nonces(session)
                await self.invite(session, {name: _made_up() for name in signers})
            assert await self._adversary.until_now(_about(session)) == []
            return Tried()
        if session.presigned:
            return await self._sign_presigned(session, facts)
        commitments = await self.commitments(session)
        if len(commitments) < len(signers):
            return Tried(refusals=self.refusals(session))
        await self.invite(session, commitments)
        return await self.answers(session, facts, commitments)

    async def _sign_presigned(self, session: Session, facts: KeyFacts) -> Tried:
        """A refusal leaves nothing: then the presignature is good for another time."""
        stock = self._stock.setdefault((facts.session_id, tuple(session.party_ids)), [])
        if not stock:
            stock += await self.presignatures(facts, session.terms.members)
        used = PresignaturesUsed(batch=stock[-1].batch, positions=[stock[-1].position])
        await self.invite(session, {}, presignatures=[used])
        tried = await self.answers(session, facts, {}, used=stock[-1])
        if tried.shares:
            stock.pop()
        return tried

    async def refused(
        self,
        signed: SignedRequest,
        facts: KeyFacts,
        signers: Sequence[str],
        because: str,
        *,
        by: Collection[str] | None = None,
    ) -> None:
        """Fails unless that makes no signature, for this reason of these signers; else of all."""
        tried = await self.sign(signed, facts, signers)
        assert tried.item is None, tried
        if self._adversary.is_coordinator:
            assert set(tried.refusals) == set(signers if by is None else by), tried
            assert all(because in each for each in tried.refusals.values()), tried.refusals

    async def make_key(self, signed: SignedRequest) -> Tried:
        """A key by nobody's leave; its certificates are the shares."""
        session = self.keygen(signed)
        if not self._adversary.is_coordinator:
            async with self._adversary.disbelieved(len(session.party_ids)):
                await self.invite(session, {})
            assert await self._adversary.until_now(_about(session)) == []
            return Tried()
        await self.invite(session, {})
        await self._ended(session, "key_certified")
        heard = self._adversary.recording.all(is_report("key_certified", session.session_id))
        certified: dict[str, list[bytes]] = {envelope(wire).sender: [] for wire in heard}
        return Tried(shares=certified, refusals=self.refusals(session))

    async def no_key(self, signed: SignedRequest, because: str) -> None:
        """Fails unless nobody makes one, for this reason."""
        tried = await self.make_key(signed)
        assert tried.shares == {}
        if self._adversary.is_coordinator:
            assert len(tried.refusals) == 3
            assert all(because in each for each in tried.refusals.values()), tried.refusals

    ###
    ### Its steps
    ###

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
        await self._want_nonces(session)
        await self._ended(session, "nonces_made")
        return {
            envelope(wire).sender: sessions.NoncesMade.model_validate_json(
                envelope(wire).payload
            ).fresh[0]
            for wire in self._adversary.recording.all(is_report("nonces_made", session.session_id))
        }

    async def _want_nonces(self, session: Session) -> None:
        request, terms = session.signed.request, session.terms
        assert isinstance(request, SignRequest)
        assert terms.key_session is not None
        for party_id in session.party_ids:
            content = sessions.NoncesWanted(
                batch_id=batch_id(session.session_id, party_id),
                session_id=session.session_id,
                key_session=terms.key_session,
                epoch=terms.epoch,
                scheme=request.scheme,
                count=1,
                issued_at=now_ms(),
            )
            await self._adversary.publish(self._adversary.forms.instruction(content, party_id))

    async def invite(
        self,
        session: Session,
        commitments: Mapping[str, NonceCommitment],
        among: Sequence[str] | None = None,
        **changes: object,
    ) -> None:
        """Arguments: changes: To the invitation."""
        content = sessions.SessionCreated(
            session_id=session.session_id,
            terms=session.terms,
            commitments=[commitments[each] for each in session.party_ids] if commitments else [],
            request=session.signed.body,
            request_signature=session.signed.signature,
            time_left_ms=60_000,
            issued_at=now_ms(),
        ).model_copy(update=changes)
        for party_id in among or session.party_ids:
            await self._adversary.publish(self._adversary.forms.instruction(content, party_id))

    async def answers(
        self,
        session: Session,
        facts: KeyFacts,
        commitments: Mapping[str, NonceCommitment],
        of: Sequence[str] | None = None,
        *,
        used: Point | None = None,
    ) -> Tried:
        """When those have answered, else all."""
        await self._ended(session, "share_signed", of)
        adversary, shares = self._adversary, {}
        for wire in adversary.recording.all(is_report("share_signed", session.session_id)):
            report = envelope(wire)
            read = adversary.forms.shares(report, adversary.parties[report.sender])
            if read is not None:
                shares[report.sender] = read
        return Tried(
            item=combined(session, facts, commitments, shares, used),
            shares=shares,
            refusals=self.refusals(session),
        )

    async def presignatures(self, facts: KeyFacts, members: Sequence[Member]) -> list[Point]:
        """Made anew by these signers, who ask for no request before."""
        terms = PresignTerms(
            key_session=facts.session_id,
            epoch=facts.epoch,
            members=list(members),
            count=2,
            issued_at=now_ms(),
            salt=secrets.token_bytes(32),
        )
        batch = terms.session_id()
        content = sessions.PresignBatch(
            session_id=batch, issued_at=terms.issued_at, terms=terms, time_left_ms=60_000
        )
        for member in members:
            wire = self._adversary.forms.instruction(content, member.party_id)
            await self._adversary.publish(wire)
        for member in members:
            wanted = is_report("presignatures_made", batch, [member.party_id])
            wire = await self._adversary.recording.first(wanted)
        made = sessions.PresignaturesMade.model_validate_json(wire.content())
        return [Point(batch, position, point) for position, point in enumerate(made.points)]

    def refusals(self, session: Session) -> dict[str, str]:
        heard = self._adversary.recording.all(is_report("session_failed", session.session_id))
        return {
            envelope(wire).sender: sessions.SessionFailed.model_validate_json(
                envelope(wire).payload
            ).failure.message
            for wire in heard
        }

    async def _ended(self, session: Session, kind: str, of: Sequence[str] | None = None) -> None:
        """Each of them has said it, or has refused. Raises TimeoutError."""
        for name in of or session.party_ids:
            await self._adversary.recording.first(
                _any(
                    is_report(kind, session.session_id, [name]),
                    is_report("session_failed", session.session_id, [name]),
                ),
                PATIENCE_S,
            )


def combined(
    session: Session,
    facts: KeyFacts,
    commitments: Mapping[str, NonceCommitment],
    shares: Mapping[str, list[bytes]],
    used: Point | None,
) -> SignedItem | None:
    request = session.signed.request
    assert isinstance(request, SignRequest)
    if set(shares) != set(session.party_ids):
        return None
    index = {member.party_id: PartyIndex(member.index) for member in session.terms.members}
    indexed = {index[party_id]: own for party_id, own in shares.items()}
    try:
        if used is not None:
            (item,) = combine_ecdsa(
                facts,
                request,
                [used],
                indexed,
                session_id=session.session_id,
                request_digest=session.terms.request_digest,
            )
            return item
        nonces = {index[party_id]: each.commitment for party_id, each in commitments.items()}
        (item,) = combine_frost(facts, request, nonces, indexed)
    except ProtocolError:
        return None
    return item


def every_signer_set(deployment: Deployment) -> list[tuple[str, str]]:
    """Of a 2-of-3 key."""
    one, two, three = deployment.plan.party_ids
    return [(one, two), (one, three), (two, three)]


def _made_up() -> NonceCommitment:
    return NonceCommitment(nonce_id=os.urandom(32), commitment=os.urandom(64))


def _about(session: Session) -> Wanted:
    return lambda wire: (
        wire.headers.get("session_id") == session.session_id.hex()
        and (wire.exchange.endswith("reports"))
    )


def _any(*wanted: Wanted) -> Wanted:
    return lambda wire: any(each(wire) for each in wanted)
