"""Policies that the broker's administrator put over all others. They only tighten, and so they may
take messages, or whole queues, that the files mean to keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from topology.definitions import KEYS, STREAM, STREAM_KEYS
from topology.model import Exchange, Policy, Queue, Ref, Topology


def operator_policy(policy: Policy) -> Ref:
    """Its identity: other policies may have the same name."""
    return Ref("operator_policy", (policy.name,))


def overrulings(declared: Topology, policies: Iterable[Policy]) -> Iterator[tuple[Ref, str]]:
    """Those under which something declared is not what the files say, with what they do to it."""
    for policy in policies:
        hit = [
            (resource, edits)
            for resource in declared.governed()
            if policy.covers(resource) and (edits := _edits(policy, resource, declared))
        ]
        if hit:
            resource, edits = hit[0]
            more = f" and {len(hit) - 1} more" if hit[1:] else ""
            loses = "expires" in dict(policy.definition)
            lost = "; a queue that expires takes its messages with it" if loses else ""
            yield operator_policy(policy), f"for {resource.ref}{more}: {', '.join(edits)}{lost}"


def _edits(policy: Policy, resource: Exchange | Queue, declared: Topology) -> list[str]:
    """RabbitMQ takes the lower of two numbers, and else what the operator policy says."""
    own: dict[str, object] = {}
    for each in declared.policies:
        if each.covers(resource):
            own = dict(each.definition)
    edits = []
    for key, value in policy.definition:
        if _means_nothing(key, resource):
            continue
        before = own.get(key)
        if isinstance(before, int) and isinstance(value, int):
            if value < before:
                edits.append(f"{key} is {value}, declared {before}")
        elif value != before:
            edits.append(f"{key} is {value}, {'not declared' if before is None else before}")
    return edits


def _means_nothing(key: str, resource: Exchange | Queue) -> bool:
    """A stream has its own limits, and not those of other queues."""
    stream = isinstance(resource, Queue) and resource.type == STREAM
    return stream and key in KEYS["queues"] and key not in STREAM_KEYS
