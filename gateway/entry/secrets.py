"""Secrets of API keys that whoever guesses would guess first."""

from __future__ import annotations

import hashlib

from contracts.placeholders import is_placeholder

MIN_CHARACTERS = 24
MAX_CHARACTERS = 512
MIN_DISTINCT = 10
"""Different characters. A random secret of 24 has more, in hex nearly always."""

EXAMPLES = (
    "change-me",
    "changeme",
    "change-me-in-production",
    "your-api-key",
    "your-api-key-here",
    "your_api_key",
    "your_api_key_here",
    "YOUR_API_KEY",
    "your-secret-api-key",
    "your-secret-api-key-here",
    "your-secure-api-key",
    "your-secure-api-key-here",
    "your-secret-key-change-in-production",
    "your-super-secret-api-key-change-in-production",
    "test-api-key",
    "example-api-key",
    "...",
    "",
)
"""As they stand in examples and templates. Of a key that was signed only the digest is known, and
these are known by it."""


def digest(secret: bytes) -> bytes:
    """What the coordinator knows of a key."""
    return hashlib.sha256(secret).digest()


EXAMPLE_DIGESTS = frozenset(digest(each.encode()) for each in EXAMPLES)


def weakness(secret: str) -> str | None:
    """Why this should be no API key's secret, if so; without any of it."""
    if not MIN_CHARACTERS <= len(secret) <= MAX_CHARACTERS:
        return (
            f"a secret has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters, this one {len(secret)}"
        )
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        return "a secret has printable ASCII only, no space at its ends"
    if is_placeholder(secret) or secret in EXAMPLES:
        return "this is a placeholder from an example, which everybody knows"
    if len(set(secret)) < MIN_DISTINCT:
        return f"a secret has {MIN_DISTINCT} different characters at least"
    return None
