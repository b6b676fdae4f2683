"""The one encoding of everything that is hashed or signed: length-prefixed parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .errors import ContractError

LENGTH_BYTES = 4


def pack(parts: Iterable[bytes]) -> bytes:
    """Each part behind its length as 4 big-endian bytes; so no two lists share an encoding."""
    return b"".join(len(part).to_bytes(LENGTH_BYTES) + part for part in parts)


def optional(name: str | None) -> bytes:
    """A part that may be missing. No name is nothing; so that an empty one would differ, a name has
    a byte in front."""
    return b"" if name is None else b"\x01" + name.encode()


def unpack(data: bytes, count: int) -> tuple[bytes, ...]:
    """Exactly ``count`` parts and nothing behind them. Raises ContractError otherwise."""
    parts = []
    at = 0
    for _ in range(count):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start])
        if start > len(data) or at > len(data):
            raise ContractError("truncated: a part is longer than the message")
        parts.append(data[start:at])
    if at != len(data):
        raise ContractError(f"{len(data) - at} bytes behind the last part")
    return tuple(parts)


def digest(tag: bytes, *parts: bytes) -> bytes:
    """SHA-256 over a versioned tag and length-prefixed parts."""
    return hashlib.sha256(pack((tag, *parts))).digest()
