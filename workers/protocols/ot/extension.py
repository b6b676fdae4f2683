"""SoftSpoken OT extension (Roy, eprint 2022/192): 128 base transfers become any number.

The receiver ends with choice bits x_j and rows v_j, the sender with one secret Delta and rows
w_j = v_j + x_j * Delta. Roles swap on the way: the extension's receiver sent the base transfers.

Sums are bitwise; a column has ``length + 128`` bits, the last 128 of which mask the consistency
check and are then dropped.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .. import tags
from ..encoding import digest, require_size
from .base import KEY_SIZE, TRANSFERS
from .bits import Bytes, transpose
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
    sid: bytes, shape: Shape, trees: Trees, *, correction: bytes, nonce: bytes, choice: bytes
) -> tuple[bytes, bytes]:
    """The receiver's one message, and its rows v_j.

    Arguments:
        correction: What ``pprf.grow`` gave with the trees, sent along.
        nonce: FRESH, 16 bytes. No two messages may come from the same expansion of the trees.
        choice: FRESH, ``shape.column_size`` bytes: x_j, then the bits that mask the check.
    """
    require_size(choice, shape.column_size, "choice bits")
    x = np.frombuffer(choice, np.uint8)
    v, total = _fold(_expand(sid, nonce, trees, shape))
    sent = nonce + (total ^ x).tobytes()

    challenge = digest(tags.OT_EXTENSION_CHALLENGE, sid, correction, sent)
    lines = _Hash(challenge, shape)
    sent += lines(x[np.newaxis]).tobytes() + _proof(challenge, lines(v))
    return sent, transpose(v[:, : shape.length // 8])


def send(
    sid: bytes, shape: Shape, punctured: Punctured, *, correction: bytes, message: bytes
) -> Correlated:
    """The sender's rows and Delta.

    Arguments:
        correction: What ``punctured`` was made with.

    Raises:
        FailedCheckError: The receiver chose differently in different columns. Delta's bits decide
            whether we notice, so noticing tells the receiver something of them.
        ValueError: A message of another size.
    """
    require_size(message, shape.message_size, "an extension")
    sent, rest = message[: -MASK_SIZE - _PROOF_SIZE], message[-MASK_SIZE - _PROOF_SIZE :]
    # The leaf in place y counts where y + hole has the bit; the hole itself never counts.
    holes = punctured.missing[:, np.newaxis]
    leaves = punctured.trees[np.arange(len(holes))[:, np.newaxis], np.arange(2**shape.k) ^ holes]
    parts, _ = _fold(_expand(sid, sent[:NONCE_SIZE], leaves, shape))
    u = np.frombuffer(sent, np.uint8, offset=NONCE_SIZE).reshape(shape.columns, -1)
    delta_bits = (holes >> np.arange(shape.k) & 1).astype(np.uint8).reshape(TRANSFERS, 1)
    w = parts ^ np.repeat(u, shape.k, axis=0) * delta_bits

    # For every column, h(w) == h(v) + Delta's bit * h(x), h linear: all columns used one x.
    challenge = digest(tags.OT_EXTENSION_CHALLENGE, sid, correction, sent)
    lines = _Hash(challenge, shape)
    h_x = np.frombuffer(rest[:MASK_SIZE], np.uint8)
    if not hmac.compare_digest(_proof(challenge, lines(w) ^ h_x * delta_bits), rest[MASK_SIZE:]):
        raise FailedCheckError(EXTENSION_CHECK)
    delta = np.packbits(delta_bits, bitorder="little").tobytes()
    return Correlated(transpose(w[:, : shape.length // 8]), delta)


class _Hash:
    """A universal hash that is linear over GF(2): GHASH of the columns, plus their mask.

    The key is AES's image of zero under a hash of everything the columns depend on, the trees'
    correction included: it is sent with them, and could be chosen to fit a hash known before.
    GHASH is reached through AES-GCM's tag of unencrypted data; what the tag adds to it is the same
    for all data of one length, and subtracted. No nonce protects anything here.
    """

    def __init__(self, challenge: bytes, shape: Shape) -> None:
        self._gcm = AESGCM(challenge[:16])
        self._size = shape.length // 8
        self._constant = self._tags(bytes(self._size), self._size)

    def __call__(self, columns: Bytes) -> Bytes:
        """16 bytes for each column."""
        found = self._tags(columns.tobytes(), columns.shape[1])
        return found ^ self._constant ^ columns[:, self._size :]

    def _tags(self, data: bytes, width: int) -> Bytes:
        tag, size, none = self._gcm.encrypt, self._size, bytes(12)
        found = [tag(none, b"", data[at : at + size]) for at in range(0, len(data), width)]
        return np.frombuffer(b"".join(found), np.uint8).reshape(-1, MASK_SIZE)


def _expand(sid: bytes, nonce: bytes, trees: Trees, shape: Shape) -> Bytes:
    """Trees x leaves x ``shape.column_size``."""
    prg, data = digest(tags.OT_EXTENSION_PRG, sid, nonce), trees.tobytes()
    shake, size = hashlib.shake_128, shape.column_size
    places = range(0, len(data), KEY_SIZE)
    streams = b"".join([shake(prg + data[at : at + KEY_SIZE]).digest(size) for at in places])
    return np.frombuffer(streams, np.uint8).reshape(*trees.shape[:2], size)


def _fold(streams: Bytes) -> tuple[Bytes, Bytes]:
    """For each tree and bit, the sum of the leaves whose place has the bit; the sum of all."""
    level, parts = streams, []
    while level.shape[1] > 1:
        odd = level[:, 1::2]
        parts.append(np.bitwise_xor.reduce(odd, axis=1))
        level = level[:, 0::2] ^ odd
    return np.stack(parts, axis=1).reshape(TRANSFERS, -1), level[:, 0]


def _proof(challenge: bytes, hashes: Bytes) -> bytes:
    return digest(tags.OT_EXTENSION_PROOF, challenge, hashes.tobytes())
