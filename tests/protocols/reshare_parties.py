"""The members of a reshare in memory, for the network of ``simulate``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

from workers.protocols import reshare
from workers.protocols.encoding import pack
from workers.protocols.groups import Group
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import (
    Blame,
    PartyFaultError,
    PartyIndex,
    ProtocolError,
)

from .simulate import Packet, coins, index, indices, random_key, run

M = TypeVar("M")
Claim = Callable[[reshare.Committed], reshare.Committed]
Tamper = Callable[[reshare.Parameters, Packet], bytes]


class Slot(IntEnum):
    """Where a message belongs: its round."""

    COMMITMENT = 1
    OPENING = 2
    ECHO = 3
    SHARE = 4
    POSSESSION = 5


@dataclass(frozen=True)
class Lie:
    """What a liar does.

    Attributes:
        check: The check that must name it; of a share, the one that must dispute it.
        claim: A change to what it says in rounds 1 and 2, consistently.
        tamper: A change to each message that leaves.
    """

    name: str
    check: str
    claim: Claim | None = None
    tamper: Tamper | None = None


HONEST = Lie("none", "")


def facts_of(finished: reshare.Finished) -> bytes:
    """Stands for the statement that the new epoch's certificates sign."""
    parameters = finished.parameters
    return pack(
        parameters.session_id,
        parameters.predecessor,
        parameters.to_epoch.to_bytes(4, "big"),
        finished.key.to_bytes(),
        finished.transcript_digest,
    )


class ReshareParty:
    """A member, and the session layer's duties around it.

    It parks early messages, ignores repeated ones, refuses a second version, and stores its state
    as bytes between the rounds.

    Attributes:
        stored: Its share of the new epoch, once it may have said that it holds one.
        outcome: None while it runs; ``Finished`` once every receiver has proven its share.
    """

    def __init__(
        self,
        parameters: reshare.Parameters,
        share: KeyShare | None,
        lie: Lie = HONEST,
        *,
        seed: object = "honest",
    ) -> None:
        self.parameters = parameters
        self.index = parameters.place
        self.share = share
        self.lie = lie
        self.seed = seed
        self.round = 0
        self.state = b""
        self.inbox: dict[tuple[int, PartyIndex], bytes] = {}
        self.stored: KeyShare | None = None
        self.outcome: reshare.Finished | ProtocolError | None = None

    def start(self) -> list[Packet]:
        committed, outbox = reshare.round1(
            self.parameters, self.share, randomness=coins("reshare", self.seed, self.index)
        )
        commitment = outbox.broadcast
        assert commitment is not None
        if self.lie.claim and committed.dealing and self.parameters.own.deals_as:
            committed = self.lie.claim(committed)
            assert committed.dealing is not None
            commitment = committed.dealing.opening.commitment(
                self.parameters, self.parameters.own.deals_as
            )
        self.state, self.round = committed.to_bytes(), 1
        return self.broadcast(Slot.COMMITMENT, commitment.to_bytes())

    def receive(self, packet: Packet) -> list[Packet]:
        if self.outcome is not None:
            return []
        known = self.inbox.setdefault((packet.round, packet.sender), packet.data)
        if known != packet.data:
            self.outcome = PartyFaultError(frozenset({packet.sender}), "equivocation")
            return []
        sent: list[Packet] = []
        while self.outcome is None and not self.missing():
            try:
                sent += self.advance()
            except ProtocolError as error:
                self.outcome = error
        return sent

    def awaited(self) -> dict[Slot, tuple[PartyIndex, ...]]:
        """What this member waits for in its round, and from whom."""
        parameters = self.parameters
        receives = parameters.own.receives_as is not None
        return {
            0: {},
            1: {Slot.COMMITMENT: parameters.others},
            2: {Slot.OPENING: parameters.other_dealers},
            3: {Slot.ECHO: parameters.others},
            4: {Slot.SHARE: parameters.other_dealers if receives else ()},
            5: {Slot.POSSESSION: parameters.other_receivers},
        }[self.round]

    def missing(self) -> set[tuple[Slot, PartyIndex]]:
        return {
            (slot, m)
            for slot, senders in self.awaited().items()
            for m in senders
            if (slot, m) not in self.inbox
        }

    def advance(self) -> list[Packet]:
        """Run the next step on stored bytes."""
        if self.round == 1:
            committed = reshare.Committed.from_bytes(self.state)
            commitments = self.parse(Slot.COMMITMENT, reshare.Commitment.from_bytes)
            opened, said = reshare.round2(committed, commitments)
            self.state, self.round = opened.to_bytes(), 2
            if said.broadcast is None:
                return []
            return self.broadcast(Slot.OPENING, said.broadcast.to_bytes())
        if self.round == 2:
            before = reshare.Opened.from_bytes(self.state)
            openings = self.parse(Slot.OPENING, reshare.Opening.from_bytes)
            echoed, outbox = reshare.round3(before, openings)
            self.state, self.round = echoed.to_bytes(), 3
            assert outbox.broadcast is not None
            return self.broadcast(Slot.ECHO, outbox.broadcast.to_bytes())
        if self.round == 3:
            state = reshare.Echoed.from_bytes(self.state)
            echoes = self.parse(Slot.ECHO, reshare.Echo.from_bytes)
            dealt, given_out = reshare.round4(state, echoes)
            self.state, self.round = dealt.to_bytes(), 4
            shares = {m: share.to_bytes() for m, share in given_out.direct.items()}
            return self.send(Slot.SHARE, shares)
        if self.round == 4:
            finished = reshare.finish(reshare.Dealt.from_bytes(self.state), self.open_shares())
            self.state, self.round = finished.to_bytes(), 5
            self.stored = finished.key_share
            return self.certify(finished)
        end = reshare.Finished.from_bytes(self.state)
        possessions = self.parse(Slot.POSSESSION, reshare.Possession.from_bytes)
        reshare.check_possessions(end, facts_of(end), possessions)
        self.outcome = end
        return []

    def certify(self, finished: reshare.Finished) -> list[Packet]:
        if finished.key_share is None:
            return []
        possession = reshare.round5(
            finished, facts_of(finished), randomness=coins("possession", self.seed, self.index)
        ).broadcast
        assert possession is not None
        return self.broadcast(Slot.POSSESSION, possession.to_bytes())

    def open_shares(self) -> dict[PartyIndex, reshare.Share | None]:
        opened: dict[PartyIndex, reshare.Share | None] = {}
        for m in self.awaited()[Slot.SHARE]:
            try:
                opened[m] = reshare.Share.from_bytes(self.parameters, self.inbox[Slot.SHARE, m])
            except ValueError:
                opened[m] = None
        return opened

    def parse(
        self, slot: Slot, from_bytes: Callable[[reshare.Parameters, bytes], M]
    ) -> dict[PartyIndex, M]:
        """Messages of one slot; bytes that are none are their sender's fault."""
        messages, blame = {}, Blame()
        for m in self.awaited()[slot]:
            try:
                messages[m] = from_bytes(self.parameters, self.inbox[slot, m])
            except ValueError:
                blame.add(m, "malformed")
        blame.raise_if_any()
        return messages

    def broadcast(self, slot: Slot, data: bytes) -> list[Packet]:
        return self.send(slot, dict.fromkeys(self.parameters.others, data))

    def send(self, slot: Slot, data: Mapping[PartyIndex, bytes]) -> list[Packet]:
        packets = [Packet(slot, self.index, m, data[m]) for m in data]
        if self.lie.tamper is None:
            return packets
        return [
            replace(packet, data=self.lie.tamper(self.parameters, packet)) for packet in packets
        ]


###
### Committees
###


@dataclass(frozen=True)
class Committee:
    """Who deals and who receives.

    Attributes:
        dealers: Old indices of exactly t old holders.
        receivers: The new committee in the order of its indices: an old holder by its old index,
            a newcomer as 0.
        threshold: Of the new epoch.
    """

    dealers: Sequence[int]
    receivers: Sequence[int]
    threshold: int

    def members(self) -> list[reshare.Member]:
        """Dealers first, then those who only receive."""
        new = {old: j for j, old in enumerate(self.receivers, start=1) if old}
        dealing = [
            reshare.Member(index(i), index(new[i]) if i in new else None) for i in self.dealers
        ]
        return dealing + [
            reshare.Member(None, index(j))
            for j, old in enumerate(self.receivers, start=1)
            if old not in self.dealers
        ]


SAME = Committee(dealers=(1, 3), receivers=(1, 2, 3), threshold=2)
"""A refresh of 2 of 3: party 2 does not deal."""
MOVED = Committee(dealers=(2, 3), receivers=(0, 0, 2, 0), threshold=3)
"""2 of 3 become 3 of 4: party 3 leaves, party 2 stays as party 3, three are new."""


def parameters_of(
    keys: Mapping[PartyIndex, KeyShare],
    members: Sequence[reshare.Member],
    threshold: int,
    *,
    session_id: bytes = b"\x5e" * 32,
) -> dict[PartyIndex, reshare.Parameters]:
    """What each member starts from, by place."""
    share = next(iter(keys.values()))
    return {
        m: reshare.Parameters(
            session_id=session_id,
            place=m,
            members=tuple(members),
            key=share.view,
            chain_code=share.chain_code,
            predecessor=coins("certified facts"),
            to_epoch=4,
            threshold=threshold,
            context=b"roster and request",
        )
        for m in indices(range(1, len(members) + 1))
    }


def parties_of(
    keys: Mapping[PartyIndex, KeyShare],
    parameters: Mapping[PartyIndex, reshare.Parameters],
    lies: Mapping[PartyIndex, Lie] | None = None,
) -> dict[PartyIndex, ReshareParty]:
    parties = {}
    for m, each in parameters.items():
        i = each.own.deals_as
        lie = (lies or {}).get(m, HONEST)
        parties[m] = ReshareParty(each, None if i is None else keys[i], lie)
    return parties


def two_of_three(group: Group) -> dict[PartyIndex, KeyShare]:
    return random_key(group, 2, 3, "an old epoch")


def start(
    group: Group, committee: Committee, lies: Mapping[PartyIndex, Lie] | None = None
) -> dict[PartyIndex, ReshareParty]:
    """The members of a reshare of a 2-of-3 key."""
    keys = two_of_three(group)
    parameters = parameters_of(keys, committee.members(), committee.threshold)
    return parties_of(keys, parameters, lies)


def finished_of(parties: Mapping[PartyIndex, ReshareParty]) -> dict[PartyIndex, reshare.Finished]:
    ends = {}
    for m, party in parties.items():
        assert isinstance(party.outcome, reshare.Finished), party.outcome
        ends[m] = party.outcome
    return ends


def honest_of(
    parties: Mapping[PartyIndex, ReshareParty], *liars: PartyIndex
) -> dict[PartyIndex, ReshareParty]:
    return {m: party for m, party in parties.items() if m not in liars}


def undisturbed(
    keys: Mapping[PartyIndex, KeyShare], members: Sequence[reshare.Member], threshold: int
) -> dict[PartyIndex, KeyShare]:
    """The shares of the new epoch, by its indices."""
    parties = parties_of(keys, parameters_of(keys, members, threshold))
    run(parties)
    shares = [end.key_share for end in finished_of(parties).values()]
    return {share.index: share for share in shares if share is not None}
