"""RabbitMQ's vocabulary, as far as it means the same on 3.10 and on every 4.x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXCHANGE_TYPES: Final = ("direct", "fanout", "topic")
STREAM: Final = "stream"
QUEUE_TYPES: Final = ("quorum", "classic", STREAM)
STREAM_KEYS: Final = ("max-length-bytes",)
"""What a policy may define for a stream; other keys mean nothing to it."""

PRIORITY: Final = 10
"""Of a policy that names none. Above the 0 that a policy for "everything" usually has."""

AT_LEAST_ONCE: Final = "at-least-once"
REJECT_PUBLISH: Final = "reject-publish"

KEYS: Final[Mapping[str, Mapping[str, type[int] | type[str] | tuple[str, ...]]]] = {
    # "expires" is missing on purpose: it drops a queue with its messages, not even dead-lettered.
    "queues": {
        "dead-letter-exchange": str,
        "dead-letter-routing-key": str,
        "dead-letter-strategy": ("at-most-once", AT_LEAST_ONCE),
        "delivery-limit": int,
        "max-length": int,
        "max-length-bytes": int,
        "message-ttl": int,
        "overflow": ("drop-head", REJECT_PUBLISH),
    },
    "exchanges": {"alternate-exchange": str},
}
"""What a policy may define: a number, a name, or one of some words."""

POLICY_ONLY_ARGUMENTS: Final = frozenset(f"x-{key}" for key in (*KEYS["queues"], "expires"))

ARGUMENTS: Final = ("x-single-active-consumer", "x-quorum-initial-group-size")
"""Arguments of queues for which RabbitMQ has no policy key."""

TAGS: Final = ("management", "policymaker", "monitoring", "administrator")
"""What a user may be at the management API. ``impersonator`` is missing on purpose: it may publish
in anybody's name."""

USER_LIMITS: Final = ("max-connections", "max-channels")
VHOST_LIMITS: Final = ("max-connections", "max-queues")
