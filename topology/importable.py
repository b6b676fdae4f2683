"""What is declared as the one file that RabbitMQ imports: for managed brokers, and at boot.

An import never deletes, and skips what conflicts with what is there, with success. So it is for a
broker that is empty, and `plan` is to be asked afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from topology.model import (
    Binding,
    Exchange,
    PasswordHash,
    Permission,
    Policy,
    Queue,
    Ref,
    TopicPermission,
    Topology,
    User,
)
from topology.passwords import SHA256


def record_name(vhost: str) -> str:
    """Of the global parameter that says what is ours. One for each vhost: vhosts then neither
    share a record nor race for one."""
    return f"warren_topology.{vhost}"


def record_value(refs: frozenset[Ref]) -> dict[str, object]:
    """Its value: a text, for `rabbitmqctl export_definitions` of RabbitMQ 4.3 makes one long word
    of a list of words."""
    return {"owned": json.dumps([[ref.kind, *ref.parts] for ref in sorted(refs)])}


def recorded(value: Any) -> frozenset[Ref]:
    """What such a value says is ours, also as it was written before. Nothing, if it cannot be read:
    then nothing is deleted, and the next apply writes it anew."""
    try:
        # rabbitmqctl exports what was a mapping as a list of pairs, and who imports it has that.
        owned = dict(value).get("owned", [])
        told = json.loads(owned) if isinstance(owned, str) else owned
        return frozenset(Ref(kind, tuple(parts)) for kind, *parts in told)
    except (TypeError, ValueError):
        return frozenset()


def as_definitions(
    topology: Topology, *, vhost: str, hash_of: Callable[[User], PasswordHash]
) -> dict[str, Any]:
    """The file's content; with the record of what is ours, so that `apply` goes on from there.

    Args:
        hash_of: Of the password of a user that has one.
    """
    limits = {one.user: dict(one.limits) for one in topology.user_limits}
    record = record_value(frozenset(topology.by_ref()))
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(user, limits.get(user.name, {}), hash_of) for user in topology.users],
        "permissions": [_permission(one, vhost) for one in topology.permissions],
        "topic_permissions": [_topic(one, vhost) for one in topology.topic_permissions],
        "parameters": [
            {
                "component": "vhost-limits",
                "name": "limits",
                "vhost": vhost,
                "value": dict(one.limits),
            }
            for one in topology.vhost_limits
        ],
        "global_parameters": [{"name": record_name(vhost), "value": record}],
        "policies": [_policy(one, vhost) for one in topology.policies],
        "queues": [_queue(one, vhost) for one in topology.queues],
        "exchanges": [_exchange(one, vhost) for one in topology.exchanges],
        "bindings": [_binding(one, vhost) for one in topology.bindings],
    }


def _user(
    user: User, limits: Mapping[str, object], hash_of: Callable[[User], PasswordHash]
) -> dict[str, Any]:
    kept = hash_of(user) if user.has_password else PasswordHash(SHA256, "")
    return {
        "name": user.name,
        "password_hash": kept.value,
        "hashing_algorithm": kept.algorithm,
        "tags": list(user.tags),
        "limits": limits,
    }


def _permission(one: Permission, vhost: str) -> dict[str, Any]:
    rights = {"configure": one.configure, "write": one.write, "read": one.read}
    return {"user": one.user, "vhost": vhost, **rights}


def _topic(one: TopicPermission, vhost: str) -> dict[str, Any]:
    rights = {"exchange": one.exchange, "write": one.write, "read": one.read}
    return {"user": one.user, "vhost": vhost, **rights}


def _policy(one: Policy, vhost: str) -> dict[str, Any]:
    return {
        "vhost": vhost,
        "name": one.name,
        "pattern": one.pattern,
        "apply-to": one.applies_to,
        "definition": dict(one.definition),
        "priority": one.priority,
    }


def _queue(one: Queue, vhost: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "vhost": vhost,
        "durable": one.durable,
        "auto_delete": one.auto_delete,
        "arguments": {"x-queue-type": one.type, **dict(one.arguments)},
    }


def _exchange(one: Exchange, vhost: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "vhost": vhost,
        "type": one.type,
        "durable": one.durable,
        "auto_delete": one.auto_delete,
        "internal": one.internal,
        "arguments": dict(one.arguments),
    }


def _binding(one: Binding, vhost: str) -> dict[str, Any]:
    return {
        "source": one.source,
        "vhost": vhost,
        "destination": one.destination,
        "destination_type": one.destination_type,
        "routing_key": one.key,
        "arguments": dict(one.arguments),
    }
