"""Our place in a session of several rounds: its stored state, who speaks to whom, what is sealed.

`round` in the state is the round whose messages we have sent, or would have if we speak in it. The
next one begins for us when all its messages that are meant for us are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, TypeAdapter

from contracts.encoding import pack, unpack
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.sessions import ReshareCreated
from contracts.terms import Member

from ...protocols.rounds import PartyIndex
from ...store.records import Received
from ..inbox import check_member, missing, payloads, slot_of
from ..protocols import Begun, Protocol
from .acceptance import Party
from .direct import (
    EPHEMERAL_BYTES,
    EphemeralKey,
    direct_key,
    first_key_from,
    first_key_to,
    seal,
    unseal,
)

_BEGUN: TypeAdapter[Begun] = TypeAdapter(Annotated[Begun, Field(discriminator="instruction")])

Payloads = Mapping[PartyIndex, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """Between deliveries. Secret.

    Attributes:
        protocol: The protocol's own state, as it encodes it. Secret.
    """

    begun: Begun
    own_index: int
    round: int
    protocol: bytes = field(repr=False)
    ephemeral: EphemeralKey

    def to_bytes(self) -> bytes:
        return pack(
            (
                self.begun.model_dump_json().encode(),
                self.own_index.to_bytes(1),
                self.round.to_bytes(1),
                self.protocol,
                self.ephemeral.to_bytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> RoundState:
        begun, own_index, round_, protocol, ephemeral = unpack(data, 5)
        return cls(
            begun=_BEGUN.validate_json(begun),
            own_index=own_index[0],
            round=round_[0],
            protocol=protocol,
            ephemeral=EphemeralKey.from_bytes(ephemeral),
        )

    @property
    def members(self) -> Sequence[Member]:
        return self.begun.terms.members

    @property
    def others(self) -> list[Member]:
        return [member for member in self.members if member.index != self.own_index]

    @property
    def epoch(self) -> int:
        return self.begun.terms.epoch

    @property
    def erased_with(self) -> int:
        """The epoch with which all that this tells is over. What a dealer draws begins with its
        share of the one that it deals from, which is over before what comes of it is."""
        begun = self.begun
        if not isinstance(begun, ReshareCreated):
            return self.epoch
        (own,) = [each for each in begun.terms.members if each.index == self.own_index]
        return self.epoch if own.deals_as is None else begun.predecessor.facts.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    protocol: Protocol
    state: RoundState
    party: Party

    ###
    ### Who speaks to whom
    ###

    @property
    def speaks(self) -> bool:
        """Whether we have something to say in the current round."""
        return self._stands_in(self._senders(self.state.round), self.state.own_index)

    @property
    def hearers(self) -> list[Member]:
        """To whom the current round's messages go, but for ourselves."""
        return self._others(self._receivers(self.state.round))

    def heard(self, round_: int) -> list[Member]:
        """Whose messages of a round are meant for us. Before the first round there are none."""
        if round_ == 0 or not self._stands_in(self._receivers(round_), self.state.own_index):
            return []
        return self._others(self._senders(round_))

    def inbox(self, received: Iterable[Received], round_: int) -> dict[PartyIndex, bytes] | None:
        """A round's payloads, or None while some are missing."""
        return payloads(received, self.protocol.slot(round_), self.heard(round_))

    def silent(self, received: Iterable[Received]) -> list[str]:
        """Whom the current round waits for."""
        round_ = self.state.round
        return missing(received, self.protocol.slot(round_), self.heard(round_))

    def check_sender(self, envelope: Envelope) -> None:
        """Raises ContractError unless the message's round has its sender speak to us."""
        check_member(envelope, self.state.members, epoch=self.state.epoch)
        if envelope.sender not in {member.party_id for member in self.heard(envelope.round)}:
            raise ContractError(f"{envelope.sender} has no {slot_of(envelope)} to send us")

    def _senders(self, round_: int) -> Sequence[Member]:
        return self.protocol.members(self.protocol.rounds[round_ - 1].senders, self.state.begun)

    def _receivers(self, round_: int) -> Sequence[Member]:
        return self.protocol.members(self.protocol.rounds[round_ - 1].receivers, self.state.begun)

    def _others(self, members: Iterable[Member]) -> list[Member]:
        return [member for member in members if member.index != self.state.own_index]

    @staticmethod
    def _stands_in(members: Iterable[Member], index: int) -> bool:
        return any(member.index == index for member in members)

    ###
    ### What is sealed
    ###

    def place(self, sender: str, recipient: str) -> Envelope:
        """Of a message of the current round; one that we read has the same, for we have sent
        ours."""
        return Envelope(
            session_id=self.state.begun.session_id,
            epoch=self.state.epoch,
            kind=self.protocol.name,
            round=self.state.round,
            sender=sender,
            recipient=recipient,
            payload=b"",
        )

    def ephemerals(self, received: Iterable[Received]) -> Payloads:
        """The keys of all who have introduced themselves to us, in rounds that are complete."""
        rows = tuple(received)
        known: dict[PartyIndex, bytes] = {}
        for number, round_ in enumerate(self.protocol.rounds[: self.state.round], start=1):
            inbox = self.inbox(rows, number) if round_.introduces else None
            known |= {j: data[:EPHEMERAL_BYTES] for j, data in (inbox or {}).items()}
        return known

    def seal(self, member: Member, content: bytes, ephemerals: Payloads) -> bytes:
        """For a member, at its place in the current round."""
        own, identity = self.state.ephemeral, self.party.identity
        place = self.place(self.party.party_id, member.party_id)
        peer, theirs = PublicIdentity(member.identity), ephemerals.get(PartyIndex(member.index))
        if theirs is None:
            return seal(first_key_to(own, identity, peer, place), content)
        return seal(direct_key(own, theirs, identity, peer, place), content)

    def unseal(self, member: Member, sealed: bytes, ephemerals: Payloads) -> bytes:
        """From a member, as `seal` at the other end. Raises ContractError if it does not open."""
        own, identity = self.state.ephemeral, self.party.identity
        place = self.place(member.party_id, self.party.party_id)
        peer, theirs = PublicIdentity(member.identity), ephemerals[PartyIndex(member.index)]
        if self._introduced_to(member):
            return unseal(direct_key(own, theirs, identity, peer, place), sealed)
        return unseal(first_key_from(theirs, identity, peer, place), sealed)

    def _introduced_to(self, member: Member) -> bool:
        """Whether a member had our ephemeral key before the current round."""
        return any(
            round_.introduces
            and self._stands_in(self._senders(number), self.state.own_index)
            and self._stands_in(self._receivers(number), member.index)
            for number, round_ in enumerate(self.protocol.rounds[: self.state.round - 1], start=1)
        )
