"""Puncturable trees: k base transfers become one "all leaves but one" transfer over 2^k leaves.

SoftSpoken (Roy, eprint 2022/192), with the consistency proof that it takes from Boyle and others
(eprint 2019/1159). The base transfer's sender grows a tree; its receiver gets all leaves but the
one whose place its bits spell, and the proof shows that every choice of bits would have worked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import tags
from ..encoding import digest, require_size
from .base import KEY_SIZE, TRANSFERS, Chosen
from .bits import Bytes
from .faults import FailedCheckError

TAG_SIZE = 64
PPRF_CHECK = "PPRF proof"

Trees = Bytes
"""128 / k trees x 2^k leaves x 32 bytes. Secret."""


@dataclass(frozen=True, slots=True, eq=False)
class Punctured:
    """What the receiver ends with.

    Attributes:
        missing: Place of the leaf it lacks, for each tree. Secret.
        trees: All leaves; in a missing place stand 32 zeros.
    """

    missing: NDArray[np.intp]
    trees: Trees

    def __repr__(self) -> str:
        return "Punctured(…)"


def correction_size(k: int) -> int:
    """Bytes of the sender's correction for all trees of depth k."""
    return TRANSFERS // k * _tree_size(k)


def grow(sid: bytes, keys: Sequence[tuple[bytes, bytes]], k: int) -> tuple[bytes, Trees]:
    """The sender's trees, and the correction that lets the receiver follow."""
    node, leaf = digest(tags.OT_TREE_NODE, sid), digest(tags.OT_TREE_LEAF, sid)
    pairs = _bytes(b"".join(key for pair in keys for key in pair), TRANSFERS // k, k, 2, KEY_SIZE)
    level, correction = pairs[:, 0], []
    for depth in range(1, k):
        level = _children(node, level)
        correction.append(pairs[:, depth] ^ _sides(level))
    proof = _hashes(leaf, level)
    correction += [_sum(proof), _shown(proof)]
    flat = [part.reshape(len(pairs), -1) for part in correction]
    return np.concatenate(flat, axis=1).tobytes(), level


def puncture(sid: bytes, chosen: Chosen, k: int, correction: bytes) -> Punctured:
    """The receiver's leaves.

    Raises:
        FailedCheckError: The correction would not have served other bits. Our bits decide
            whether we notice, so noticing tells the sender something of them.
    """
    require_size(correction, correction_size(k), "a correction")
    node, leaf = digest(tags.OT_TREE_NODE, sid), digest(tags.OT_TREE_LEAF, sid)
    count = TRANSFERS // k
    sums, keys = _bytes(correction, count, -1), _bytes(b"".join(chosen.keys), count, k, KEY_SIZE)
    bits, tree = np.array(chosen.bits).reshape(count, k), np.arange(count)
    hole = bits[:, 0] ^ 1
    level = np.zeros((count, 2, KEY_SIZE), np.uint8)
    level[tree, bits[:, 0]] = keys[:, 0]
    for depth in range(1, k):
        level = _children(node, level)
        # We hold the sum over one side; what lies beneath the hole is the only unknown in it.
        side = bits[:, depth]
        level[tree, 2 * hole] = level[tree, 2 * hole + 1] = 0
        given = sums[:, 2 * KEY_SIZE * (depth - 1) :][:, : 2 * KEY_SIZE].reshape(count, 2, -1)
        level[tree, 2 * hole + side] = (given ^ _sides(level))[tree, side] ^ keys[:, depth]
        hole = 2 * hole + (side ^ 1)
    proof = _hashes(leaf, level)
    proof[tree, hole] = 0
    proof[tree, hole] = sums[:, -2 * TAG_SIZE : -TAG_SIZE] ^ _sum(proof)
    if not hmac.compare_digest(_shown(proof).tobytes(), sums[:, -TAG_SIZE:].tobytes()):
        raise FailedCheckError(PPRF_CHECK)
    return Punctured(hole, level)


def _tree_size(k: int) -> int:
    return 2 * KEY_SIZE * (k - 1) + 2 * TAG_SIZE


def _children(key: bytes, level: Bytes) -> Bytes:
    """Both children of every node of every tree."""
    return _hashes(key, level).reshape(len(level), -1, KEY_SIZE)


def _hashes(key: bytes, level: Bytes) -> Bytes:
    """64 bytes for every node of every tree."""
    data, hashed = level.tobytes(), hashlib.blake2b
    places = range(0, len(data), KEY_SIZE)
    made = b"".join([hashed(key + data[at : at + KEY_SIZE]).digest() for at in places])
    return _bytes(made, len(level), -1, TAG_SIZE)


def _shown(proof: Bytes) -> Bytes:
    """One hash over all of each tree's."""
    shown = b"".join([hashlib.blake2b(tree.tobytes()).digest() for tree in proof])
    return _bytes(shown, -1, TAG_SIZE)


def _sum(parts: Bytes) -> Bytes:
    total: Bytes = np.bitwise_xor.reduce(parts, axis=1)
    return total


def _sides(level: Bytes) -> Bytes:
    """Of each tree, the sum of all left children and that of all right ones."""
    return _sum(level.reshape(len(level), -1, 2, KEY_SIZE))


def _bytes(data: bytes, *shape: int) -> Bytes:
    """A copy, because numpy will not write into ``bytes``."""
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)
