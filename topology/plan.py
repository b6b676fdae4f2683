"""What to do about the difference between the files and the broker. Pure.

Three rules decide what a plan may take away:

- Only what an earlier apply made or adopted is ever deleted. The rest is *drift*: shown, kept.
- A queue or exchange that is no longer declared is *retired*, not deleted: it keeps its bindings
  and policies, so an apply with the wrong members file stops no one's messages. ``prune`` unbinds
  it and deletes it, a queue only when it is empty.
- Bindings and policies of what still is declared follow the files at once. A stale binding would
  misroute, and a stale policy can win over the new one: only one applies to a queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TypeAlias

from topology.model import (
    Depth,
    Exchange,
    Found,
    Kind,
    Policy,
    Queue,
    Ref,
    Resource,
    Topology,
)
from topology.retired import retained


class Action(StrEnum):
    """What is done to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vhost:
    """The vhost that all of it lives in."""

    name: str

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("vhost", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The record, kept in the broker, of what is ours."""

    vhost: str
    refs: frozenset[Ref]

    @property
    def ref(self) -> Ref:
        """The vhost whose resources they are."""
        return Ref("ownership", (self.vhost,))


Target: TypeAlias = Resource | Vhost | Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step. `before` is what an update replaces, which only a policy and the record have."""

    action: Action
    target: Target
    before: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Something RabbitMQ cannot change in place, or that makes a declaration void."""

    ref: Ref
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A retired resource that `prune` was asked to delete and must not, yet."""

    ref: Ref
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What apply would do.

    Attributes:
        changes: In the order in which they are safe.
        conflicts: While there is one, nothing at all is applied.
        retired: No longer declared, and kept as it is until it is pruned.
        held: Was to be pruned, and cannot be deleted yet.
        drift: Neither declared nor ours; never touched.
    """

    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...] = ()
    retired: tuple[Ref, ...] = ()
    held: tuple[Held, ...] = ()
    drift: tuple[Ref, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether something has to be decided by people before the broker is as declared."""
        return bool(self.conflicts or self.held)


def difference(declared: Topology, found: Found, *, prune: bool = False) -> Plan:
    """The plan that makes `found` like `declared`; empty when it is."""
    wanted = declared.by_ref()
    present = found.topology.by_ref()
    old = frozenset(ref for ref in found.owned if ref in present and ref not in wanted)
    stay = retained(declared, found, old, prune=prune)
    doomed = [present[ref] for ref in sorted(old - stay.keys(), key=_removal_order)]
    ownership = Ownership(vhost=found.vhost, refs=frozenset(wanted) | stay.keys())
    changes = [
        *([] if found.vhost_exists else [_create(Vhost(name=found.vhost))]),
        *_creations_and_updates(declared, present),
        *(Change(action=Action.DELETE, target=target) for target in doomed),
        *([] if ownership.refs == found.owned else [_update(ownership, found)]),
    ]
    return Plan(
        changes=tuple(changes),
        conflicts=tuple(_conflicts(declared, found, doomed)),
        retired=() if prune else tuple(sorted(stay)),
        held=tuple(Held(ref=ref, why=stay[ref]) for ref in sorted(stay)) if prune else (),
        drift=tuple(sorted(ref for ref in present if ref not in wanted and ref not in old)),
    )


def _creations_and_updates(declared: Topology, present: dict[Ref, Resource]) -> Iterator[Change]:
    # Exchanges, queues, policies, then bindings: nothing is routed before it is bounded.
    for resource in declared.resources():
        existing = present.get(resource.ref)
        if existing is None:
            yield _create(resource)
        elif isinstance(resource, Policy) and resource != existing:
            yield Change(action=Action.UPDATE, target=resource, before=existing)


def _create(target: Target) -> Change:
    return Change(action=Action.CREATE, target=target)


def _update(ownership: Ownership, found: Found) -> Change:
    before = Ownership(vhost=found.vhost, refs=found.owned)
    return Change(action=Action.UPDATE, target=ownership, before=before)


_REMOVALS: tuple[Kind, ...] = ("binding", "queue", "exchange", "policy")
"""Policies last: a queue must not lose its dead-lettering while it may still hold something."""


def _removal_order(ref: Ref) -> tuple[int, Ref]:
    return _REMOVALS.index(ref.kind), ref


###
### Conflicts
###


def _conflicts(declared: Topology, found: Found, doomed: Iterable[Resource]) -> Iterator[Conflict]:
    present = found.topology.by_ref()
    for resource in declared.governed():
        existing = present.get(resource.ref)
        if isinstance(existing, Exchange | Queue) and existing != resource:
            yield _immutable(existing, resource, found)
    known = {policy.name for policy in declared.policies}
    going = {resource.ref for resource in doomed}
    strangers = [
        policy
        for policy in found.topology.policies
        if policy.name not in known and policy.ref not in going
    ]
    for policy in strangers:
        if beaten := _beaten(policy, declared):
            yield Conflict(
                ref=policy.ref,
                text=f"it has priority {policy.priority} and makes ours void for {beaten}",
                remedy="only one policy applies to each queue or exchange: delete it, lower its "
                "priority, or narrow its pattern",
            )


def _beaten(stranger: Policy, declared: Topology) -> str:
    """The first declared resource whose policy `stranger` overrules, and how many more."""
    beaten = [
        resource.ref
        for resource in declared.governed()
        if stranger.covers(resource)
        and any(
            own.priority <= stranger.priority and own.covers(resource) for own in declared.policies
        )
    ]
    if not beaten:
        return ""
    return str(beaten[0]) + (f" and {len(beaten) - 1} more" if beaten[1:] else "")


def _immutable(existing: Exchange | Queue, wanted: Exchange | Queue, found: Found) -> Conflict:
    differences = [
        f"{attribute} is {_shown(getattr(existing, attribute))},"
        f" declared {_shown(getattr(wanted, attribute))}"
        for attribute in (field.name for field in fields(wanted))
        if getattr(existing, attribute) != getattr(wanted, attribute)
    ]
    name = wanted.name
    if isinstance(wanted, Exchange):
        remedy = (
            f"declare it as {name}.v2 and move publishers over (topology/README.md), or delete it "
            "while nothing publishes to it, and apply again"
        )
    else:
        depth = found.depths.get(name, Depth())
        remedy = f"declare {name}.v2, drain this one and prune it (topology/README.md)"
        if depth.messages:
            remedy = f"it holds {depth.messages} messages: {remedy}"
        else:
            command = f"rabbitmqctl delete_queue --vhost {found.vhost} {name}"
            remedy = f"if it is empty and unused, {command} and apply again; else {remedy}"
    return Conflict(
        ref=wanted.ref, text=f"RabbitMQ cannot change it: {'; '.join(differences)}", remedy=remedy
    )


def _shown(value: object) -> str:
    return str(dict(value)) if isinstance(value, tuple) else str(value)
