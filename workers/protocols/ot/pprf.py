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
from functools import reduce
from operator import xor

from .. import tags
from ..encoding import digest, require_size
from .base import KEY_SIZE, TRANSFERS, Chosen
from .faults import FailedCheckError

TAG_SIZE = 64
PPRF_CHECK = "PPRF proof"

Trees = tuple[tuple[bytes, ...], ...]
"""The leaves of 128 / k trees, 32 bytes each. Secret."""


@dataclass(frozen=True, slots=True)
class Punctured:
    """What the receiver ends with.

    Attributes:
        missing: Place of the leaf it lacks, for each tree. Secret.
        trees: All leaves; in a missing place stand 32 zeros.
    """

    missing: tuple[int, ...]
    trees: Trees

    def __repr__(self) -> str:
        return "Punctured(…)"


def correction_size(k: int) -> int:
    return TRANSFERS // k * _tree_size(k)


def grow(sid: bytes, keys: Sequence[tuple[bytes, bytes]], k: int) -> tuple[bytes, Trees]:
    """The sender's trees, and the correction that lets the receiver follow."""
    node, leaf = digest(tags.OT_TREE_NODE, sid), digest(tags.OT_TREE_LEAF, sid)
    correction, trees = [], []
    for start in range(0, TRANSFERS, k):
        level = list(keys[start])
        for pair in keys[start + 1 : start + k]:
            level = [child for parent in level for child in _children(node, parent)]
            correction += [_sum([pair[side], *level[side::2]]) for side in (0, 1)]
        proof = [_tag(leaf, s) for s in level]
        correction += [_sum(proof), hashlib.sha512(b"".join(proof)).digest()]
        trees.append(tuple(level))
    return b"".join(correction), tuple(trees)


def puncture(sid: bytes, chosen: Chosen, k: int, correction: bytes) -> Punctured:
    """The receiver's leaves.

    Raises:
        FailedCheckError: The correction would not have served other bits. Our bits decide
            whether we notice, so noticing tells the sender something of them.
    """
    require_size(correction, correction_size(k), "a correction")
    node, leaf = digest(tags.OT_TREE_NODE, sid), digest(tags.OT_TREE_LEAF, sid)
    missing, trees, honest = [], [], True
    for tree, start in enumerate(range(0, TRANSFERS, k)):
        sums = correction[tree * _tree_size(k) : (tree + 1) * _tree_size(k)]
        bits, keys = chosen.bits[start : start + k], chosen.keys[start : start + k]
        hole = bits[0] ^ 1
        level = [bytes(KEY_SIZE)] * 2
        level[bits[0]] = keys[0]
        for depth in range(1, k):
            level = [child for parent in level for child in _children(node, parent)]
            # We hold the sum over one side; what lies beneath the hole is the only unknown in it.
            side = bits[depth]
            level[2 * hole] = level[2 * hole + 1] = bytes(KEY_SIZE)
            at = (2 * (depth - 1) + side) * KEY_SIZE
            found = _sum([sums[at : at + KEY_SIZE], keys[depth], *level[side::2]])
            level[2 * hole + side] = found
            hole = 2 * hole + (side ^ 1)
        proof = [_tag(leaf, s) for s in level]
        proof[hole] = bytes(TAG_SIZE)
        proof[hole] = _sum([sums[-2 * TAG_SIZE : -TAG_SIZE], *proof])
        shown = hashlib.sha512(b"".join(proof)).digest()
        honest &= hmac.compare_digest(shown, sums[-TAG_SIZE:])
        missing.append(hole)
        trees.append(tuple(level))
    if not honest:
        raise FailedCheckError(PPRF_CHECK)
    return Punctured(tuple(missing), tuple(trees))


def _tree_size(k: int) -> int:
    return 2 * KEY_SIZE * (k - 1) + 2 * TAG_SIZE


def _children(key: bytes, parent: bytes) -> tuple[bytes, bytes]:
    both = hashlib.sha512(key + parent).digest()
    return both[:KEY_SIZE], both[KEY_SIZE:]


def _tag(key: bytes, leaf: bytes) -> bytes:
    return hashlib.sha512(key + leaf).digest()


def _sum(strings: Sequence[bytes]) -> bytes:
    """Bitwise sum of strings of one length."""
    total = reduce(xor, (int.from_bytes(string, "little") for string in strings))
    return total.to_bytes(len(strings[0]), "little")
