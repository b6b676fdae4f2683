"""A party's side of a batch of presignatures: the protocol's rounds in sealed envelopes.

All messages are direct. `round` in the state is the round whose message we have sent. The
commitment that the protocol broadcasts travels beside each direct message of round 2: the echo in
round 3 shows whether all saw the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.encoding import pack, unpack
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.results import Status
from contracts.sessions import Member, PresignaturesMade, PresignBatch

from ...protocols import dkls23
from ...protocols.key_share import KeyShare
from ...protocols.rounds import Blame, PartyIndex, SpoiltSessionError
from ...store.records import KeyShareRecord, Outgoing, PresignatureRecord, Received
from ..inbox import payloads
from ..sending import report, round_message
from .acceptance import Party, key_facts
from .direct import (
    EPHEMERAL_BYTES,
    EphemeralKey,
    direct_key,
    first_key_from,
    first_key_to,
    public_ephemeral,
    seal,
    unseal,
)
from .step import Step

PROTOCOL = "presign"
LAST_ROUND = 3
COMMITMENT_BYTES = 32
RANDOMNESS_BYTES = 32
"""FRESH for each round."""

M = TypeVar("M")

Payloads = Mapping[PartyIndex, bytes]


class Message(Protocol):
    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignState:
    """Between deliveries. Secret.

    Attributes:
        protocol: `dkls23.Offered`, `Extended` or `Answered`, encoded, for round 1 to 3. Secret.
    """

    batch: PresignBatch
    own_index: int
    round: int
    protocol: bytes = field(repr=False)
    ephemeral: EphemeralKey

    def to_bytes(self) -> bytes:
        return pack(
            (
                self.batch.model_dump_json().encode(),
                self.own_index.to_bytes(1),
                self.round.to_bytes(1),
                self.protocol,
                self.ephemeral.to_bytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PresignState:
        batch, own_index, round_, protocol, ephemeral = unpack(data, 5)
        return cls(
            batch=PresignBatch.model_validate_json(batch),
            own_index=own_index[0],
            round=round_[0],
            protocol=protocol,
            ephemeral=EphemeralKey.from_bytes(ephemeral),
        )

    @property
    def epoch(self) -> int:
        return self.batch.terms.epoch

    @property
    def members(self) -> list[Member]:
        return self.batch.terms.members

    @property
    def others(self) -> list[Member]:
        return [member for member in self.members if member.index != self.own_index]


def begin(
    batch: PresignBatch,
    party: Party,
    key_share: KeyShareRecord,
    *,
    randomness: bytes,
    ephemeral_randomness: bytes,
) -> Step:
    """Send round 1 of a batch that `acceptance.accept_batch` has let in.

    Arguments:
        randomness: FRESH, 32 bytes.
        ephemeral_randomness: FRESH, 48 bytes.
    """
    terms, facts, share = batch.terms, key_facts(key_share), KeyShare.from_bytes(key_share.secret)
    parameters = dkls23.Parameters(
        session_id=batch.session_id,
        index=share.index,
        signers=tuple(PartyIndex(member.index) for member in terms.members),
        count=terms.count,
        public_key=share.public_key,
        context=pack((terms.key_session, terms.epoch.to_bytes(4), facts.transcript_digest)),
    )
    offered, outbox = dkls23.round0(parameters, share, randomness=randomness)
    state = PresignState(
        batch=batch,
        own_index=share.index,
        round=1,
        protocol=offered.to_bytes(),
        ephemeral=EphemeralKey.from_randomness(ephemeral_randomness),
    )
    sent = _send(state, party, outbox.direct, {}, clear=state.ephemeral.public_bytes())
    return Step(status=Status.IN_PROGRESS, state=state.to_bytes(), outgoing=sent)


def complete(state: PresignState, received: Iterable[Received]) -> bool:
    """Whether all messages of the current round are in."""
    return payloads(received, f"{PROTOCOL}/{state.round}", state.others) is not None


def advance(
    state: PresignState,
    party: Party,
    key_share: KeyShareRecord,
    received: Iterable[Received],
    *,
    randomness: bytes,
) -> Step | None:
    """Take every step whose messages are all in; None if the current round is not complete.

    Arguments:
        randomness: FRESH, 32 bytes.

    Raises:
        ProtocolError: a check failed; the batch is to die everywhere.
    """
    rows, share = tuple(received), KeyShare.from_bytes(key_share.secret)
    outgoing: list[Outgoing] = []
    while (inbox := payloads(rows, f"{PROTOCOL}/{state.round}", state.others)) is not None:
        ephemerals = _ephemerals(state, rows)
        match state.round:
            case 1:
                state, sent = _extend(state, party, share, inbox, ephemerals, randomness)
            case 2:
                state, sent = _answer(state, party, share, inbox, ephemerals)
            case _:
                return _finish(state, party, inbox, ephemerals, outgoing)
        outgoing += sent
    if not outgoing:
        return None
    return Step(status=Status.IN_PROGRESS, state=state.to_bytes(), outgoing=tuple(outgoing))


###
### Rounds
###


def _extend(
    state: PresignState,
    party: Party,
    share: KeyShare,
    inbox: Payloads,
    ephemerals: Payloads,
    randomness: bytes,
) -> tuple[PresignState, tuple[Outgoing, ...]]:
    offered = dkls23.Offered.from_bytes(state.protocol)
    blame = Blame()
    for j, theirs in ephemerals.items():
        try:
            public_ephemeral(theirs)
        except ContractError:
            blame.add(j, "ephemeral key")
    blame.raise_if_any()
    opened = _open(state, party, _behind(inbox, EPHEMERAL_BYTES), ephemerals)
    set_ups = _parse(opened, lambda data: dkls23.SetUp.from_bytes(offered.parameters, data))
    extended, outbox = dkls23.round1(offered, share, set_ups, randomness=randomness)
    assert outbox.broadcast is not None
    state = replace(state, round=2, protocol=extended.to_bytes())
    commitment = outbox.broadcast.to_bytes()
    return state, _send(state, party, outbox.direct, ephemerals, clear=commitment)


def _answer(
    state: PresignState, party: Party, share: KeyShare, inbox: Payloads, ephemerals: Payloads
) -> tuple[PresignState, tuple[Outgoing, ...]]:
    extended = dkls23.Extended.from_bytes(state.protocol)
    parameters = extended.parameters
    commitments = _parse(
        {j: data[:COMMITMENT_BYTES] for j, data in inbox.items()},
        lambda data: dkls23.Commitment.from_bytes(parameters, data),
    )
    opened = _open(state, party, _behind(inbox, COMMITMENT_BYTES), ephemerals)
    extensions = _parse(opened, lambda data: dkls23.Extension.from_bytes(parameters, data))
    answered, outbox = dkls23.round2(extended, share, commitments, extensions)
    state = replace(state, round=3, protocol=answered.to_bytes())
    return state, _send(state, party, outbox.direct, ephemerals)


def _finish(
    state: PresignState,
    party: Party,
    inbox: Payloads,
    ephemerals: Payloads,
    outgoing: list[Outgoing],
) -> Step:
    answered = dkls23.Answered.from_bytes(state.protocol)
    opened = _open(state, party, inbox, ephemerals)
    answers = _parse(opened, lambda data: dkls23.Answer.from_bytes(answered.parameters, data))
    presignatures = dkls23.finish(answered, answers)
    terms = state.batch.terms
    made = report(
        PresignaturesMade(points=[each.view.r.to_bytes() for each in presignatures]),
        identity=party.identity,
        party_id=party.party_id,
        session_id=state.batch.session_id,
        epoch=terms.epoch,
    )
    return Step(
        status=Status.COMPLETED,
        outgoing=(*outgoing, made),
        forget_sent=True,
        presignatures=tuple(
            PresignatureRecord(
                batch=state.batch.session_id,
                position=position,
                key_session=terms.key_session,
                epoch=terms.epoch,
                secret=each.to_bytes(),
            )
            for position, each in enumerate(presignatures)
        ),
    )


###
### Helpers
###


def _send(
    state: PresignState,
    party: Party,
    direct: Mapping[PartyIndex, Message],
    ephemerals: Payloads,
    *,
    clear: bytes = b"",
) -> tuple[Outgoing, ...]:
    """The current round's message to each other signer, `clear` before what is sealed."""
    sent: list[Outgoing] = []
    for member in state.others:
        place = _place(state, sender=party.party_id, recipient=member.party_id)
        key = _key(state, party, member, place, ephemerals)
        payload = clear + seal(key, direct[PartyIndex(member.index)].to_bytes())
        sent += round_message(replace(place, payload=payload), party.identity, ())
    return tuple(sent)


def _open(
    state: PresignState, party: Party, sealed: Payloads, ephemerals: Payloads
) -> dict[PartyIndex, bytes]:
    """Raises SpoiltSessionError: we know who sealed it, and cannot show it to anybody else."""
    opened = {}
    for member in state.others:
        place = _place(state, sender=member.party_id, recipient=party.party_id)
        try:
            key = _key(state, party, member, place, ephemerals)
            opened[PartyIndex(member.index)] = unseal(key, sealed[PartyIndex(member.index)])
        except ContractError:
            raise SpoiltSessionError(f"what {member.party_id} sent us does not open") from None
    return opened


def _key(
    state: PresignState, party: Party, member: Member, place: Envelope, ephemerals: Payloads
) -> AESGCM:
    """Of the message at `place`, between us and a member. Raises ContractError."""
    peer = PublicIdentity(member.identity)
    if place.round > 1:
        theirs = ephemerals[PartyIndex(member.index)]
        return direct_key(state.ephemeral, theirs, party.identity, peer, place)
    if place.sender == party.party_id:
        return first_key_to(state.ephemeral, party.identity, peer, place)
    return first_key_from(ephemerals[PartyIndex(member.index)], party.identity, peer, place)


def _place(state: PresignState, *, sender: str, recipient: str) -> Envelope:
    """Of a message of the current round; one that we read has the same, for we have sent ours."""
    return Envelope(
        session_id=state.batch.session_id,
        epoch=state.epoch,
        kind=PROTOCOL,
        round=state.round,
        sender=sender,
        recipient=recipient,
        payload=b"",
    )


def _ephemerals(state: PresignState, rows: Iterable[Received]) -> dict[PartyIndex, bytes]:
    first = payloads(rows, f"{PROTOCOL}/1", state.others)
    assert first is not None
    return {j: data[:EPHEMERAL_BYTES] for j, data in first.items()}


def _behind(inbox: Payloads, size: int) -> dict[PartyIndex, bytes]:
    return {j: data[size:] for j, data in inbox.items()}


def _parse(inbox: Payloads, parse: Callable[[bytes], M]) -> dict[PartyIndex, M]:
    """Raises PartyFaultError naming everyone whose signed payload is not what it should be."""
    parsed, blame = {}, Blame()
    for j, data in inbox.items():
        try:
            parsed[j] = parse(data)
        except ValueError:
            blame.add(j, "encoding")
    blame.raise_if_any()
    return parsed
