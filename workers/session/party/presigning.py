"""A party's side of a batch of presignatures: the protocol's rounds in sealed messages.

The commitment that the protocol broadcasts stands in front of each direct message of round 2: the
echo in round 3 shows whether all saw the same.
"""

from __future__ import annotations

from contracts.encoding import pack
from contracts.sessions import PresignaturesMade, PresignBatch

from ...protocols import dkls23
from ...protocols.key_share import KeyShare
from ...protocols.rounds import PartyIndex
from ...store.records import KeyShareRecord, PresignatureRecord
from ..errors import RefusedError
from .acceptance import key_facts
from .engine import Move, Turn, encoded

RANDOMNESS_BYTES = 32


def offer(turn: Turn) -> Move:
    batch, record = _batch(turn), _key_share(turn)
    terms, facts, share = batch.terms, key_facts(record), KeyShare.from_bytes(record.secret)
    parameters = dkls23.Parameters(
        session_id=batch.session_id,
        index=share.index,
        signers=tuple(PartyIndex(member.index) for member in terms.members),
        count=terms.count,
        public_key=share.public_key,
        context=pack((terms.key_session, terms.epoch.to_bytes(4), facts.transcript_digest)),
    )
    coins = turn.randomness(RANDOMNESS_BYTES)
    offered, outbox = dkls23.round0(parameters, share, randomness=coins)
    return Move(protocol=offered.to_bytes(), outbox=encoded(outbox))


def extend(turn: Turn) -> Move:
    share = KeyShare.from_bytes(_key_share(turn).secret)
    offered = dkls23.Offered.from_bytes(turn.state.protocol)
    set_ups = turn.parse(lambda data: dkls23.SetUp.from_bytes(offered.parameters, data))
    coins = turn.randomness(RANDOMNESS_BYTES)
    extended, outbox = dkls23.round1(offered, share, set_ups, randomness=coins)
    return Move(protocol=extended.to_bytes(), outbox=encoded(outbox))


def answer(turn: Turn) -> Move:
    share = KeyShare.from_bytes(_key_share(turn).secret)
    extended = dkls23.Extended.from_bytes(turn.state.protocol)
    parameters = extended.parameters
    commitments = turn.parse_clear(lambda data: dkls23.Commitment.from_bytes(parameters, data))
    extensions = turn.parse(lambda data: dkls23.Extension.from_bytes(parameters, data))
    answered, outbox = dkls23.round2(extended, share, commitments, extensions)
    return Move(protocol=answered.to_bytes(), outbox=encoded(outbox))


def finish(turn: Turn) -> Move:
    _key_share(turn)  # nothing is made ahead for a key that is gone
    batch, answered = _batch(turn), dkls23.Answered.from_bytes(turn.state.protocol)
    answers = turn.parse(lambda data: dkls23.Answer.from_bytes(answered.parameters, data))
    presignatures = dkls23.finish(answered, answers)
    points = [each.view.r.to_bytes() for each in presignatures]
    return Move(
        reports=(PresignaturesMade(points=points),),
        presignatures=tuple(
            PresignatureRecord(
                batch=batch.session_id,
                position=position,
                key_session=batch.terms.key_session,
                epoch=batch.terms.epoch,
                secret=each.to_bytes(),
            )
            for position, each in enumerate(presignatures)
        ),
    )


PLAYS = (offer, extend, answer, finish)


def _batch(turn: Turn) -> PresignBatch:
    batch = turn.state.begun
    assert isinstance(batch, PresignBatch)
    return batch


def _key_share(turn: Turn) -> KeyShareRecord:
    if turn.key_share is None or not turn.key_share.active:
        raise RefusedError("the share of the key is gone")
    return turn.key_share
