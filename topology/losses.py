"""What an apply would take messages away by: a limit that is lower than what a queue holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from topology.model import Depth, Found, Policy, Queue, Ref, Topology


def losses(
    declared: Topology, found: Found, named: frozenset[str]
) -> Iterator[tuple[Ref, str, str]]:
    """Each queue that would lose messages and is not `named`, with what it would lose; and each
    that is named and not there. With what to do."""
    present = {queue.name for queue in found.topology.queues}
    for name in sorted(named - present):
        text = "the broker has no such queue whose messages could be lost"
        yield Ref("queue", (name,)), text, "leave its name out"
    for queue in declared.queues:
        depth = found.depths.get(queue.name, Depth())
        if not depth.messages or queue.name in named or queue.name not in present:
            continue
        before = _limits(found.topology.policies, queue)
        after = _limits(declared.policies, queue)
        if lost := ", and ".join(_lost(before, after, depth)):
            yield queue.ref, lost, f"drain it first, or say that they may go: --lose {queue.name}"


def _limits(policies: Iterable[Policy], queue: Queue) -> dict[str, object]:
    """Of the one policy that applies."""
    covering = [policy for policy in policies if policy.covers(queue)]
    strongest = max(covering, key=lambda policy: policy.priority, default=None)
    return dict(strongest.definition) if strongest else {}


def _lost(before: Mapping[str, object], after: Mapping[str, object], depth: Depth) -> Iterator[str]:
    if "dead-letter-exchange" in after:
        return  # they go there
    if after.get("overflow", "drop-head") == "drop-head":
        for key, held in (("max-length", depth.messages), ("max-length-bytes", depth.bytes)):
            limit, old = after.get(key), before.get(key)
            if not isinstance(limit, int) or (isinstance(old, int) and old <= limit):
                continue
            if held and limit < held:
                yield f"it holds {held}, of which {key} would keep {limit}"
            elif not held:  # the statistics know of the messages before they know of their bytes
                yield (
                    f"it holds {depth.messages} messages of a size that the broker does not tell "
                    f"yet, of which {key} would keep {limit} bytes"
                )
    # Whether those that are there get it, too, depends on the queue's type and on the release.
    ttl, old = after.get("message-ttl"), before.get("message-ttl")
    if isinstance(ttl, int) and not (isinstance(old, int) and old <= ttl):
        yield f"those of its {depth.messages} messages that are older than {ttl} ms may go"
