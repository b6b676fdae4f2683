"""The rounds of any protocol at a party, from delivery to delivery.

A protocol is its row in `session.protocols` and its plays: one that begins, and one for each round,
made when the round is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from contracts import sessions
from contracts.envelope import EVERYONE
from contracts.errors import ContractError
from contracts.results import Status
from contracts.terms import Member

from ...protocols.rounds import Blame, MisuseError, Outbox, PartyIndex, SpoiltSessionError
from ...store.records import (
    AnswerRecord,
    EpochStep,
    KeyShareRecord,
    Outgoing,
    PresignatureRecord,
    Received,
)
from .. import protocols
from ..protocols import Begun, IncompleteTableError, Round, Way
from ..sending import report, round_message
from .acceptance import Party
from .direct import EPHEMERAL_BYTES, EPHEMERAL_RANDOMNESS_BYTES, EphemeralKey, public_ephemeral
from .seat import Payloads, RoundState, Seat
from .step import Step

B = TypeVar("B", bound="Message | None")
D = TypeVar("D", bound="Message | None")
M = TypeVar("M")

Randomness = Callable[[int], bytes]
"""FRESH bytes, as many as asked for, with every call."""


class Message(Protocol):
    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a play comes to.

    Attributes:
        protocol: The protocol's state from now on. Secret.
        outbox: Our messages of the next round, if we speak in it. What is broadcast beside direct
            messages stands in front of each, unsealed.
        presignatures: Of the last play only.
        epoch: What becomes of the epoch that the session makes.
        answers: The request that this play is about, if it begins the session or if what it sends
            makes a key.
    """

    protocol: bytes = field(default=b"", repr=False)
    outbox: Outbox[bytes, bytes] = field(default_factory=Outbox, repr=False)
    reports: tuple[sessions.Report, ...] = ()
    key_share: KeyShareRecord | None = None
    epoch: EpochStep | None = None
    presignatures: tuple[PresignatureRecord, ...] = ()
    answers: AnswerRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a play is made from: a round that is complete, or the beginning.

    Attributes:
        key_share: Of the key that the session is about, if we have one. Usable or not.
        inbox: The round's payloads; empty where nobody speaks to us.
        ephemerals: The keys of those who have introduced themselves, in this round or before.
    """

    seat: Seat
    key_share: KeyShareRecord | None
    inbox: Payloads
    ephemerals: Payloads
    randomness: Randomness

    @property
    def state(self) -> RoundState:
        return self.seat.state

    @property
    def party(self) -> Party:
        return self.seat.party

    def parse(self, parse: Callable[[bytes], M]) -> dict[PartyIndex, M]:
        """What every sender said: of direct messages what is sealed in them.

        Raises:
            PartyFaultError: names everyone whose signed payload is not what it should be.
            SpoiltSessionError: a message does not open.
        """
        blame = self._introductions()
        if self._round.way is Way.BROADCAST:
            return _parse(self._behind(0), parse, blame)
        blame.raise_if_any()
        opened = self._opened()
        for member in self._heard:
            if PartyIndex(member.index) not in opened:
                # We know who sealed it, and cannot show it to anybody else: no culprit.
                raise SpoiltSessionError(f"what {member.party_id} sent us does not open")
        return _parse(opened, parse, blame)

    def parse_sealed(self, parse: Callable[[bytes], M]) -> dict[PartyIndex, M | None]:
        """As `parse` of a direct round, with None for what does not open or parse: nobody else can
        look, so whether its sender is to blame is for the protocol to say."""
        opened = self._opened()
        parsed: dict[PartyIndex, M | None] = {}
        for member in self._heard:
            j = PartyIndex(member.index)
            try:
                parsed[j] = parse(opened[j]) if j in opened else None
            except ValueError:
                parsed[j] = None
        return parsed

    def parse_clear(self, parse: Callable[[bytes], M]) -> dict[PartyIndex, M]:
        """What stands in front of the seals. Raises PartyFaultError as `parse`."""
        size = self._round.clear_bytes
        clear = {j: data[:size] for j, data in self._behind(0).items()}
        return _parse(clear, parse, self._introductions())

    @property
    def _round(self) -> Round:
        return self.seat.protocol.rounds[self.state.round - 1]

    @property
    def _heard(self) -> list[Member]:
        return self.seat.heard(self.state.round)

    def _behind(self, size: int) -> Payloads:
        skipped = size + (EPHEMERAL_BYTES if self._round.introduces else 0)
        return {j: data[skipped:] for j, data in self.inbox.items()}

    def _introductions(self) -> Blame:
        blame = Blame()
        for j, data in self.inbox.items() if self._round.introduces else ():
            try:
                public_ephemeral(data[:EPHEMERAL_BYTES])
            except ContractError:
                blame.add(j, "ephemeral key")
        return blame

    def _opened(self) -> Payloads:
        """What is sealed in the round's messages, without those that do not open."""
        sealed, opened = self._behind(self._round.clear_bytes), {}
        for member in self._heard:
            j = PartyIndex(member.index)
            with contextlib.suppress(ContractError):
                opened[j] = self.seat.unseal(member, sealed[j], self.ephemerals)
        return opened


Play = Callable[[Turn], Move]


@dataclass(frozen=True, slots=True)
class Engine:
    """
    Attributes:
        plays: The last one ends the session.
        slow: A play takes tens of milliseconds or more.
    """

    protocol: protocols.Protocol
    plays: tuple[Play, ...]
    slow: bool = False

    def __post_init__(self) -> None:
        needed = len(self.protocol.rounds) + 1
        if len(self.plays) != needed:
            raise IncompleteTableError(
                f"{self.protocol.name} takes {needed} plays, one that begins and one for each "
                f"round: not {len(self.plays)}"
            )

    def begin(
        self,
        begun: Begun,
        party: Party,
        *,
        key_share: KeyShareRecord | None = None,
        randomness: Randomness,
    ) -> Step:
        """Take our seat in a session that `acceptance` has let in."""
        (own_index,) = [
            member.index for member in begun.terms.members if member.party_id == party.party_id
        ]
        state = RoundState(
            begun=begun,
            own_index=own_index,
            round=0,
            protocol=b"",
            ephemeral=EphemeralKey.from_randomness(randomness(EPHEMERAL_RANDOMNESS_BYTES)),
        )
        step = self.advance(state, party, (), key_share=key_share, randomness=randomness)
        assert step is not None  # nobody speaks before the first round
        return step

    def advance(
        self,
        state: RoundState,
        party: Party,
        received: Iterable[Received],
        *,
        key_share: KeyShareRecord | None = None,
        randomness: Randomness,
    ) -> Step | None:
        """Make every play whose messages are all in; None if the current round is not complete.

        Raises:
            ProtocolError: a check failed; the session is to fail.
            RefusedError: we have not what it takes any more.
        """
        rows, seat = tuple(received), self.seat(state, party)
        outgoing: list[Outgoing] = []
        made: KeyShareRecord | None = None
        epoch: EpochStep | None = None
        answers: AnswerRecord | None = None
        while (inbox := seat.inbox(rows, seat.state.round)) is not None:
            turn = Turn(
                seat=seat,
                key_share=key_share,
                inbox=inbox,
                ephemerals=seat.ephemerals(rows),
                randomness=randomness,
            )
            round_ = seat.state.round
            move = self.plays[round_](turn)
            outgoing += (_report(seat, content) for content in move.reports)
            made, epoch = move.key_share or made, move.epoch or epoch
            answers = move.answers or answers
            if round_ == len(self.protocol.rounds):
                return Step(
                    status=Status.COMPLETED,
                    outgoing=tuple(outgoing),
                    key_share=made,
                    epoch=epoch,
                    presignatures=move.presignatures,
                    forget_sent=self.protocol.forgets_sent,
                    answers=answers,
                )
            seat = self.seat(replace(seat.state, round=round_ + 1, protocol=move.protocol), party)
            outgoing += self.send(seat, move.outbox, turn.ephemerals)
        if seat.state is state:
            return None
        return Step(
            status=Status.IN_PROGRESS,
            state=seat.state.to_bytes(),
            erased_with=seat.state.erased_with,
            outgoing=tuple(outgoing),
            key_share=made,
            epoch=epoch,
            answers=answers,
        )

    def seat(self, state: RoundState, party: Party) -> Seat:
        return Seat(protocol=self.protocol, state=state, party=party)

    def send(
        self, seat: Seat, outbox: Outbox[bytes, bytes], ephemerals: Payloads
    ) -> tuple[Outgoing, ...]:
        """Our messages of the current round.

        Arguments:
            ephemerals: The keys of those who introduced themselves before.

        Raises:
            MisuseError: the play does not say exactly what the round is for.
        """
        round_, party_id = self.protocol.rounds[seat.state.round - 1], seat.party.party_id
        direct = round_.way is Way.DIRECT
        to = {PartyIndex(member.index): member for member in seat.hearers if seat.speaks}
        broadcasts = seat.speaks and (round_.clear_bytes > 0 or not direct)
        if (outbox.broadcast is not None) != broadcasts or (
            outbox.direct.keys() != (to.keys() if direct else set())
        ):
            slot = self.protocol.slot(seat.state.round)
            raise MisuseError(f"a play says more or less in {slot} than the round is for")
        if not seat.speaks:
            return ()
        clear = seat.state.ephemeral.public_bytes() if round_.introduces else b""
        clear += outbox.broadcast or b""
        if not direct:
            content = replace(seat.place(party_id, EVERYONE), payload=clear)
            names = [member.party_id for member in to.values()]
            return round_message(content, seat.party.identity, names)
        sent: list[Outgoing] = []
        for j, member in to.items():
            payload = clear + seat.seal(member, outbox.direct[j], ephemerals)
            content = replace(seat.place(party_id, member.party_id), payload=payload)
            sent += round_message(content, seat.party.identity, ())
        return tuple(sent)


def encoded(outbox: Outbox[B, D]) -> Outbox[bytes, bytes]:
    """A round's messages as a protocol makes them."""
    broadcast = outbox.broadcast
    return Outbox(
        broadcast=None if broadcast is None else broadcast.to_bytes(),
        direct={j: each.to_bytes() for j, each in outbox.direct.items() if each is not None},
    )


def _report(seat: Seat, content: sessions.Report) -> Outgoing:
    return report(
        content,
        identity=seat.party.identity,
        party_id=seat.party.party_id,
        session_id=seat.state.begun.session_id,
        epoch=seat.state.epoch,
    )


def _parse(inbox: Payloads, parse: Callable[[bytes], M], blame: Blame) -> dict[PartyIndex, M]:
    """Raises PartyFaultError naming those whose payload does not parse, and whom `blame` holds."""
    parsed = {}
    for j, data in inbox.items():
        try:
            parsed[j] = parse(data)
        except ValueError:
            blame.add(j, "encoding")
    blame.raise_if_any()
    return parsed
