"""SoftSpoken OT extension (Roy, eprint 2022/192): 128 base transfers become any number.

The receiver ends with choice bits x_j and rows v_j, the sender with one secret Delta and rows
w_j = v_j + x_j * Delta. Roles swap on the way: the extension's receiver sent the base transfers.

Sums are bitwise; a column is an integer of ``length + 128`` bits, the last 128 of which mask the
consistency check and are then dropped.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .. import tags
from ..encoding import digest, require_size
from .base import TRANSFERS
from .bits import ROW_SIZE, transpose
from .faults import FailedCheckError
from .pprf import Punctured, Trees

NONCE_SIZE = 16
MASK_SIZE = 16
"""128 transfers are spent on the check, one for each bit of its field GF(2^128)."""

_PROOF_SIZE = 32
EXTENSION_CHECK = "OT-extension consistency"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is extended from how little.

    Attributes:
        k: Base transfers that one tree uses up; 128 / k columns go over the wire.
        length: Transfers wanted, a multiple of 8.
    """

    k: int
    length: int

    @property
    def columns(self) -> int:
        return TRANSFERS // self.k

    @property
    def column_size(self) -> int:
        return self.length // 8 + MASK_SIZE

    @property
    def message_size(self) -> int:
        return NONCE_SIZE + self.columns * self.column_size + MASK_SIZE + _PROOF_SIZE


@dataclass(frozen=True, slots=True)
class Correlated:
    """What the sender ends with.

    Attributes:
        rows: w_j, 16 bytes each. Secret.
        delta: Delta, 16 bytes. Secret.
    """

    rows: bytes = field(repr=False)
    delta: bytes = field(repr=False)


def receive(
    sid: bytes, shape: Shape, trees: Trees, *, nonce: bytes, choice: bytes
) -> tuple[bytes, bytes]:
    """The receiver's one message, and its rows v_j.

    Arguments:
        nonce: FRESH, 16 bytes. No two messages may come from the same expansion of the trees.
        choice: FRESH, ``shape.column_size`` bytes: x_j, then the bits that mask the check.
    """
    require_size(choice, shape.column_size, "choice bits")
    x = int.from_bytes(choice, "little")
    prg = digest(tags.OT_EXTENSION_PRG, sid, nonce)
    u, v = [], []
    for leaves in trees:
        parts, total = _fold(_expand(prg, leaf, shape) for leaf in leaves)
        u.append(total ^ x)
        v += parts
    sent = nonce + b"".join(column.to_bytes(shape.column_size, "little") for column in u)

    challenge = digest(tags.OT_EXTENSION_CHALLENGE, sid, sent)
    lines = _Hash(challenge, shape)
    proof = _proof(challenge, [lines(column) for column in v])
    sent += lines(x).to_bytes(MASK_SIZE, "little") + proof
    return sent, _rows(v, shape)


def send(sid: bytes, shape: Shape, punctured: Punctured, message: bytes) -> Correlated:
    """The sender's rows and Delta.

    Raises:
        FailedCheckError: The receiver chose differently in different columns. Delta's bits decide
            whether we notice, so noticing tells the receiver something of them.
        ValueError: A message of another size.
    """
    require_size(message, shape.message_size, "an extension")
    sent, rest = message[: -MASK_SIZE - _PROOF_SIZE], message[-MASK_SIZE - _PROOF_SIZE :]
    prg = digest(tags.OT_EXTENSION_PRG, sid, sent[:NONCE_SIZE])
    w, delta_bits = [], []
    for tree, (hole, leaves) in enumerate(zip(punctured.missing, punctured.trees, strict=True)):
        at = NONCE_SIZE + tree * shape.column_size
        u = int.from_bytes(sent[at : at + shape.column_size], "little")
        # The leaf in place y counts where y + hole has the bit; the hole itself never counts.
        streams = [_expand(prg, leaves[y ^ hole], shape) for y in range(len(leaves))]
        parts, _ = _fold(iter(streams))
        bits = [hole >> b & 1 for b in range(shape.k)]
        w += [part ^ (u & -bit) for part, bit in zip(parts, bits, strict=True)]
        delta_bits += bits

    # For every column, h(w) == h(v) + Delta's bit * h(x), h linear: all columns used one x.
    challenge = digest(tags.OT_EXTENSION_CHALLENGE, sid, sent)
    lines = _Hash(challenge, shape)
    h_x = int.from_bytes(rest[:MASK_SIZE], "little")
    h_v = [lines(column) ^ (h_x & -bit) for column, bit in zip(w, delta_bits, strict=True)]
    if not hmac.compare_digest(_proof(challenge, h_v), rest[MASK_SIZE:]):
        raise FailedCheckError(EXTENSION_CHECK)
    delta = sum(bit << place for place, bit in enumerate(delta_bits))
    return Correlated(_rows(w, shape), delta.to_bytes(ROW_SIZE, "little"))


class _Hash:
    """A universal hash that is linear over GF(2): GHASH of the columns, plus their mask.

    The key is AES's image of zero under a hash of everything the columns depend on. GHASH is
    reached through AES-GCM's tag of unencrypted data; what the tag adds to it is the same for
    all data of one length, and subtracted. No nonce protects anything here.
    """

    def __init__(self, challenge: bytes, shape: Shape) -> None:
        self._gcm = AESGCM(challenge[:16])
        self._size = shape.length // 8
        self._constant = self._tag(bytes(self._size))

    def __call__(self, column: int) -> int:
        data = column.to_bytes(self._size + MASK_SIZE, "little")
        mask = int.from_bytes(data[self._size :], "little")
        return self._tag(data[: self._size]) ^ self._constant ^ mask

    def _tag(self, data: bytes) -> int:
        return int.from_bytes(self._gcm.encrypt(bytes(12), b"", data), "little")


def _expand(prg: bytes, leaf: bytes, shape: Shape) -> int:
    return int.from_bytes(hashlib.shake_128(prg + leaf).digest(shape.column_size), "little")


def _fold(streams: Iterator[int]) -> tuple[list[int], int]:
    """For each bit b, the sum of the streams whose place has b; and the sum of all streams."""
    level, parts = list(streams), []
    while len(level) > 1:
        parts.append(_total(level[1::2]))
        level = [even ^ odd for even, odd in zip(level[0::2], level[1::2], strict=True)]
    return parts, level[0]


def _total(streams: list[int]) -> int:
    total = 0
    for stream in streams:
        total ^= stream
    return total


def _proof(challenge: bytes, hashes: list[int]) -> bytes:
    parts = b"".join(h.to_bytes(MASK_SIZE, "little") for h in hashes)
    return digest(tags.OT_EXTENSION_PROOF, challenge, parts)


def _rows(columns: list[int], shape: Shape) -> bytes:
    keep = (1 << shape.length) - 1
    return transpose([column & keep for column in columns], shape.length)
