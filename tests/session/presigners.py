"""Batches of presignatures by n parties in memory, through envelopes, stopped before any round.

A base transfer costs tens of milliseconds for each pair: `after` keeps what it made, and hands out
copies, each another future of the same past.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contracts import addresses, sessions
from contracts.coordinators import Coordinators
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.identity import Identity
from contracts.keys import Holder, KeyFacts
from contracts.primitives import Curve
from contracts.sessions import PresignBatch
from contracts.terms import Member, PresignTerms
from tests.protocols.simulate import coins, random_key
from tests.session.builders import (
    CLIENT_ID,
    CLIENTS,
    COORDINATOR_IDENTITY,
    IDENTITIES,
    KEY_SESSION,
    NOW,
    TOLERANCE_MS,
    drawn,
    facts,
    key,
    report_in,
)
from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import PartyIndex
from workers.session import inbox
from workers.session.party.acceptance import Party, accept_batch
from workers.session.party.direct import (
    EPHEMERAL_BYTES,
    EphemeralKey,
    direct_key,
    first_key_to,
    seal,
    unseal,
)
from workers.session.party.engines import ENGINES
from workers.session.party.seat import RoundState
from workers.session.party.step import STEP_ERRORS, Step
from workers.session.peers import Peer
from workers.store.records import KeyShareRecord, Outgoing, PresignatureRecord, Received

SESSION_MS = 60_000


def name_of(i: int) -> str:
    return f"party-{i}"


###
### Parties with a key
###


@dataclass(frozen=True)
class World:
    """n parties and their key, which t of them sign with."""

    identities: Mapping[str, Identity]
    facts: KeyFacts
    shares: Mapping[PartyIndex, KeyShare]

    @property
    def peers(self) -> dict[str, Peer]:
        return {
            name: Peer(i, identity.public)
            for i, (name, identity) in enumerate(self.identities.items(), start=1)
        }

    def party(self, i: int) -> Party:
        return Party(
            party_id=name_of(i),
            identity=self.identities[name_of(i)],
            peers=self.peers,
            coordinators=Coordinators.of(COORDINATOR_IDENTITY.public),
            clients=CLIENTS,
            clock_tolerance_ms=TOLERANCE_MS,
        )

    def member(self, i: int) -> Member:
        identity = self.identities[name_of(i)].public.der
        return Member(party_id=name_of(i), index=i, identity=identity)

    def key_record(self, i: int, **changes: Any) -> KeyShareRecord:
        fields: dict[str, Any] = {
            "key_session": self.facts.session_id,
            "epoch": self.facts.epoch,
            "owner": CLIENT_ID,
            "key_id": self.facts.key_id,
            "facts": self.facts.model_dump_json(),
            "certificates": {},
            "secret": self.shares[PartyIndex(i)].to_bytes(),
            "active": True,
        }
        return KeyShareRecord(**(fields | changes))


@functools.cache
def world(t: int = 2, n: int = 3) -> World:
    if (t, n) == (2, 3):  # the key that `builders` sign with
        return World(IDENTITIES, facts("secp256k1"), key("secp256k1"))
    identities = {name_of(i): Identity.generate() for i in range(1, n + 1)}
    shares = random_key(SECP256K1, t, n, ("world", t, n))
    view = shares[PartyIndex(1)]
    made = KeyFacts(
        client_id=CLIENT_ID,
        key_id="key-1",
        session_id=KEY_SESSION,
        epoch=2,
        curve=Curve.SECP256K1,
        threshold=t,
        public_key=view.public_key.to_bytes(),
        chain_code=view.chain_code,
        holders=[
            Holder(
                party_id=name,
                identity=identity.public.der,
                public_share=view.public_shares[PartyIndex(i)].to_bytes(),
            )
            for i, (name, identity) in enumerate(identities.items(), start=1)
        ],
        transcript_digest=coins("transcript"),
    )
    return World(identities, made, shares)


def presign_batch(
    of: World, signers: tuple[int, ...] = (1, 3), *, count: int = 1, **changes: Any
) -> PresignBatch:
    """As a coordinator would ask for it.

    Arguments:
        changes: Of the terms.
    """
    fields: dict[str, Any] = {
        "key_session": of.facts.session_id,
        "epoch": of.facts.epoch,
        "members": [of.member(i) for i in signers],
        "count": count,
        "issued_at": NOW,
        "salt": coins("batch"),
    }
    terms = PresignTerms(**(fields | changes))
    return PresignBatch(
        session_id=terms.session_id(), issued_at=NOW, terms=terms, time_left_ms=SESSION_MS
    )


###
### Runs
###


@dataclass
class Signer:
    """One signer as its store has it.

    Attributes:
        steps: All that it took; the last one's state is the present one.
        error: What ended it early.
    """

    party: Party
    key_share: KeyShareRecord | None
    rows: tuple[Received, ...] = ()
    steps: tuple[Step, ...] = ()
    error: Exception | None = None

    @property
    def state(self) -> RoundState:
        return RoundState.from_bytes(self.steps[-1].state)

    @property
    def done(self) -> bool:
        return self.error is not None or self.steps[-1].status.final

    def receive(self, body: bytes, seed: object) -> tuple[Outgoing, ...]:
        """What the session layer does with a delivery in a session that it has."""
        unverified = UnverifiedEnvelope.from_bytes(body)
        sender = unverified.claimed.sender
        envelope = unverified.verify(self.party.peers[sender].identity)
        inbox.check_place(envelope, self.party.party_id)
        if self.done:
            return ()
        ENGINES["presign"].seat(self.state, self.party).check_sender(envelope)
        slot, digest = inbox.slot_of(envelope), envelope.digest()
        try:
            if inbox.repeats(self.rows, slot, sender, digest):
                return ()
            self.rows += (Received(slot=slot, sender=sender, digest=digest, body=body),)
            step = self.advance(coins(seed, self.party.party_id, "advance", len(self.steps)))
        except STEP_ERRORS as error:
            self.error = error
            return ()
        if step is None:
            return ()
        self.steps += (step,)
        return step.outgoing

    def advance(self, randomness: bytes) -> Step | None:
        return ENGINES["presign"].advance(
            self.state,
            self.party,
            self.rows,
            key_share=self.key_share,
            randomness=drawn(randomness),
        )


Edge = tuple[str, str]
"""Sender and recipient."""


@dataclass
class Run:
    """One batch. A test changes what is under way, and lets it go on.

    Attributes:
        ephemerals: Each signer's key of the session, for lies that are sealed like the truth.
    """

    world: World
    batch: PresignBatch
    signers: dict[str, Signer]
    ephemerals: dict[str, EphemeralKey]
    under_way: list[Outgoing]
    seed: object
    reports: list[Outgoing] = field(default_factory=list)

    def copy(self) -> Run:
        return replace(
            self,
            signers={name: replace(signer) for name, signer in self.signers.items()},
            under_way=list(self.under_way),
            reports=list(self.reports),
        )

    def deliver(self, place: int = 0) -> None:
        message = self.under_way.pop(place)
        sent = self.signers[message.routing_key].receive(message.body, self.seed)
        self.under_way += [each for each in sent if each.exchange != addresses.REPORTS]
        self.reports += [each for each in sent if each.exchange == addresses.REPORTS]

    def go_on(self, choose: Callable[[int], int] = lambda _: 0) -> Run:
        """Until nobody says anything more.

        Arguments:
            choose: Given how many messages are under way, which one arrives next.
        """
        while self.under_way:
            self.deliver(choose(len(self.under_way)))
        return self

    def go_to(self, round_: int) -> Run:
        """Until only messages of this round are under way."""
        while any(each.kind != f"presign/{round_}" for each in self.under_way):
            self.deliver(
                next(i for i, m in enumerate(self.under_way) if m.kind != f"presign/{round_}")
            )
        return self

    def errors(self) -> dict[str, Exception]:
        return {name: one.error for name, one in self.signers.items() if one.error is not None}

    def presignatures(self, name: str) -> tuple[PresignatureRecord, ...]:
        return self.signers[name].steps[-1].presignatures

    def points(self) -> dict[str, list[bytes]]:
        """What each signer reported."""
        told = {}
        for each in self.reports:
            made = report_in(each)
            assert isinstance(made, sessions.PresignaturesMade)
            told[UnverifiedEnvelope.from_bytes(each.body).claimed.sender] = made.points
        return told

    # Lies.

    def place_of(self, edge: Edge) -> int:
        (place,) = [
            i
            for i, each in enumerate(self.under_way)
            if (claimed(each).sender, each.routing_key) == edge
        ]
        return place

    def envelope(self, edge: Edge) -> Envelope:
        return claimed(self.under_way[self.place_of(edge)])

    def put(self, edge: Edge, content: Envelope) -> None:
        """Another message in place of the one under way, signed as well by its claimed sender."""
        place = self.place_of(edge)
        body = content.seal(self.world.identities[content.sender])
        self.under_way[place] = replace(self.under_way[place], body=body)

    def spoil(self, edge: Edge, change: Callable[[bytes], bytes]) -> None:
        """Change the payload, as anybody could."""
        content = self.envelope(edge)
        self.put(edge, replace(content, payload=change(content.payload)))

    def lie(self, edge: Edge, change: Callable[[bytes], bytes]) -> None:
        """Change what is sealed in the payload, as only the sender can."""
        content = self.envelope(edge)
        clear, sealed = cut(content)
        key = self._key(content)
        payload = clear + seal(key, change(unseal(key, sealed)))
        self.put(edge, replace(content, payload=payload))

    def _key(self, content: Envelope) -> Any:
        sender, recipient = content.sender, content.recipient
        own = self.ephemerals[sender]
        identity, peer = self.world.identities[sender], self.world.identities[recipient].public
        if content.round == 1:
            return first_key_to(own, identity, peer, content)
        theirs = self.ephemerals[recipient].public_bytes()
        return direct_key(own, theirs, identity, peer, content)


CLEAR = {1: EPHEMERAL_BYTES, 2: 32, 3: 0}
"""Bytes before what is sealed, by round."""


def cut(content: Envelope) -> tuple[bytes, bytes]:
    size = CLEAR[content.round]
    return content.payload[:size], content.payload[size:]


def claimed(message: Outgoing) -> Envelope:
    return UnverifiedEnvelope.from_bytes(message.body).claimed


def begin(
    of: World,
    batch: PresignBatch,
    *,
    seed: object = "run",
    records: Mapping[int, KeyShareRecord] | None = None,
) -> Run:
    """Everybody's first round is under way.

    Arguments:
        records: Other key shares than those of the world, by index.
    """
    run = Run(of, batch, {}, {}, [], seed)
    for member in batch.terms.members:
        us, i = of.party(member.index), member.index
        record = (records or {}).get(i) or of.key_record(i)
        entropy = coins(seed, i, "ephemeral") + bytes(16)
        step = ENGINES["presign"].begin(
            batch,
            us,
            key_share=accept_batch(batch, us, record, (), now=NOW),
            randomness=drawn(coins(seed, i, "begin"), entropy),
        )
        run.ephemerals[us.party_id] = EphemeralKey.from_randomness(entropy)
        run.signers[us.party_id] = Signer(us, record, steps=(step,))
        run.under_way += step.outgoing
    return run


@functools.cache
def _after(t: int, n: int, signers: tuple[int, ...], count: int, round_: int, seed: object) -> Run:
    if round_ == 1:
        of = world(t, n)
        return begin(of, presign_batch(of, signers, count=count, salt=coins(seed)), seed=seed)
    earlier = _after(t, n, signers, count, round_ - 1, seed).copy()
    return earlier.go_on() if round_ == 4 else earlier.go_to(round_)


def sent(
    round_: int,
    *,
    t: int = 2,
    n: int = 3,
    signers: tuple[int, ...] = (1, 3),
    count: int = 1,
    seed: object = "run",
) -> Run:
    """A run with all messages of this round under way; of round 4, one that is over."""
    return _after(t, n, signers, count, round_, seed).copy()


def stored(record: PresignatureRecord) -> dkls23.Presignature:
    return dkls23.Presignature.from_bytes(record.secret)


HONEST, LIAR = "party-1", "party-3"
TO_ONE = (LIAR, HONEST)


def error_of(run: Run, name: str = HONEST) -> Exception:
    """How the honest party ended, which has no presignature then."""
    assert run.presignatures(name) == ()
    return run.errors()[name]
