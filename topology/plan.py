"""What to do about the difference between the files and the broker. Pure.

Three rules decide what a plan may take away:

- Only what an earlier apply made or adopted is ever deleted. The rest is *drift*: shown, kept.
  Shovels and federation are always that.
- A queue or exchange that is no longer declared is *retired*, not deleted: it keeps its bindings
  and policies, so an apply with the wrong members file stops no one's messages. ``prune`` unbinds
  it and deletes it, a queue only when it is empty.
- Bindings and policies of what still is declared follow the files at once. A stale binding would
  misroute, and a stale policy can win over the new one: only one applies to a queue.
- So does what a declared user may do, whoever gave it more. A user that is no longer declared is
  retired like a queue, with what it may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import starmap
from typing import TypeAlias

from topology.losses import losses
from topology.model import (
    Access,
    Binding,
    Depth,
    Exchange,
    Found,
    Kind,
    Policy,
    Queue,
    Ref,
    Resource,
    Topology,
    User,
)
from topology.operator_policies import operator_policy, overrulings
from topology.passwords import fits
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
    """One step. `before` is what an update replaces. A queue that `loses` is deleted with the
    messages that it holds."""

    action: Action
    target: Target
    before: Target | None = None
    loses: bool = False


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


def difference(
    declared: Topology,
    found: Found,
    *,
    prune: bool = False,
    passwords: Mapping[str, str] | None = None,
    lose: frozenset[str] = frozenset(),
) -> Plan:
    """The plan that makes `found` like `declared`; empty when it is.

    Args:
        lose: The queues whose messages may go; all others keep theirs.
        passwords: Of the users whose passwords are kept elsewhere, by user.
    """
    wanted = declared.by_ref()
    present = found.topology.by_ref()
    ours = {user.name for user in declared.users}
    old = frozenset(
        ref
        for ref, resource in present.items()
        if ref not in wanted and (ref in found.owned or _user_of(resource) in ours)
    )
    stay = retained(declared, found, old, prune=prune, lose=lose)
    going = old - stay.keys()
    doomed = [
        present[ref]
        for ref in sorted(going, key=_removal_order)
        # With a user goes what it may do.
        if Ref("user", (_user_of(present[ref]) or "",)) not in going
    ]
    ownership = Ownership(vhost=found.vhost, refs=frozenset(wanted) | stay.keys())
    changes = [
        *([] if found.vhost_exists else [_create(Vhost(name=found.vhost))]),
        *_creations_and_updates(declared, found, present, passwords or {}),
        *(_delete(target, lose) for target in doomed),
        *([] if ownership.refs == found.owned else [_update(ownership, found)]),
    ]
    others = [ref for ref in present if ref not in wanted and ref not in old]
    # Our users are for this vhost alone. What strangers do elsewhere is not for us to tell.
    others += [
        Ref("permission", (user, f"vhost {vhost}"))
        for user, vhost in found.elsewhere
        if user in ours or Ref("user", (user,)) in found.owned
    ]
    others += map(operator_policy, found.operator_policies)
    others += found.parameters
    return Plan(
        changes=tuple(changes),
        conflicts=(
            *_conflicts(declared, found, present, doomed),
            *starmap(_conflict, losses(declared, found, lose)),
        ),
        retired=() if prune else tuple(sorted(stay)),
        held=tuple(Held(ref=ref, why=stay[ref]) for ref in sorted(stay)) if prune else (),
        drift=tuple(sorted(others)),
    )


def _user_of(resource: Resource) -> str | None:
    """Whose it is, and with whom it goes."""
    return resource.user if isinstance(resource, Access) else None


def _creations_and_updates(
    declared: Topology,
    found: Found,
    present: Mapping[Ref, Resource],
    passwords: Mapping[str, str],
) -> Iterator[Change]:
    # Exchanges, queues, policies, then bindings: nothing is routed before it is bounded. Then
    # users, and what they may do only when it is known by which routing keys.
    for resource in declared.resources():
        existing = present.get(resource.ref)
        if isinstance(resource, User):
            yield from _of_user(resource, existing, found, passwords)
        elif existing is None:
            yield _create(resource)
        elif not isinstance(resource, Exchange | Queue | Binding) and resource != existing:
            yield Change(action=Action.UPDATE, target=resource, before=existing)


def _of_user(
    user: User, existing: Resource | None, found: Found, passwords: Mapping[str, str]
) -> Iterator[Change]:
    if not isinstance(existing, User):
        yield _create(replace(user, new_password=user.has_password))
        return
    kept, password = found.hashes.get(user.name), passwords.get(user.name)
    other = password is not None and not (kept is not None and fits(password, kept))
    new = user.has_password and (other or not existing.has_password)
    if new or user != existing:
        target = replace(user, new_password=new)
        yield Change(action=Action.UPDATE, target=target, before=existing)


def _create(target: Target) -> Change:
    return Change(action=Action.CREATE, target=target)


def _delete(target: Resource, lose: frozenset[str]) -> Change:
    loses = isinstance(target, Queue) and target.name in lose
    return Change(action=Action.DELETE, target=target, loses=loses)


def _conflict(ref: Ref, text: str, remedy: str) -> Conflict:
    return Conflict(ref=ref, text=text, remedy=remedy)


def _update(ownership: Ownership, found: Found) -> Change:
    before = Ownership(vhost=found.vhost, refs=found.owned)
    return Change(action=Action.UPDATE, target=ownership, before=before)


_REMOVALS: tuple[Kind, ...] = (
    "binding",
    "queue",
    "exchange",
    "policy",
    "user",
    "permission",
    "topic_permission",
    "user_limits",
    "vhost_limits",
)
"""Policies after queues: a queue must not lose its dead-lettering while it may still hold
something. A permission before the topic permissions: without those it would be wider."""


def _removal_order(ref: Ref) -> tuple[int, Ref]:
    return _REMOVALS.index(ref.kind), ref


###
### Conflicts
###


def _conflicts(
    declared: Topology,
    found: Found,
    present: Mapping[Ref, Resource],
    doomed: Iterable[Resource],
) -> Iterator[Conflict]:
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
    for ref, text in overrulings(declared, found.operator_policies):
        yield Conflict(
            ref=ref,
            text=text,
            remedy="an operator policy is stronger than all others: have the broker's "
            "administrator delete it or narrow its pattern, or declare the same limits here",
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
        remedy = f"warren topology migrate-queue {name} (topology/README.md)"
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
