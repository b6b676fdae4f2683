"""Secrets that are none: they stand in somebody's examples, and were to be replaced."""

from __future__ import annotations

import re

WORDS = frozenset(
    {
        "...",
        "…",
        "xxx",
        "pass",
        "password",
        "passwd",
        "secret",
        "placeholder",
        "example",
        "todo",
        "apikey",
    }
)
"""Whole secrets, without case and marks between their words."""

_PASSWORD = re.compile(r"[a-z0-9+]+://[^:/?#@]*:([^/?#]*)@")
_MARKS = re.compile(r"[\s_-]+")
_ASKING = re.compile(
    r"your(apikey|secret|password|key|token)|change(me|this|it|in|before)|replace(me|this|with|in)|"
    r"insert(your|here|secret)|puthere|placeholder|^<.*>$|\$\{.*\}"
)
"""What asks its reader to put something else there."""


def is_placeholder(secret: str) -> bool:
    """Whether it was written to be replaced: such as ``...``, ``your-api-key``,
    ``change-me-in-production``."""
    plain = _MARKS.sub("", secret.strip().lower())
    return plain in WORDS or _ASKING.search(plain) is not None


def has_placeholder_password(address: str) -> bool:
    """Whether it is an address such as ``amqp://svcA:...@broker``."""
    found = _PASSWORD.match(address)
    return found is not None and is_placeholder(found[1])
