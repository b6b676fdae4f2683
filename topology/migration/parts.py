"""What a migration adds to the broker while it lasts, and from where to where things lead.

    exchanges of the old queue ─▶ entry ─▶ old queue                   at first
                                  entry ┄▶ exit ┄▶ side ─▶ arriving    then aside
                                  entry ─▶ gate ┄▶ refusal ─▶ refusing for a moment, nowhere
                                  entry ┄▶ exit ─▶ new queue           then where they belong

A dotted line is an alternate exchange: the broker takes it exactly if the exchange leads nowhere
else. So one binding, made or taken away, turns the whole stream from one queue to another: no
message goes to both, or to none. `gate` is there as long as the connection that made it, so whoever
is killed while publishers are refused lets them through: see `gate.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from topology.model import Binding, Exchange, Queue


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Attributes:
        old: The name of the queue that is to become another one.
        new: The name of that one; it may be the same.
    """

    old: str
    new: str

    @property
    def prefix(self) -> str:
        """What all names begin with."""
        return f"{self.old}.migration"

    @property
    def entry(self) -> str:
        """The exchange through which all messages for the queue go."""
        return f"{self.prefix}.entry"

    @property
    def exit(self) -> str:
        """The exchange to which they go when `entry` leads nowhere."""
        return f"{self.prefix}.exit"

    @property
    def side(self) -> str:
        """The exchange to which they go when `exit` leads nowhere either."""
        return f"{self.prefix}.side"

    @property
    def pour(self) -> str:
        """The exchange by which messages are moved."""
        return f"{self.prefix}.pour"

    @property
    def waiting(self) -> str:
        """The queue of what was in the old queue."""
        return f"{self.prefix}.waiting"

    @property
    def arriving(self) -> str:
        """The queue of what arrives meanwhile."""
        return f"{self.prefix}.arriving"

    @property
    def copies(self) -> str:
        """The queue that tells what has been moved."""
        return f"{self.prefix}.copies"

    @property
    def lock(self) -> str:
        """An exclusive queue: whoever has it migrates."""
        return f"{self.prefix}.lock"

    @property
    def gate(self) -> str:
        """The exchange that lasts no longer than `lock`, and leads on to `refusal`."""
        return f"{self.prefix}.gate"

    @property
    def refusal(self) -> str:
        """The exchange that leads to `refusing`."""
        return f"{self.prefix}.refusal"

    @property
    def refusing(self) -> Queue:
        """A queue without room: whoever publishes to it gets a nack."""
        full = (("x-max-length", 0), ("x-overflow", "reject-publish"))
        return Queue(name=f"{self.prefix}.refusing", type="classic", arguments=full)

    @property
    def to_refusing(self) -> Binding:
        """Of what comes to the gate."""
        return Binding(source=self.refusal, destination=self.refusing.name)

    @property
    def to_gate(self) -> Binding:
        """While it is there, all messages are refused."""
        return Binding(source=self.entry, destination=self.gate, destination_type="exchange")

    def exchanges(self) -> Iterator[Exchange]:
        """In the order in which they can be made."""
        yield Exchange(name=self.side, type="fanout")
        yield _with_alternate(self.exit, self.side)
        yield _with_alternate(self.entry, self.exit)
        yield Exchange(name=self.pour, type="fanout")
        yield Exchange(name=self.refusal, type="fanout")

    def queues(self) -> Iterator[Queue]:
        """Without limits: nothing that has arrived is refused or dropped on the way."""
        for name in (self.waiting, self.arriving, self.copies):
            yield Queue(name=name)

    def bindings(self) -> Iterator[Binding]:
        """As they are at the beginning."""
        yield self.to_old
        yield Binding(source=self.side, destination=self.arriving)
        yield Binding(source=self.pour, destination=self.copies)

    @property
    def to_old(self) -> Binding:
        """While it is there, messages go to the old queue."""
        return Binding(source=self.entry, destination=self.old)

    @property
    def to_new(self) -> Binding:
        """When it is there, they go to the new one."""
        return Binding(source=self.exit, destination=self.new)

    def poured(self, queue: str) -> Binding:
        """While it is there, what is moved goes to this queue."""
        return Binding(source=self.pour, destination=queue)

    def led_in(self, binding: Binding) -> Binding:
        """A binding of the old queue, to `entry` instead."""
        return Binding(
            source=binding.source,
            destination=self.entry,
            destination_type="exchange",
            key=binding.key,
            arguments=binding.arguments,
        )

    def led_out(self, binding: Binding) -> Binding:
        """A binding of the old queue, to the new one instead."""
        return Binding(
            source=binding.source,
            destination=self.new,
            key=binding.key,
            arguments=binding.arguments,
        )


def _with_alternate(name: str, alternate: str) -> Exchange:
    return Exchange(name=name, type="fanout", arguments=(("alternate-exchange", alternate),))
