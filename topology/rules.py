"""What the files must be to each other, so that nothing applied can lose a message silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from topology.definitions import AT_LEAST_ONCE, REJECT_PUBLISH, STREAM, STREAM_KEYS
from topology.model import Binding, Exchange, Policy, Queue, Ref, Topology
from topology.problems import Place, Problems, did_you_mean
from topology.source import Entry


def check(
    topology: Topology,
    patterns: Mapping[str, Sequence[Entry]],
    places: Mapping[Ref, Place],
    problems: Problems,
) -> None:
    """Add a problem for each rule that `topology` breaks.

    Args:
        patterns: The names that each policy lists.
        places: Where each resource was declared.
    """
    for ref, text in _broken(topology, patterns):
        problems.add(places[ref], text)
    _check_listed_names(topology, patterns, problems)


def _broken(
    topology: Topology, patterns: Mapping[str, Sequence[Entry]]
) -> Iterator[tuple[Ref, str]]:
    exchanges = {exchange.name: exchange for exchange in topology.exchanges}
    for binding in topology.bindings:
        yield from ((binding.ref, text) for text in _binding_faults(binding, exchanges))
    for policy in topology.policies:
        yield from ((policy.ref, text) for text in _policy_faults(policy, exchanges))
    for resource in topology.governed():
        covering = [policy for policy in topology.policies if policy.covers(resource)]
        if len(covering) > 1:
            names = " and ".join(f'"{policy.name}"' for policy in covering)
            yield resource.ref, f"{resource.ref} has the policies {names}, but only one applies"
        elif isinstance(resource, Queue):
            policy_of_queue = covering[0] if covering else None
            for text in _queue_faults(resource, policy_of_queue):
                yield resource.ref, f"{resource.ref} {text}"
    ways = _dead_letter_ways(topology)
    for queue in topology.queues:
        if queue.name in _reached(ways, queue.name):
            yield queue.ref, f"{queue.ref} gets its own dead letters; RabbitMQ drops such a cycle"


def _binding_faults(binding: Binding, exchanges: Mapping[str, Exchange]) -> Iterator[str]:
    called = f'queue "{binding.destination}": bindings'
    exchange = exchanges.get(binding.source)
    if exchange is None:
        if binding.source:
            hint = did_you_mean(binding.source, exchanges)
            yield f'{called}: exchange "{binding.source}" is not declared{hint}'
    elif exchange.type == "fanout" and binding.key:
        yield f'{called}: key "{binding.key}" means nothing to a fanout exchange; leave it out'
    elif exchange.type in ("direct", "topic") and not binding.key:
        yield f"{called}: key is missing, and {binding.source} routes by it"
    elif exchange.type == "direct" and set(binding.key.split(".")) & {"*", "#"}:
        yield f'{called}: key "{binding.key}" has a wildcard, but {binding.source} is direct'


def _policy_faults(policy: Policy, exchanges: Mapping[str, Exchange]) -> Iterator[str]:
    called = f'policy "{policy.name}": definition'
    definition = dict(policy.definition)
    if not definition:
        yield f"{called} is empty"
    for key in ("dead-letter-exchange", "alternate-exchange"):
        name = definition.get(key)
        # RabbitMQ accepts the name of an exchange that is not there, and drops what is sent to it.
        if name and name not in exchanges:
            hint = did_you_mean(str(name), exchanges)
            yield f'{called}: {key}: exchange "{name}" is not declared{hint}'
    if definition.get("dead-letter-strategy") == AT_LEAST_ONCE:
        # RabbitMQ falls back to at-most-once without a word when one of these is missing.
        if definition.get("overflow") not in (REJECT_PUBLISH, ""):
            yield f"{called}: dead-letter-strategy: at-least-once needs overflow: reject-publish"
        if "dead-letter-exchange" not in definition:
            yield f"{called}: dead-letter-strategy: at-least-once needs a dead-letter-exchange"


def _queue_faults(queue: Queue, policy: Policy | None) -> Iterator[str]:
    if policy is None:
        yield "has no policy, so nothing bounds its length or its redeliveries"
        return
    definition = dict(policy.definition)
    called = f'has the policy "{policy.name}"'
    if queue.type == STREAM:
        for key in definition.keys() - set(STREAM_KEYS):
            yield f"{called}, whose {key} means nothing to a stream"
    if "max-length" not in definition and "max-length-bytes" not in definition:
        yield f"{called} without max-length or max-length-bytes"
    if queue.type == "quorum" and "delivery-limit" not in definition:
        yield f"{called} without delivery-limit: endless on RabbitMQ 3.10, then lost on 4.x"
    if queue.type == "classic" and definition.get("dead-letter-strategy") == AT_LEAST_ONCE:
        yield f"{called}, whose dead-letter-strategy only a quorum queue knows"


def _dead_letter_ways(topology: Topology) -> dict[str, set[str]]:
    """By queue, the queues that its dead letters may be routed to, whatever their keys."""
    bound: dict[str, set[str]] = {}
    for binding in topology.bindings:
        bound.setdefault(binding.source, set()).add(binding.destination)
    ways: dict[str, set[str]] = {queue.name: set() for queue in topology.queues}
    for policy in topology.policies:
        exchange = dict(policy.definition).get("dead-letter-exchange")
        if exchange:
            for queue in topology.queues:
                if policy.covers(queue):
                    ways[queue.name] |= bound.get(str(exchange), set())
    return ways


def _reached(ways: Mapping[str, set[str]], start: str) -> set[str]:
    """Where a message of `start` may get to by dying once or many times."""
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        new = ways.get(ahead.pop(), set()) - reached
        reached |= new
        ahead.extend(new)
    return reached


def _check_listed_names(
    topology: Topology, patterns: Mapping[str, Sequence[Entry]], problems: Problems
) -> None:
    """A policy must not name what nobody declares; a form with ``{id}`` may wait for members."""
    policies = {policy.name: policy for policy in topology.policies}
    for policy_name, entries in patterns.items():
        policy = policies.get(policy_name)
        if policy is None:
            continue
        known = {
            resource.name
            for resource in (
                topology.queues if policy.applies_to == "queues" else topology.exchanges
            )
        }
        for entry in entries:
            name = entry.text()
            if name and "{id}" not in name and name not in known:
                kind = policy.applies_to
                text = f'{kind}: "{name}" is not declared{did_you_mean(name, known)}'
                problems.add(entry.place, f'policy "{policy_name}": {text}')
