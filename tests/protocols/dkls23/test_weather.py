"""Whole batches on a bad network with a liar: one valid signature or the right culprits, always.

A ``Signer`` does what the session layer does, no more: it parks early messages, ignores repeated
ones, and keeps its state as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import coincurve
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import (
    Blame,
    PartyFaultError,
    PartyIndex,
    ProtocolError,
    SpoiltSessionError,
)

from ..simulate import coins, indices, random_key
from .batches import parameters_of, task_of

pytestmark = pytest.mark.long

SET_UP, COMMITMENT, EXTENSION, ANSWER, SHARE = range(5)
MESSAGES: list[Any] = [dkls23.SetUp, dkls23.Commitment, dkls23.Extension, dkls23.Answer]
NEEDED = [[SET_UP], [COMMITMENT, EXTENSION], [ANSWER]]
"""What a signer waits for after each round."""

ANSWER_SIZE = 40_228
PSI = range(2 * 32 + 4 * 33, 2 * 32 + 4 * 33 + 32)
"""Where it lies: after echo, salt, R, pk and both Gammas."""

DIGEST = coins("message")


@dataclass(frozen=True)
class Lie:
    """One byte of one kind of message, told to some of the others.

    Attributes:
        victims: Bit i - 1 for party i; told to everybody if that leaves nobody.
    """

    kind: int
    place: int
    flip: int
    victims: int

    def told(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self.place % len(data)] ^= self.flip
        return bytes(changed)


@dataclass(frozen=True)
class Packet:
    kind: int
    sender: PartyIndex
    recipient: PartyIndex
    data: bytes
    lie: bool = False


class Signer:
    """One party of a batch. ``outcome`` is None while it runs."""

    def __init__(
        self, parameters: dkls23.Parameters, key: KeyShare, seed: object, lie: Lie | None = None
    ) -> None:
        self.parameters, self.key, self.seed, self.lie = parameters, key, seed, lie
        self.round, self.state = 0, b""
        self.inbox: dict[tuple[int, PartyIndex], bytes] = {}
        self.outcome: dkls23.Presignature | ProtocolError | None = None

    def start(self) -> list[Packet]:
        state, outbox = dkls23.round0(
            self.parameters, self.key, randomness=coins(self.seed, self.parameters.index, 0)
        )
        self.state = state.to_bytes()
        return self.send(SET_UP, outbox.direct)

    def receive(self, packet: Packet) -> list[Packet]:
        self.inbox.setdefault((packet.kind, packet.sender), packet.data)
        sent: list[Packet] = []
        while self.outcome is None and self.ready():
            try:
                sent += self.advance()
            except ProtocolError as error:
                self.outcome = error
        return sent

    def ready(self) -> bool:
        others = self.parameters.others
        return all((kind, j) in self.inbox for kind in NEEDED[self.round] for j in others)

    def advance(self) -> list[Packet]:
        """The next round, on stored bytes."""
        mine, self.round = self.parameters, self.round + 1
        if self.round == 1:
            offered = dkls23.Offered.from_bytes(self.state)
            fresh = coins(self.seed, mine.index, 1)
            extended, first = dkls23.round1(offered, self.key, self.read(SET_UP), randomness=fresh)
            self.state = extended.to_bytes()
            everybody = dict.fromkeys(mine.others, first.broadcast)
            return self.send(COMMITMENT, everybody) + self.send(EXTENSION, first.direct)
        if self.round == 2:
            before = dkls23.Extended.from_bytes(self.state)
            answered, second = dkls23.round2(
                before, self.key, self.read(COMMITMENT), self.read(EXTENSION)
            )
            self.state = answered.to_bytes()
            return self.send(ANSWER, second.direct)
        state = dkls23.Answered.from_bytes(self.state)
        (self.outcome,) = dkls23.finish(state, self.read(ANSWER))
        return []

    def read(self, kind: int) -> dict[PartyIndex, Any]:
        """Bytes that are no message are their sender's fault."""
        messages, blame = {}, Blame()
        for j in self.parameters.others:
            try:
                messages[j] = MESSAGES[kind].from_bytes(self.parameters, self.inbox[kind, j])
            except ValueError:
                blame.add(j, "malformed")
        blame.raise_if_any()
        return messages

    def send(self, kind: int, messages: Mapping[PartyIndex, Any]) -> list[Packet]:
        data = {j: message.to_bytes() for j, message in messages.items()}
        lied = set[PartyIndex]()
        if self.lie and self.lie.kind == kind:
            lied = {j for j in data if self.lie.victims >> (j - 1) & 1} or set(data)
            data.update({j: self.lie.told(data[j]) for j in lied})
        return [Packet(kind, self.parameters.index, j, data[j], j in lied) for j in data]


Edge = tuple[int, int, int]
"""Kind, sender's and recipient's place among the signers."""


@dataclass(frozen=True)
class Network:
    choose: Callable[[int], int]
    drops: Collection[Edge]
    doubles: Collection[Edge]

    def run(self, parties: Mapping[PartyIndex, Signer]) -> bool:
        """Deliver until nothing is left. Whether a lie arrived."""
        places = {i: place for place, i in enumerate(parties)}
        under_way = [packet for party in parties.values() for packet in party.start()]
        doubled, heard = set[Packet](), False
        while under_way:
            packet = under_way.pop(self.choose(len(under_way)))
            edge = (packet.kind, places[packet.sender], places[packet.recipient])
            if edge in self.drops:
                continue
            if edge in self.doubles and packet not in doubled:
                doubled.add(packet)
                under_way.append(packet)
            heard |= packet.lie and parties[packet.recipient].outcome is None
            under_way += parties[packet.recipient].receive(packet)
        return heard


def signed(
    made: Sequence[dkls23.Presignature], liar: PartyIndex, lie: Lie | None
) -> dkls23.Signature:
    """The online round, in which the liar may lie as well."""
    task, shares = task_of(DIGEST), {}
    for one in made:
        data = dkls23.sign(one, task).to_bytes()
        if lie and lie.kind == SHARE and one.index == liar:
            data = lie.told(data)
        try:
            shares[one.index] = dkls23.SignatureShare.from_bytes(data)
        except ValueError:
            raise PartyFaultError(frozenset({one.index}), "malformed") from None
    return dkls23.combine(made[0].view, task, shares)


def accepted(signature: dkls23.Signature, key: KeyShare) -> bool:
    public_key = coincurve.PublicKey.from_signature_and_message(
        signature.to_bytes(), DIGEST, hasher=None
    )
    return bool(public_key.format() == key.public_key.to_bytes())


LIES = st.builds(
    Lie,
    kind=st.integers(SET_UP, SHARE),
    # The first 228 bytes of an answer hold all that is not the multiplier's.
    place=st.integers(0, 300) | st.integers(0, 2**20),
    flip=st.integers(1, 255),
    victims=st.integers(0, 2**7 - 1),
)


@pytest.mark.parametrize(
    ("t", "n", "examples"), [(2, 2, 30), (2, 3, 25), (3, 5, 12), (5, 7, 4)], ids=str
)
def test_every_batch_ends_in_one_valid_signature_or_in_the_right_culprits(
    t: int, n: int, examples: int
) -> None:
    """Of a lie about psi there is no culprit: presigning succeeds, and nothing gets a signature."""
    edges = st.tuples(st.integers(0, 3), st.integers(0, t - 1), st.integers(0, t - 1))

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        signers=st.permutations(range(1, n + 1)).map(lambda all_: sorted(all_[:t])),
        seed=st.integers(0, 2**32),
        liar_place=st.integers(0, t - 1),
        lie=st.none() | LIES,
        order=st.randoms(use_true_random=False),
        drops=st.just(()) | st.sets(edges, max_size=2),
        doubles=st.sets(edges, max_size=4),
    )
    def run(
        signers: list[int],
        seed: int,
        liar_place: int,
        lie: Lie | None,
        order: Any,
        drops: Collection[Edge],
        doubles: Collection[Edge],
    ) -> None:
        keys, liar = random_key(SECP256K1, t, n, seed), indices(signers)[liar_place]
        parties = {
            i: Signer(parameters, keys[i], seed, lie if i == liar else None)
            for i, parameters in parameters_of(keys, signers).items()
        }
        network = Network(lambda count: order.randrange(count), drops, doubles)
        heard = network.run(parties)
        outcomes = [party.outcome for party in parties.values()]
        made = [one for one in outcomes if isinstance(one, dkls23.Presignature)]
        spoilt = any(isinstance(one, SpoiltSessionError) for one in outcomes)
        faults = [one for one in outcomes if isinstance(one, PartyFaultError)]
        accused = frozenset[PartyIndex]().union(*(fault.culprits for fault in faults))

        assert accused <= {liar}  # whatever the network does, nobody honest is
        if not heard:
            assert not accused
            assert not spoilt
        if len(made) == t:
            sign_or_name(made, keys[liar], liar, lie, heard)
        elif heard and not drops:
            assert accused or spoilt
        else:
            assert heard or drops

    run()


def sign_or_name(
    made: Sequence[dkls23.Presignature],
    key: KeyShare,
    liar: PartyIndex,
    lie: Lie | None,
    heard: bool,
) -> None:
    """All have a presignature: a lie before it was about psi, one after it is told to us."""
    unseen = heard and lie is not None
    assert not unseen or (lie and lie.kind == ANSWER and lie.place % ANSWER_SIZE in PSI)
    signature, culprits = None, frozenset[PartyIndex]()
    try:
        signature = signed(made, liar, lie)
    except SpoiltSessionError:
        pass
    except PartyFaultError as fault:
        culprits = fault.culprits
    lied = unseen or (lie is not None and lie.kind == SHARE)
    assert (signature is None) == lied
    assert culprits <= {liar}
    assert signature is None or accepted(signature, key)
