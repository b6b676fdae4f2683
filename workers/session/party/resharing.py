"""A party's side of a reshare: the protocol's rounds, and what makes an epoch of them.

In round 5 receivers certify the new epoch's facts and prove that they hold their shares of it, and
dealers sign that they dealt towards these facts. Together it is what convinces others: see
`contracts.epochs`. Nobody's share is usable by it: that is the switch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from contracts.encoding import pack, unpack
from contracts.epochs import DEALT_TAG, sign_dealt
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.keys import CertifiedKey, Holder, KeyFacts, Origin, Resharing
from contracts.requests import ReshareRequest
from contracts.sessions import EpochCertified, PartyJoined, ReshareCreated
from contracts.terms import ReshareMember

from ...protocols import reshare
from ...protocols.key_share import KeyShare
from ...protocols.rounds import Blame, Outbox, PartyIndex
from ...store.records import AnswerRecord, EpochStatus, EpochStep, KeyShareRecord
from ..key_views import view_of
from .acceptance import answer_of
from .engine import Move, Turn, encoded

RANDOMNESS_BYTES = 32

###
### Rounds
###


def begin(turn: Turn) -> Move:
    """Join, and say what we were told; a dealer commits to a polynomial.

    `turn.key_share` is of the epoch that is dealt from.
    """
    parameters, record = _parameters(turn), turn.key_share
    share = None
    if record is not None and parameters.own.deals_as is not None:
        share = KeyShare.from_bytes(record.secret)
    coins = turn.randomness(RANDOMNESS_BYTES)
    committed, outbox = reshare.round1(parameters, share, randomness=coins)
    return Move(
        protocol=committed.to_bytes(),
        outbox=encoded(outbox),
        reports=(PartyJoined(),),
        epoch=_epoch(turn, EpochStatus.BEGUN),
        answers=_answer(turn, commits=False),
    )


def open_(turn: Turn) -> Move:
    committed = reshare.Committed.from_bytes(turn.state.protocol)
    parameters = committed.parameters
    commitments = turn.parse(lambda data: reshare.Commitment.from_bytes(parameters, data))
    opened, outbox = reshare.round2(committed, commitments)
    return Move(protocol=opened.to_bytes(), outbox=encoded(outbox))


def echo(turn: Turn) -> Move:
    opened = reshare.Opened.from_bytes(turn.state.protocol)
    openings = turn.parse(lambda data: reshare.Opening.from_bytes(opened.parameters, data))
    echoed, outbox = reshare.round3(opened, openings)
    return Move(protocol=echoed.to_bytes(), outbox=encoded(outbox))


def deal(turn: Turn) -> Move:
    echoed = reshare.Echoed.from_bytes(turn.state.protocol)
    echoes = turn.parse(lambda data: reshare.Echo.from_bytes(echoed.parameters, data))
    dealt, outbox = reshare.round4(echoed, echoes)
    return Move(protocol=dealt.to_bytes(), outbox=encoded(outbox))


def certify(turn: Turn) -> Move:
    """With this move our share goes to the store, and only then our word that we hold it. A dealer
    that gets none remembers its word all the same: it tells of the epoch from then on."""
    dealt = reshare.Dealt.from_bytes(turn.state.protocol)
    shares = turn.parse_sealed(lambda data: reshare.Share.from_bytes(dealt.parameters, data))
    finished = reshare.finish(dealt, shares)
    facts = _facts(turn, finished)
    said = _say(turn, facts, finished)
    share = _record(facts, finished, {turn.party.party_id: said.certificate})
    return Move(
        protocol=pack((finished.to_bytes(), said.to_bytes())),
        outbox=Outbox(broadcast=said.to_bytes()),
        key_share=share,
        epoch=_epoch(turn, EpochStatus.PENDING),
        answers=_answer(turn, commits=True),
    )


def conclude(turn: Turn) -> Move:
    """Everybody has said all that proves the epoch. Our share stays as it is until a bundle shows
    that it was asked for, too."""
    stored, own = unpack(turn.state.protocol, 2)
    finished = reshare.Finished.from_bytes(stored)
    parameters, facts = finished.parameters, _facts(turn, finished)
    said = turn.parse(lambda data: Said.from_bytes(parameters, data))
    _check_said(turn, facts, finished, said)
    said[parameters.place] = Said.from_bytes(parameters, own)
    names = {PartyIndex(member.index): member.party_id for member in turn.state.members}
    certificates = {names[m]: said[m].certificate for m in parameters.receivers}
    return Move(
        reports=(
            EpochCertified(
                key=CertifiedKey(facts=facts, certificates=certificates),
                possessions={
                    names[m]: each.possession.to_bytes()
                    for m, each in said.items()
                    if each.possession is not None
                },
                dealt={names[m]: said[m].dealt for m in parameters.dealers},
            ),
        ),
    )


PLAYS = (begin, open_, echo, deal, certify, conclude)

###
### Round 5
###


@dataclass(frozen=True, slots=True)
class Said:
    """What a member says of the epoch; empty or None is what is not its to say.

    Attributes:
        certificate: A receiver's, over the facts.
        possession: A receiver's proof that it holds its share.
        dealt: A dealer's signature, as of `sign_dealt`.
    """

    certificate: bytes = b""
    possession: reshare.Possession | None = None
    dealt: bytes = b""

    def to_bytes(self) -> bytes:
        possession = b"" if self.possession is None else self.possession.to_bytes()
        return pack((self.certificate, possession, self.dealt))

    @classmethod
    def from_bytes(cls, parameters: reshare.Parameters, data: bytes) -> Self:
        """Raises ValueError."""
        try:
            certificate, proof, dealt = unpack(data, 3)
        except ContractError as error:
            raise ValueError(str(error)) from None
        if bool(certificate) != bool(proof):
            raise ValueError("a certificate and a proof go together")
        possession = reshare.Possession.from_bytes(parameters, proof) if proof else None
        return cls(certificate, possession, dealt)

    @property
    def roles(self) -> tuple[bool, bool]:
        """Whether it speaks as a dealer, and as a receiver."""
        return bool(self.dealt), bool(self.certificate)


def _say(turn: Turn, facts: KeyFacts, finished: reshare.Finished) -> Said:
    own, identity = finished.parameters.own, turn.party.identity
    dealt = b"" if own.deals_as is None else sign_dealt(facts, identity)
    if own.receives_as is None:
        return Said(dealt=dealt)
    coins = turn.randomness(RANDOMNESS_BYTES)
    outbox = reshare.round5(finished, facts.statement(), randomness=coins)
    return Said(facts.certify(identity), outbox.broadcast, dealt)


def _check_said(
    turn: Turn, facts: KeyFacts, finished: reshare.Finished, said: Mapping[PartyIndex, Said]
) -> None:
    """Raises PartyFaultError. The echo has shown that all computed the same facts, so what does not
    verify is its sender's fault."""
    blame = Blame()
    for member in _created(turn).terms.members:
        m = PartyIndex(member.index)
        if m in said and (check := _fault(member, facts, said[m])) is not None:
            blame.add(m, check)
    blame.raise_if_any()
    proofs = {m: each.possession for m, each in said.items() if each.possession is not None}
    reshare.check_possessions(finished, facts.statement(), proofs)


def _fault(member: ReshareMember, facts: KeyFacts, said: Said) -> str | None:
    """The check that a member's word fails, but for the proof."""
    if said.roles != (member.deals_as is not None, member.receives_as is not None):
        return "roles"
    try:
        if said.certificate:
            facts.verify(member.party_id, said.certificate)
    except ContractError:
        return "certificate"
    try:
        if said.dealt:
            PublicIdentity(member.identity).verify(DEALT_TAG, facts.statement(), said.dealt)
    except ContractError:
        return "dealer's signature"
    return None


###
### The epoch
###


def _created(turn: Turn) -> ReshareCreated:
    created = turn.state.begun
    assert isinstance(created, ReshareCreated)
    return created


def _parameters(turn: Turn) -> reshare.Parameters:
    created = _created(turn)
    terms, known = created.terms, created.predecessor.facts
    return reshare.Parameters(
        session_id=created.session_id,
        place=PartyIndex(turn.state.own_index),
        members=tuple(reshare.Member(*_roles(member)) for member in terms.members),
        key=view_of(known),
        chain_code=known.chain_code,
        predecessor=terms.predecessor,
        to_epoch=terms.epoch,
        threshold=terms.threshold,
        context=terms.request_digest,
    )


def _roles(member: ReshareMember) -> tuple[PartyIndex | None, PartyIndex | None]:
    old, new = member.deals_as, member.receives_as
    return None if old is None else PartyIndex(old), None if new is None else PartyIndex(new)


def _facts(turn: Turn, finished: reshare.Finished) -> KeyFacts:
    created = _created(turn)
    terms, known = created.terms, created.predecessor.facts
    request = _request(created)
    receivers = {each.receives_as: each for each in terms.members if each.receives_as is not None}
    dealers = {each.deals_as: each.party_id for each in terms.members if each.deals_as is not None}
    return KeyFacts(
        version=3,
        client_id=known.client_id,
        # Facts of version 1 do not say whose tenant's key it is: then the client's word counts.
        tenant=request.tenant if known.version == 1 else known.tenant,
        key_id=known.key_id,
        session_id=known.session_id,
        epoch=terms.epoch,
        curve=known.curve,
        threshold=terms.threshold,
        public_key=known.public_key,
        chain_code=known.chain_code,
        holders=[
            Holder(
                party_id=receivers[j].party_id,
                identity=receivers[j].identity,
                public_share=public.to_bytes(),
            )
            for j, public in sorted(finished.key.public_shares.items())
        ],
        transcript_digest=finished.transcript_digest,
        request_digest=terms.request_digest,
        schemes=known.schemes,
        origin=known.origin or Origin.GENERATED,
        reshared=Resharing(
            session_id=created.session_id,
            predecessor=terms.predecessor,
            dealers=[dealers[i] for i in sorted(dealers)],
        ),
    )


def _request(created: ReshareCreated) -> ReshareRequest:
    return ReshareRequest.model_validate_json(created.request)


def _answer(turn: Turn, *, commits: bool) -> AnswerRecord:
    created = _created(turn)
    return answer_of(_request(created), created, turn.party, commits=commits)


def _epoch(turn: Turn, status: EpochStatus) -> EpochStep:
    created = _created(turn)
    answer = _answer(turn, commits=status is not EpochStatus.BEGUN)
    return EpochStep(
        key_session=created.terms.key_session,
        epoch=created.terms.epoch,
        status=status,
        owner=answer.owner,
        digest=answer.digest,
        open_until=answer.counts_until,
    )


def _record(
    facts: KeyFacts, finished: reshare.Finished, certificates: Mapping[str, bytes]
) -> KeyShareRecord | None:
    """None at a member that does not receive."""
    if finished.key_share is None:
        return None
    return KeyShareRecord(
        key_session=facts.session_id,
        epoch=facts.epoch,
        owner=facts.owner,
        key_id=facts.key_id,
        facts=facts.model_dump_json(),
        certificates=certificates,
        secret=finished.key_share.to_bytes(),
        active=False,
    )
