"""What is ours and no longer declared: what of it stays for now, and why."""

from __future__ import annotations

from typing import Final

from topology.model import Binding, Depth, Found, Kind, Ref, Topology

_RETIRED: Final = "it is no longer declared"


def retained(
    declared: Topology, found: Found, old: frozenset[Ref], *, prune: bool
) -> dict[Ref, str]:
    """Those of `old`, ours and no longer declared, that stay; each with the reason."""
    queues = [ref for ref in sorted(old) if ref.kind == "queue"]
    exchanges = [ref for ref in sorted(old) if ref.kind == "exchange"]
    if prune:
        torn = _foreign_bindings(found, old)
        stay = {ref: why for ref in queues if (why := _in_use(ref, found) or torn.get(ref, ""))}
        needed = "a queue that is kept may dead-letter to it" if stay else ""
        stay |= {ref: why for ref in exchanges if (why := torn.get(ref, needed))}
    else:
        stay = dict.fromkeys([*queues, *exchanges], _RETIRED)
        for binding in found.topology.bindings:
            if binding.ref in old and stay.keys() & set(_ends(binding)):
                stay[binding.ref] = _RETIRED
    for policy in found.topology.policies:
        if policy.ref in old and not any(policy.covers(one) for one in declared.governed()):
            for one in found.topology.governed():
                if one.ref in stay and policy.covers(one):
                    stay[policy.ref] = f"it still applies to {one.ref}"
                    break
    return stay


def _in_use(queue: Ref, found: Found) -> str:
    """Why a queue cannot be pruned, or nothing. Apply looks again, exactly, before it deletes."""
    depth = found.depths.get(queue.parts[0], Depth())
    if depth.messages:
        return f"it holds {depth.messages} messages; drain it first"
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
