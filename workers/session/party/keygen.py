"""A party's side of a key generation: the protocol's rounds, envelopes, and the certificate.

`round` in the state is the round whose message we have sent; the next step runs when all others'
messages of that round are in. Round 4 is ours alone: each party signs the finished key's facts
with its identity key, and the share stays unusable until all have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from contracts.encoding import pack, unpack
from contracts.envelope import EVERYONE, Envelope
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.keys import Holder, KeyFacts
from contracts.requests import KeygenRequest
from contracts.results import Status
from contracts.sessions import KeyCertified, Member, PartyJoined, SessionCreated

from ...protocols import keygen
from ...protocols.groups import group_by_name
from ...protocols.rounds import Blame, PartyIndex, SpoiltSessionError
from ...store.records import KeyShareRecord, Outgoing, Received
from ..inbox import payloads
from ..sending import report, round_message
from .acceptance import Accepted, Party
from .direct import (
    EPHEMERAL_BYTES,
    EphemeralKey,
    direct_key,
    public_ephemeral,
    seal,
    unseal,
)
from .step import Step

PROTOCOL = "keygen"
LAST_ROUND = 4

M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeygenState:
    """Between deliveries. Secret.

    Attributes:
        protocol: `keygen.Committed`, `Opened`, `Dealt` or `Finished`, encoded, for round 1 to 4.
            Secret.
    """

    created: SessionCreated
    own_index: int
    round: int
    protocol: bytes = field(repr=False)
    ephemeral: EphemeralKey

    def to_bytes(self) -> bytes:
        return pack(
            (
                self.created.model_dump_json().encode(),
                self.own_index.to_bytes(1),
                self.round.to_bytes(1),
                self.protocol,
                self.ephemeral.to_bytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> KeygenState:
        created, own_index, round_, protocol, ephemeral = unpack(data, 5)
        return cls(
            created=SessionCreated.model_validate_json(created),
            own_index=own_index[0],
            round=round_[0],
            protocol=protocol,
            ephemeral=EphemeralKey.from_bytes(ephemeral),
        )

    @property
    def members(self) -> list[Member]:
        return self.created.terms.members

    @property
    def epoch(self) -> int:
        return self.created.terms.epoch

    @property
    def others(self) -> list[tuple[PartyIndex, str, PublicIdentity]]:
        return [
            (PartyIndex(member.index), member.party_id, PublicIdentity(member.identity))
            for member in self.created.terms.members
            if member.index != self.own_index
        ]


def begin(
    accepted: Accepted, party: Party, *, randomness: bytes, ephemeral_randomness: bytes
) -> Step:
    """Join, and send round 1.

    Arguments:
        randomness: FRESH, 32 bytes.
        ephemeral_randomness: FRESH, 48 bytes.
    """
    request, terms = accepted.request, accepted.created.terms
    assert isinstance(request, KeygenRequest)
    parameters = keygen.Parameters(
        group=group_by_name(request.curve.value),
        session_id=accepted.session_id,
        index=PartyIndex(accepted.own_index),
        threshold=terms.threshold,
        party_count=len(terms.members),
        context=terms.request_digest,
    )
    committed, outbox = keygen.round1(parameters, randomness=randomness)
    assert outbox.broadcast is not None
    state = KeygenState(
        created=accepted.created,
        own_index=accepted.own_index,
        round=1,
        protocol=committed.to_bytes(),
        ephemeral=EphemeralKey.from_randomness(ephemeral_randomness),
    )
    joined = report(
        PartyJoined(join_token=accepted.created.join_token),
        identity=party.identity,
        party_id=party.party_id,
        session_id=accepted.session_id,
    )
    first = _broadcast(state, party, state.ephemeral.public_bytes() + outbox.broadcast.to_bytes())
    return Step(status=Status.IN_PROGRESS, state=state.to_bytes(), outgoing=(joined, *first))


def advance(state: KeygenState, party: Party, received: Iterable[Received]) -> Step | None:
    """Take every step whose messages are all in; None if the current round is not complete.

    Raises:
        ProtocolError: a check failed; the session is to fail.
    """
    rows = tuple(received)
    outgoing: list[Outgoing] = []
    key_share: KeyShareRecord | None = None
    step: Step | None = None
    while state.round <= LAST_ROUND:
        inbox = payloads(rows, f"{PROTOCOL}/{state.round}", _other_members(state))
        if inbox is None:
            break
        match state.round:
            case 1:
                state, sent = _open(state, party, inbox)
            case 2:
                state, sent = _deal(state, party, inbox, _ephemerals(state, rows))
            case 3:
                state, sent, key_share = _certify(state, party, inbox, _ephemerals(state, rows))
            case _:
                sent, key_share = _activate(state, party, inbox)
                return Step(
                    status=Status.COMPLETED, outgoing=(*outgoing, *sent), key_share=key_share
                )
        outgoing += sent
        step = Step(
            status=Status.IN_PROGRESS,
            state=state.to_bytes(),
            outgoing=tuple(outgoing),
            key_share=key_share,
        )
    return step


###
### Rounds
###


def _open(
    state: KeygenState, party: Party, inbox: Mapping[PartyIndex, bytes]
) -> tuple[KeygenState, tuple[Outgoing, ...]]:
    committed = keygen.Committed.from_bytes(state.protocol)
    blame = Blame()
    for j, data in inbox.items():
        try:
            public_ephemeral(data[:EPHEMERAL_BYTES])
        except ContractError:
            blame.add(j, "ephemeral key")
    commitments = _parse(
        inbox,
        lambda data: keygen.Commitment.from_bytes(committed.parameters, data[EPHEMERAL_BYTES:]),
        blame,
    )
    opened, outbox = keygen.round2(committed, commitments)
    assert outbox.broadcast is not None
    state = _next(state, opened.to_bytes())
    return state, _broadcast(state, party, outbox.broadcast.to_bytes())


def _deal(
    state: KeygenState,
    party: Party,
    inbox: Mapping[PartyIndex, bytes],
    ephemerals: Mapping[PartyIndex, bytes],
) -> tuple[KeygenState, tuple[Outgoing, ...]]:
    opened = keygen.Opened.from_bytes(state.protocol)
    openings = _parse(inbox, lambda data: keygen.Opening.from_bytes(opened.parameters, data))
    dealt, outbox = keygen.round3(opened, openings)
    state = _next(state, dealt.to_bytes())
    sent: list[Outgoing] = []
    for j, party_id, identity in state.others:
        place = _place(state, sender=party.party_id, recipient=party_id)
        key = direct_key(state.ephemeral, ephemerals[j], party.identity, identity, place)
        payload = seal(key, outbox.direct[j].to_bytes())
        sent += round_message(
            _place(state, sender=party.party_id, recipient=party_id, payload=payload),
            party.identity,
            (),
        )
    return state, tuple(sent)


def _certify(
    state: KeygenState,
    party: Party,
    inbox: Mapping[PartyIndex, bytes],
    ephemerals: Mapping[PartyIndex, bytes],
) -> tuple[KeygenState, tuple[Outgoing, ...], KeyShareRecord]:
    dealt = keygen.Dealt.from_bytes(state.protocol)
    opened: dict[PartyIndex, bytes] = {}
    for j, party_id, identity in state.others:
        place = _place(state, sender=party_id, recipient=party.party_id)
        key = direct_key(state.ephemeral, ephemerals[j], party.identity, identity, place)
        try:
            opened[j] = unseal(key, inbox[j])
        except ContractError:
            # We know who sealed it, and cannot show it to anybody else: no culprit.
            raise SpoiltSessionError(f"the share that {party_id} sent us does not open") from None
    shares = _parse(opened, lambda data: keygen.Share.from_bytes(dealt.parameters, data))
    finished = keygen.finish(dealt, shares)
    state = _next(state, finished.to_bytes())
    facts = _facts(state, finished)
    certificate = facts.certify(party.identity)
    record = _record(facts, finished, {party.party_id: certificate}, active=False)
    return state, _broadcast(state, party, certificate), record


def _activate(
    state: KeygenState, party: Party, inbox: Mapping[PartyIndex, bytes]
) -> tuple[tuple[Outgoing, ...], KeyShareRecord]:
    finished = keygen.Finished.from_bytes(state.protocol)
    facts = _facts(state, finished)
    certificates = {party.party_id: facts.certify(party.identity)}
    blame = Blame()
    for j, party_id, _ in state.others:
        certificates[party_id] = inbox[j]
        try:
            facts.verify(party_id, inbox[j])
        except ContractError:
            # The echo has shown that we all computed the same facts, so it is the signature.
            blame.add(j, "certificate")
    blame.raise_if_any()
    certified = report(
        KeyCertified(facts=facts, certificates=certificates),
        identity=party.identity,
        party_id=party.party_id,
        session_id=state.created.session_id,
    )
    return (certified,), _record(facts, finished, certificates, active=True)


###
### Helpers
###


def _facts(state: KeygenState, finished: keygen.Finished) -> KeyFacts:
    terms, share = state.created.terms, finished.key_share
    request = KeygenRequest.model_validate_json(state.created.request)
    return KeyFacts(
        client_id=request.client_id,
        key_id=request.key_id,
        session_id=state.created.session_id,
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
        owner=facts.client_id or "",
        key_id=facts.key_id,
        facts=facts.model_dump_json(),
        certificates=certificates,
        secret=finished.key_share.to_bytes(),
        active=active,
    )


def _parse(
    inbox: Mapping[PartyIndex, bytes], parse: Callable[[bytes], M], blame: Blame | None = None
) -> dict[PartyIndex, M]:
    """Raises PartyFaultError naming everyone whose signed payload is not what it should be, and
    whom `blame` holds already."""
    parsed = {}
    blame = blame or Blame()
    for j, data in inbox.items():
        try:
            parsed[j] = parse(data)
        except ValueError:
            blame.add(j, "encoding")
    blame.raise_if_any()
    return parsed


def _ephemerals(state: KeygenState, rows: tuple[Received, ...]) -> dict[PartyIndex, bytes]:
    first = payloads(rows, f"{PROTOCOL}/1", _other_members(state))
    assert first is not None
    return {j: data[:EPHEMERAL_BYTES] for j, data in first.items()}


def _other_members(state: KeygenState) -> list[Member]:
    return [each for each in state.created.terms.members if each.index != state.own_index]


def _next(state: KeygenState, protocol: bytes) -> KeygenState:
    return replace(state, round=state.round + 1, protocol=protocol)


def _place(state: KeygenState, *, sender: str, recipient: str, payload: bytes = b"") -> Envelope:
    """Of a message of the current round. The round of a direct one we read is the same: we have
    sent ours by then."""
    return Envelope(
        session_id=state.created.session_id,
        epoch=state.created.terms.epoch,
        kind=PROTOCOL,
        round=state.round,
        sender=sender,
        recipient=recipient,
        payload=payload,
    )


def _broadcast(state: KeygenState, party: Party, payload: bytes) -> tuple[Outgoing, ...]:
    content = _place(state, sender=party.party_id, recipient=EVERYONE, payload=payload)
    return round_message(content, party.identity, [party_id for _, party_id, _ in state.others])
