"""n parties in memory, joined by a network that a test can bend.

A ``KeygenParty`` does what the session layer does, no more: it parks early messages, ignores
repeated ones, refuses a second version, and stores its state as bytes between the rounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from workers.protocols import keygen
from workers.protocols.groups import Group, Scalar
from workers.protocols.key_share import KeyShare
from workers.protocols.polynomial import commit, evaluate, evaluate_commitments, interpolating_value
from workers.protocols.rounds import Blame, PartyFaultError, PartyIndex, ProtocolError


def index(i: int) -> PartyIndex:
    return PartyIndex(i)


def indices(values: Iterable[int]) -> list[PartyIndex]:
    return [PartyIndex(i) for i in values]


def coins(*labels: object) -> bytes:
    """32 bytes that look random and are the same in every run."""
    return hashlib.sha256(repr(labels).encode()).digest()


###
### Keys without a key generation
###


def deal(coefficients: Sequence[Scalar], *, party_count: int) -> dict[PartyIndex, KeyShare]:
    """What a trusted dealer hands out. For tests of signing only."""
    group = coefficients[0].group
    vector = commit(coefficients)
    parties = indices(range(1, party_count + 1))
    public_shares = {i: evaluate_commitments(group, vector, i) for i in parties}
    return {
        i: KeyShare(
            group=group,
            index=i,
            threshold=len(coefficients),
            secret_share=evaluate(coefficients, i),
            public_shares=public_shares,
            public_key=vector[0],
            chain_code=coins("chain code"),
        )
        for i in parties
    }


def random_key(group: Group, t: int, n: int, seed: object) -> dict[PartyIndex, KeyShare]:
    return deal([group.scalar_from_bytes_wrapping(coins(seed, k)) for k in range(t)], party_count=n)


def reconstruct(shares: Mapping[PartyIndex, KeyShare]) -> Scalar:
    """The secret that nobody should ever hold, from exactly the shares given."""
    group = next(iter(shares.values())).group
    return sum(
        (interpolating_value(group, shares, i) * share.secret_share for i, share in shares.items()),
        start=group.scalar(0),
    )


###
### Key generation
###

M = TypeVar("M")
Claim = Callable[[keygen.Committed], keygen.Committed]
Tamper = Callable[[keygen.Parameters, "Packet"], bytes]


@dataclass(frozen=True)
class Packet:
    """One message on its way."""

    round: int
    sender: PartyIndex
    recipient: PartyIndex
    data: bytes


class KeygenParty:
    """A party, and the session layer's duties around it.

    Attributes:
        claim: A liar's change to what it says in rounds 1 and 2, consistently.
        tamper: A liar's change to each message that leaves.
        outcome: None while it runs.
    """

    def __init__(
        self,
        parameters: keygen.Parameters,
        *,
        claim: Claim | None = None,
        tamper: Tamper | None = None,
        seed: object = "honest",
    ) -> None:
        self.parameters = parameters
        self.index = parameters.index
        self.claim = claim
        self.tamper = tamper
        self.seed = seed
        self.round = 0
        self.state = b""
        self.inbox: dict[tuple[int, PartyIndex], bytes] = {}
        self.outcome: keygen.Finished | ProtocolError | None = None

    def start(self) -> list[Packet]:
        committed, outbox = keygen.round1(
            self.parameters, randomness=coins("keygen", self.seed, self.index)
        )
        assert outbox.broadcast is not None
        commitment = outbox.broadcast
        if self.claim:
            committed = self.claim(committed)
            commitment = committed.opening.commitment(self.parameters, self.index)
        self.state, self.round = committed.to_bytes(), 1
        return self.send(dict.fromkeys(self.parameters.others, commitment.to_bytes()))

    def receive(self, packet: Packet) -> list[Packet]:
        if self.outcome is not None:
            return []
        known = self.inbox.setdefault((packet.round, packet.sender), packet.data)
        if known != packet.data:
            self.outcome = PartyFaultError(frozenset({packet.sender}), "equivocation")
            return []
        sent: list[Packet] = []
        while self.outcome is None and not self.silent():
            try:
                sent += self.advance()
            except ProtocolError as error:
                self.outcome = error
        return sent

    def silent(self) -> set[PartyIndex]:
        """Whom this party waits for."""
        return {j for j in self.parameters.others if (self.round, j) not in self.inbox}

    def advance(self) -> list[Packet]:
        """Run the next step on stored bytes."""
        others = self.parameters.others
        if self.round == 1:
            committed = keygen.Committed.from_bytes(self.state)
            opened, opening = keygen.round2(committed, self.parse(keygen.Commitment.from_bytes))
            assert opening.broadcast is not None
            self.state, self.round = opened.to_bytes(), 2
            return self.send(dict.fromkeys(others, opening.broadcast.to_bytes()))
        if self.round == 2:
            before = keygen.Opened.from_bytes(self.state)
            dealt, shares = keygen.round3(before, self.parse(keygen.Opening.from_bytes))
            self.state, self.round = dealt.to_bytes(), 3
            return self.send({j: share.to_bytes() for j, share in shares.direct.items()})
        state = keygen.Dealt.from_bytes(self.state)
        finished = keygen.finish(state, self.parse(keygen.Share.from_bytes))
        self.outcome = keygen.Finished.from_bytes(finished.to_bytes())
        return []

    def parse(self, from_bytes: Callable[[keygen.Parameters, bytes], M]) -> dict[PartyIndex, M]:
        """Messages of this round; bytes that are none are their sender's fault."""
        messages, blame = {}, Blame()
        for j in self.parameters.others:
            try:
                messages[j] = from_bytes(self.parameters, self.inbox[self.round, j])
            except ValueError:
                blame.add(j, "malformed")
        blame.raise_if_any()
        return messages

    def send(self, data: Mapping[PartyIndex, bytes]) -> list[Packet]:
        packets = [Packet(self.round, self.index, j, data[j]) for j in data]
        if self.tamper is None:
            return packets
        return [replace(packet, data=self.tamper(self.parameters, packet)) for packet in packets]


def parameters_of(
    group: Group, t: int, n: int, *, session_id: bytes = b"\x5e" * 32
) -> dict[PartyIndex, keygen.Parameters]:
    """What each of n parties starts from."""
    return {
        i: keygen.Parameters(
            group=group,
            session_id=session_id,
            index=i,
            threshold=t,
            party_count=n,
            context=b"roster and request",
        )
        for i in indices(range(1, n + 1))
    }


@dataclass(frozen=True)
class Weather:
    """What the network does.

    Attributes:
        choose: Given how many packets are under way, the place of the next one to deliver.
        drops: (round, sender, recipient) that never arrive.
        doubles: (round, sender, recipient) that arrive twice.
    """

    choose: Callable[[int], int] = lambda _: 0
    drops: Collection[tuple[int, int, int]] = ()
    doubles: Collection[tuple[int, int, int]] = ()


class Simulated(Protocol):
    """A party that a network can join to others."""

    def start(self) -> list[Packet]: ...

    def receive(self, packet: Packet) -> list[Packet]: ...


def run(parties: Mapping[PartyIndex, Simulated], weather: Weather | None = None) -> None:
    """Deliver packets until none is left. Every party ends with an outcome or waits."""
    weather = weather or Weather()
    under_way = [packet for party in parties.values() for packet in party.start()]
    doubled = set[Packet]()
    while under_way:
        packet = under_way.pop(weather.choose(len(under_way)))
        edge = (packet.round, packet.sender, packet.recipient)
        if edge in weather.drops:
            continue
        if edge in weather.doubles and packet not in doubled:
            doubled.add(packet)
            under_way.append(packet)
        under_way += parties[packet.recipient].receive(packet)


def generate(group: Group, t: int, n: int) -> dict[PartyIndex, keygen.Finished]:
    """An undisturbed key generation."""
    parties = {i: KeygenParty(p) for i, p in parameters_of(group, t, n).items()}
    run(parties)
    finished = {}
    for i, party in parties.items():
        assert isinstance(party.outcome, keygen.Finished), party.outcome
        finished[i] = party.outcome
    return finished
