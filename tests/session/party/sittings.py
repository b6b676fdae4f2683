"""A session of several rounds by all of its parties, without queue and store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from contracts import addresses
from contracts.envelope import Envelope, UnverifiedEnvelope
from workers.session import inbox
from workers.session.party.acceptance import Party
from workers.session.party.engine import Engine, Randomness
from workers.session.party.seat import RoundState, Seat
from workers.session.party.step import STEP_ERRORS, Step
from workers.session.protocols import Begun
from workers.store.records import KeyShareRecord, Outgoing, Received

Tamper = Callable[[Envelope, str], Envelope | None]
"""A message and the party it goes to -> the message that arrives, if any."""


@dataclass
class Sitting:
    """
    Attributes:
        shares: That the session begins with, by party.
        steps: Of each party, in their order.
        rows: What each has received.
        errors: With which the session ended for a party.
        sent: All that was said.
    """

    engine: Engine
    begun: Begun
    parties: Mapping[str, Party]
    shares: Mapping[str, KeyShareRecord] = field(default_factory=dict)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    rows: dict[str, list[Received]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    sent: list[Outgoing] = field(default_factory=list)

    def coins(self, name: str) -> Randomness:
        """A party's, for one call."""
        return os.urandom

    def seat(self, name: str) -> Seat:
        state = RoundState.from_bytes(self.steps[name][-1].state)
        return self.engine.seat(state, self.parties[name])

    def play(self, tamper: Tamper = lambda content, _: content) -> Self:
        for name, party in self.parties.items():
            step = self.engine.begin(
                self.begun, party, key_share=self.shares.get(name), randomness=self.coins(name)
            )
            self.steps[name], self.rows[name] = [step], []
            self.sent += step.outgoing
        for message in self.sent:  # which grows
            if message.exchange != addresses.REPORTS:
                claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
                arrived = tamper(claimed, message.routing_key)
                if arrived is not None:
                    self._deliver(message.routing_key, arrived)
        return self

    def _deliver(self, name: str, envelope: Envelope) -> None:
        if name in self.errors or self.steps[name][-1].status.final:
            return
        seat = self.seat(name)
        seat.check_sender(envelope)
        self.rows[name].append(
            Received(
                slot=inbox.slot_of(envelope),
                sender=envelope.sender,
                digest=envelope.digest(),
                body=envelope.seal(self.parties[envelope.sender].identity),
            )
        )
        try:
            step = self.engine.advance(
                seat.state, seat.party, self.rows[name], randomness=self.coins(name)
            )
        except STEP_ERRORS as error:
            self.errors[name] = error
            return
        if step is not None:
            self.steps[name].append(step)
            self.sent += step.outgoing
