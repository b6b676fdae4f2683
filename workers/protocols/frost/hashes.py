"""Hash constructions the ciphersuites are made of: RFC 9380 and BIP-340."""

from __future__ import annotations

import hashlib
from functools import cache


def expand_message_xmd(msg: bytes, dst: bytes, length: int) -> bytes:
    """RFC 9380 5.3.1 with SHA-256."""
    dst_prime = dst + len(dst).to_bytes(1, "big")
    b_0 = hashlib.sha256(bytes(64) + msg + length.to_bytes(2, "big") + b"\x00" + dst_prime).digest()
    block = hashlib.sha256(b_0 + b"\x01" + dst_prime).digest()
    out = block
    mask = int.from_bytes(b_0, "big")
    for i in range(2, -(-length // 32) + 1):
        mixed = (mask ^ int.from_bytes(block, "big")).to_bytes(32, "big")
        block = hashlib.sha256(mixed + i.to_bytes(1, "big") + dst_prime).digest()
        out += block
    return out[:length]


def tagged_hash(tag: bytes, msg: bytes) -> bytes:
    """BIP-340 ``hash_tag``: SHA-256 over the tag's own hash twice, then the message."""
    return hashlib.sha256(_prefix(tag) + msg).digest()


@cache
def _prefix(tag: bytes) -> bytes:
    return hashlib.sha256(tag).digest() * 2
