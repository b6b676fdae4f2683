"""What is ours and no longer declared: what of it stays for now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from topology.model import Access, Binding, Depth, Found, Kind, Ref, Topology, User
from topology.names import matches

_RETIRED: Final = "it is no longer declared"


def retained(
    declared: Topology,
    found: Found,
    old: frozenset[Ref],
    *,
    prune: bool,
    lose: frozenset[str] = frozenset(),
) -> dict[Ref, str]:
    """Those of `old`, ours and no longer declared, that stay; each with the reason.

    Arguments:
        lose: The queues whose messages may go.
    """
    queues = [ref for ref in sorted(old) if ref.kind == "queue"]
    exchanges = [ref for ref in sorted(old) if ref.kind == "exchange"]
    if prune:
        torn = _foreign_bindings(found, old)
        stay = {
            ref: why for ref in queues if (why := _in_use(ref, found, lose) or torn.get(ref, ""))
        }
        needed = "a queue that is kept may dead-letter to it" if stay else ""
        stay |= {ref: why for ref in exchanges if (why := torn.get(ref, needed))}
    else:
        stay = dict.fromkeys([*queues, *exchanges], _RETIRED)
        for binding in found.topology.bindings:
            if binding.ref in old and stay.keys() & set(_ends(binding)):
                stay[binding.ref] = _RETIRED
    stay |= _users(found, old, stay, prune=prune)
    for policy in found.topology.policies:
        if policy.ref in old and not any(policy.covers(one) for one in declared.governed()):
            for one in found.topology.governed():
                if one.ref in stay and policy.covers(one):
                    stay[policy.ref] = f"it still applies to {one.ref}"
                    break
    return stay


def _users(
    found: Found, old: frozenset[Ref], stay: Mapping[Ref, str], *, prune: bool
) -> dict[Ref, str]:
    """Users that stay, with all that they may do: for now, or to empty a queue that is kept."""
    queues = [ref.parts[0] for ref in stay if ref.kind == "queue"]
    readers = {one.user: one.read for one in found.topology.permissions}
    kept: dict[str, str] = {}
    for user in found.topology.users:
        if user.ref not in old:
            continue
        read = readers.get(user.name, "")
        needed = [queue for queue in queues if matches(read, queue)] if prune else []
        if not prune:
            kept[user.name] = _RETIRED
        elif needed:
            kept[user.name] = f"it may still empty queue {needed[0]}"
    return {
        resource.ref: kept[name]
        for resource in found.topology.resources()
        if isinstance(resource, User | Access)
        and (name := resource.name if isinstance(resource, User) else resource.user) in kept
    }


def _in_use(queue: Ref, found: Found, lose: frozenset[str]) -> str:
    """Why a queue cannot be pruned, or nothing. Apply looks again, exactly, before it deletes."""
    depth = found.depths.get(queue.parts[0], Depth())
    if depth.messages and queue.parts[0] not in lose:
        return f"it holds {depth.messages} messages; drain it first, or --lose {queue.parts[0]}"
    if depth.consumers:
        return f"it has {depth.consumers} consumers; stop them first"
    return ""


def _foreign_bindings(found: Found, old: frozenset[Ref]) -> dict[Ref, str]:
    """By each end, that a binding would be torn off which pruning may not remove."""
    return {
        end: f"{binding.ref} is not ours; remove it by hand first"
        for binding in found.topology.bindings
        if binding.ref not in old
        for end in _ends(binding)
    }


def _ends(binding: Binding) -> tuple[Ref, Ref]:
    kind: Kind = "queue" if binding.destination_type == "queue" else "exchange"
    return Ref("exchange", (binding.source,)), Ref(kind, (binding.destination,))
