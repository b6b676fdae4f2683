"""What a broker consists of, as frozen values that compare: the words of files, plan and broker.

The same types describe what is declared and what is found, so a difference is a comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

VHOST = "warren"

ID = r"[A-Za-z0-9_-]{1,64}"
"""What may name a party or a client. Every character of it is literal in a queue's name."""

ID_IN_WORDS = "an id has 1 to 64 of the characters A-Z, a-z, 0-9, _ and -"

Kind: TypeAlias = Literal["vhost", "exchange", "queue", "policy", "binding", "ownership"]
Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | None"
Table: TypeAlias = "tuple[tuple[str, Value], ...]"
"""AMQP arguments or a policy's definition: sorted pairs, hashable and comparable."""


class Ref(NamedTuple):
    """The identity of a resource inside its vhost; a binding has five parts, all others one."""

    kind: Kind
    parts: tuple[str, ...]

    def __str__(self) -> str:
        if self.kind != "binding":
            return f"{self.kind} {self.parts[0]}"
        source, destination_type, destination, key, arguments = self.parts
        to = destination if destination_type == "queue" else f"{destination_type} {destination}"
        by = f" by {key}" if key else ""
        return f"binding {source} -> {to}{by}{'' if arguments == '()' else f' {arguments}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange as the broker knows it."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("exchange", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue. `arguments` are without ``x-queue-type``, which is `type`."""

    name: str
    type: str = "quorum"
    durable: bool = True
    auto_delete: bool = False
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("queue", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: what holds for all queues or exchanges whose names match."""

    name: str
    pattern: str
    applies_to: str
    definition: Table
    priority: int

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("policy", (self.name,))

    def covers(self, resource: Exchange | Queue) -> bool:
        """Whether RabbitMQ would consider this policy for that resource.

        A pattern somebody else wrote may be valid only for the broker's own regular
        expressions; it is then taken to cover everything, the cautious answer.
        """
        # 3.12 and later also know "quorum_queues", "classic_queues" and "streams".
        is_queue = isinstance(resource, Queue)
        if is_queue and self.applies_to.endswith(("_queues", "streams")):
            narrowed = self.applies_to.removesuffix("s").removesuffix("_queue")
            if narrowed != resource.type:
                return False
        elif self.applies_to not in ("all", "queues" if is_queue else "exchanges"):
            return False
        try:
            return re.search(self.pattern, resource.name) is not None
        except re.error:
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Leads messages of one exchange to a queue, or to another exchange."""

    source: str
    destination: str
    key: str = ""
    destination_type: str = "queue"
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """All of it: two bindings that differ in anything are two."""
        parts = (self.source, self.destination_type, self.destination, self.key)
        return Ref("binding", (*parts, repr(self.arguments)))


Resource: TypeAlias = Exchange | Queue | Policy | Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything of one vhost, each tuple in ascending order of reference."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    policies: tuple[Policy, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def resources(self) -> Iterator[Resource]:
        """All of them, in the order in which they can be made."""
        yield from self.exchanges
        yield from self.queues
        yield from self.policies
        yield from self.bindings

    def governed(self) -> Iterator[Exchange | Queue]:
        """What a policy can apply to."""
        yield from self.exchanges
        yield from self.queues

    def by_ref(self) -> dict[Ref, Resource]:
        """Every resource by its identity."""
        return {resource.ref: resource for resource in self.resources()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How full a queue is, by the broker's statistics: up to ten seconds old."""

    messages: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the broker has.

    Attributes:
        vhost_exists: False before the first apply; everything else is then empty.
        owned: What an earlier apply made or adopted. Only this is ever deleted.
        depths: By queue name; a queue without statistics is missing.
    """

    vhost: str
    vhost_exists: bool
    topology: Topology
    owned: frozenset[Ref]
    depths: Mapping[str, Depth]


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Who gets queues of their own. Compared exactly: ``svc-a`` and ``svc_a`` are two."""

    parties: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for ids in (self.parties, self.clients):
            for member in ids:
                if not is_id(member):
                    raise ValueError(f'"{member}" is no id: {ID_IN_WORDS}')
            if len(set(ids)) != len(ids):
                raise ValueError("the same member is listed twice")


def is_id(text: str) -> bool:
    """Whether the text may name a party or a client."""
    return re.fullmatch(ID, text) is not None


def table(pairs: Mapping[str, object]) -> Table:
    """JSON from the broker or a file as a sorted, hashable table."""
    return tuple(sorted((key, _frozen(value)) for key, value in pairs.items()))


def _frozen(value: object) -> Value:
    if isinstance(value, Mapping):
        return tuple((str(key), _frozen(inner)) for key, inner in sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(inner) for inner in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} is no JSON")
