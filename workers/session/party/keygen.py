"""A party's side of a key generation: the protocol's rounds, and the certificate.

Round 4 is ours alone: each party signs the finished key's facts with its identity key, and the
share stays unusable until all have.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.errors import ContractError
from contracts.keys import Holder, KeyFacts, Origin
from contracts.requests import KeygenRequest
from contracts.sessions import KeyCertified, PartyJoined, SessionCreated

from ...protocols import keygen
from ...protocols.groups import group_by_name
from ...protocols.rounds import Blame, Outbox, PartyIndex
from ...store.records import KeyShareRecord
from .acceptance import answer_of
from .engine import Move, Turn, encoded

RANDOMNESS_BYTES = 32

###
### Rounds
###


def begin(turn: Turn) -> Move:
    """Join, and commit to a polynomial."""
    created = _created(turn)
    parameters = keygen.Parameters(
        group=group_by_name(_request(created).curve.value),
        session_id=created.session_id,
        index=PartyIndex(turn.state.own_index),
        threshold=created.terms.threshold,
        party_count=len(created.terms.members),
        context=created.terms.request_digest,
    )
    committed, outbox = keygen.round1(parameters, randomness=turn.randomness(RANDOMNESS_BYTES))
    return Move(
        protocol=committed.to_bytes(),
        outbox=encoded(outbox),
        reports=(PartyJoined(),),
        answers=answer_of(_request(created), created, turn.party, commits=False),
    )


def open_(turn: Turn) -> Move:
    committed = keygen.Committed.from_bytes(turn.state.protocol)
    commitments = turn.parse(lambda data: keygen.Commitment.from_bytes(committed.parameters, data))
    opened, outbox = keygen.round2(committed, commitments)
    return Move(protocol=opened.to_bytes(), outbox=encoded(outbox))


def deal(turn: Turn) -> Move:
    opened = keygen.Opened.from_bytes(turn.state.protocol)
    openings = turn.parse(lambda data: keygen.Opening.from_bytes(opened.parameters, data))
    dealt, outbox = keygen.round3(opened, openings)
    return Move(protocol=dealt.to_bytes(), outbox=encoded(outbox))


def certify(turn: Turn) -> Move:
    dealt = keygen.Dealt.from_bytes(turn.state.protocol)
    shares = turn.parse(lambda data: keygen.Share.from_bytes(dealt.parameters, data))
    finished = keygen.finish(dealt, shares)
    created = _created(turn)
    facts = _facts(created, finished)
    certificate = facts.certify(turn.party.identity)
    return Move(
        protocol=finished.to_bytes(),
        outbox=Outbox(broadcast=certificate),
        answers=answer_of(_request(created), created, turn.party, commits=True),
        key_share=_record(facts, finished, {turn.party.party_id: certificate}, active=False),
    )


def activate(turn: Turn) -> Move:
    finished = keygen.Finished.from_bytes(turn.state.protocol)
    facts = _facts(_created(turn), finished)
    certificates = {turn.party.party_id: facts.certify(turn.party.identity)}
    blame = Blame()
    for member in turn.state.others:
        j = PartyIndex(member.index)
        certificates[member.party_id] = turn.inbox[j]
        try:
            facts.verify(member.party_id, turn.inbox[j])
        except ContractError:
            # The echo has shown that we all computed the same facts, so it is the signature.
            blame.add(j, "certificate")
    blame.raise_if_any()
    return Move(
        reports=(KeyCertified(facts=facts, certificates=certificates),),
        key_share=_record(facts, finished, certificates, active=True),
    )


PLAYS = (begin, open_, deal, certify, activate)

###
### The key
###


def _created(turn: Turn) -> SessionCreated:
    created = turn.state.begun
    assert isinstance(created, SessionCreated)
    return created


def _request(created: SessionCreated) -> KeygenRequest:
    return KeygenRequest.model_validate_json(created.request)


def _facts(created: SessionCreated, finished: keygen.Finished) -> KeyFacts:
    terms, share, request = created.terms, finished.key_share, _request(created)
    return KeyFacts(
        version=2,
        client_id=request.client_id,
        tenant=request.tenant,
        key_id=request.key_id,
        session_id=created.session_id,
        epoch=terms.epoch,
        curve=request.curve,
        threshold=share.threshold,
        public_key=share.public_key.to_bytes(),
        chain_code=share.chain_code,
        holders=[
            Holder(
                party_id=member.party_id,
                identity=member.identity,
                public_share=share.public_shares[PartyIndex(member.index)].to_bytes(),
            )
            for member in terms.members
        ],
        transcript_digest=finished.transcript_digest,
        request_digest=terms.request_digest,
        schemes=request.schemes,
        origin=Origin.GENERATED,
    )


def _record(
    facts: KeyFacts,
    finished: keygen.Finished,
    certificates: Mapping[str, bytes],
    *,
    active: bool,
) -> KeyShareRecord:
    return KeyShareRecord(
        key_session=facts.session_id,
        epoch=facts.epoch,
        owner=facts.owner,
        key_id=facts.key_id,
        facts=facts.model_dump_json(),
        certificates=certificates,
        secret=finished.key_share.to_bytes(),
        active=active,
    )
