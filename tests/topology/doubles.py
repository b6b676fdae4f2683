"""A broker in memory that does what RabbitMQ does with each change, and checks its promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from topology.broker import QueueInUseError
from topology.model import (
    Binding,
    Depth,
    Exchange,
    Found,
    Queue,
    Ref,
    Resource,
    Topology,
)
from topology.plan import Action, Change, Ownership, Vhost


def of(*resources: Resource) -> Topology:
    return Topology.of(resources)


def found(
    *resources: Resource,
    owned: frozenset[Ref] | None = None,
    depths: Mapping[str, Depth] | None = None,
) -> Found:
    """A vhost with these resources, all ours unless said otherwise."""
    topology = of(*resources)
    return Found(
        vhost="v",
        vhost_exists=True,
        topology=topology,
        owned=frozenset(topology.by_ref()) if owned is None else owned,
        depths=depths or {},
    )


NOTHING = Found(vhost="v", vhost_exists=False, topology=Topology(), owned=frozenset(), depths={})


@dataclass
class FakeBroker:
    """Attributes:
    busy: Queues that turn out to hold messages when they are to be deleted.
    """

    vhost_exists: bool
    resources: dict[Ref, Resource]
    owned: frozenset[Ref]
    depths: Mapping[str, Depth]
    busy: frozenset[str] = frozenset()
    made: list[Change] = field(default_factory=list)

    @classmethod
    def like(cls, state: Found, *, busy: frozenset[str] = frozenset()) -> Self:
        resources = state.topology.by_ref()
        return cls(state.vhost_exists, resources, state.owned, state.depths, busy)

    def found(self) -> Found:
        return Found(
            vhost="v",
            vhost_exists=self.vhost_exists,
            topology=of(*self.resources.values()),
            owned=self.owned,
            depths=self.depths,
        )

    async def make(self, change: Change) -> None:
        target = change.target
        match target:
            case Vhost():
                self.vhost_exists = True
            case Ownership():
                self.owned = target.refs
            case _ if change.action is Action.DELETE:
                self._delete(target)
            case _:
                self._put(target)
        self.made.append(change)

    def _put(self, target: Resource) -> None:
        assert self.vhost_exists
        existing = self.resources.get(target.ref)
        if isinstance(target, Exchange | Queue) and existing is not None:
            assert existing == target, "inequivalent argument"
        if isinstance(target, Binding):
            assert Ref("exchange", (target.source,)) in self.resources, "no exchange"
            assert Ref("queue", (target.destination,)) in self.resources, "no queue"
        self.resources[target.ref] = target

    def _delete(self, target: Resource) -> None:
        if isinstance(target, Queue):
            if target.name in self.busy:
                raise QueueInUseError(f"queue {target.name} holds messages")
            depth = self.depths.get(target.name, Depth())
            assert depth == Depth(), "a queue in use is deleted"
        if isinstance(target, Exchange | Queue):
            for one in self.resources.values():
                if isinstance(one, Binding):
                    ends = {("exchange", one.source), (one.destination_type, one.destination)}
                    assert (target.ref.kind, target.name) not in ends, f"{one.ref} is torn off"
        del self.resources[target.ref]
