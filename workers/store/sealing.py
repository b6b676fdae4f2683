"""Secrets at rest. Whoever has the database without the master key has nothing.

**Losing the master key loses every key share that was sealed under it**: nothing here can bring
one back. Keep old versions for as long as a share is sealed under them.

A key share has a data key of its own, which a `KeyWrapper` wraps: the master key here, or a key
management service in the same place. Everything shorter-lived (round state, inbox, nonces,
presignatures) is sealed directly under subkeys that HKDF-SHA256 derives from the master key, one
per row, so that no key ever sees enough messages for random AES-GCM nonces to meet.

With either goes a second half, one for each epoch of a key, that stands in no database and can be
erased (`share_keys`); a backup does without. What was received needs none: its sender has sealed
what is secret in it, to a key that stands in the round state.

The associated data says whose value it is and where it belongs: a row that was copied over another
does not open.
"""

from __future__ import annotations

import copy
import hmac
import os
import re
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.encoding import pack, unpack
from contracts.errors import ContractError

MASTER_KEY_VARIABLE = "WARREN_MASTER_KEY"
KEY_BYTES = 32

_NONCE_BYTES = 12
_VERSION_BYTES = 4
_MAX_VERSION = 2 ** (8 * _VERSION_BYTES) - 1


class Kind(Enum):
    """What is sealed. The value is its domain-separation tag."""

    KEY_SHARE = b"warren/store/key-share/v1"
    DATA_KEY = b"warren/store/data-key/v1"
    ROUND_STATE = b"warren/store/round-state/v1"
    INBOX = b"warren/store/inbox/v1"
    NONCE = b"warren/store/nonce/v1"
    PRESIGNATURE = b"warren/store/presignature/v1"
    BACKUP = b"warren/store/backup/v1"


_ERASABLE = b"erasable/v1"
"""Behind what needs both halves; `ERASABLE_END` with its length."""
ERASABLE_END = pack((_ERASABLE,))


class SealError(Exception):
    """A sealed value does not open, or there is no usable key. Never holds either."""


class ErasedError(SealError):
    """The other half of what would open it is erased: its epoch is over."""


class ErasableKeys(Protocol):
    """Keeps the other halves of keys, 32 bytes for each epoch of a key: see `share_keys`."""

    def begin(self) -> None:
        """For a database that needs none of them yet. Raises WitnessError."""

    def make(self, key_session: bytes, epoch: int) -> bytes:
        """An epoch's, made if there is none: kept for good before it is returned.

        Raises:
            ErasedError: the epoch is over.
            WitnessError: it cannot be kept.
        """

    def find(self, key_session: bytes, epoch: int) -> bytes:
        """Raises ErasedError, SealError if it is not here, or WitnessError."""

    def erased(self, key_session: bytes, epoch: int) -> bool:
        """Whether it was here and is no more. Raises WitnessError."""

    def erase_below(self, key_session: bytes, epoch: int) -> None:
        """Those of all lower epochs, for good; again, it changes nothing. Raises WitnessError."""

    def discard(self, key_session: bytes, epoch: int) -> None:
        """Of an epoch that was never made: as if it had not been here, unless it is erased. Raises
        WitnessError."""

    def let_go(self) -> None:
        """Keep in memory nothing that was read a while ago."""


class KeyWrapper(Protocol):
    """Keeps the data keys of key shares. What `wrap` returns says by itself how to undo it."""

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Seal a data key; `context` says for what, and has to be said again."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Raises SealError unless it was wrapped with the same context."""


class MasterKeys:
    """Master keys by version: the newest seals, every one opens. Wraps data keys, too."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise SealError("there is no master key")
        for version, key in keys.items():
            if not 0 < version <= _MAX_VERSION:
                raise SealError(f"master key version {version}: versions start at 1")
            if len(key) != KEY_BYTES:
                raise SealError(f"master key version {version} is not {KEY_BYTES} bytes long")
        self._newest = max(keys)
        # HKDF-SHA256 (RFC 5869), extract: the kind's tag is the salt.
        self._extracted = {
            (version, kind): hmac.digest(kind.value, key, "sha256")
            for version, key in keys.items()
            for kind in Kind
        }

    def __repr__(self) -> str:
        return f"MasterKeys(versions={self.versions})"

    @classmethod
    def from_hex(cls, digits: str) -> MasterKeys:
        """One key, version 1, from 64 hex digits."""
        return cls({1: _from_hex(1, digits)})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> MasterKeys:
        """The key in `WARREN_MASTER_KEY`. Moved to a key file, it is version 1 there."""
        digits = environment.get(MASTER_KEY_VARIABLE)
        if not digits:
            raise SealError(f"{MASTER_KEY_VARIABLE} is not set: 64 hex digits, or use a key file")
        return cls.from_hex(digits)

    @classmethod
    def from_file(cls, path: Path) -> MasterKeys:
        """A TOML file with a line `VERSION = "64 hex digits"` for each key."""
        try:
            entries = tomllib.loads(path.read_text())
        except OSError as error:
            raise SealError(f"cannot read key file {path}: {error.strerror}") from None
        except ValueError:
            raise SealError(f"key file {path} is not TOML") from None
        keys = {}
        for name, digits in entries.items():
            # A name is not quoted: someone may have put the key itself there.
            if not (name.isascii() and name.isdigit() and len(name) <= 10):
                raise SealError(f"key file {path} has a name that is not a version number")
            keys[int(name)] = _from_hex(int(name), digits)
        return cls(keys)

    @property
    def versions(self) -> list[int]:
        """Of the keys that there are, the newest last."""
        return sorted({version for version, _ in self._extracted})

    @property
    def newest(self) -> int:
        """The version that seals."""
        return self._newest

    def newest_alone(self) -> MasterKeys:
        """What is left when the older ones have retired."""
        alone = copy.copy(self)
        alone._extracted = {
            place: key for place, key in self._extracted.items() if place[0] == self._newest
        }
        return alone

    def sealed(self, value: bytes) -> bool:
        """Whether the value says that one of these keys has sealed it."""
        return int.from_bytes(value[:_VERSION_BYTES]) in self.versions

    def seal(
        self, kind: Kind, plain: bytes, context: bytes, *, erasable: bytes | None = None
    ) -> bytes:
        """Version, nonce, ciphertext; under both halves, if there is another one."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = _cipher(self._subkey(self._newest, kind, context), erasable, context)
        sealed = cipher.encrypt(nonce, plain, kind.value + context)
        return self._newest.to_bytes(_VERSION_BYTES) + nonce + sealed

    def open(
        self, kind: Kind, sealed: bytes, context: bytes, *, erasable: bytes | None = None
    ) -> bytes:
        """Undo `seal` of the same kind, context and other half. Raises SealError."""
        version = int.from_bytes(sealed[:_VERSION_BYTES])
        nonce, body = sealed[_VERSION_BYTES:][:_NONCE_BYTES], sealed[_VERSION_BYTES:][_NONCE_BYTES:]
        try:
            cipher = _cipher(self._subkey(version, kind, context), erasable, context)
            return cipher.decrypt(nonce, body, kind.value + context)
        except (InvalidTag, ValueError):
            raise SealError("wrong master key, or the row was changed or moved") from None

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Under the latest master key."""
        return self.seal(Kind.DATA_KEY, data_key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Raises SealError."""
        return self.open(Kind.DATA_KEY, wrapped, context)

    def _subkey(self, version: int, kind: Kind, context: bytes) -> bytes:
        extracted = self._extracted.get((version, kind))
        if extracted is None:
            raise SealError(f"sealed under master key version {version}, which is not here")
        # Expand, one block: the context is the info.
        return hmac.digest(extracted, context + b"\x01", "sha256")


class Sealer:
    """Seals values to their places: the associated data are the parts of `place`, packed.

    Arguments:
        wrapper: For the data keys of key shares, if it is not to be the master key.
        erasable: Without it, all is sealed so that the master key opens it for ever, and what needs
            another half does not open.
    """

    def __init__(
        self,
        keys: MasterKeys,
        *,
        wrapper: KeyWrapper | None = None,
        erasable: ErasableKeys | None = None,
    ) -> None:
        self._keys = keys
        self._wrapper: KeyWrapper = wrapper or keys
        self.erasable = erasable

    def newest_alone(self) -> Sealer:
        """What is left when the older master keys have retired."""
        alone = copy.copy(self)
        alone._keys = self._keys.newest_alone()
        if self._wrapper is self._keys:
            alone._wrapper = alone._keys
        return alone

    def sealed(self, value: bytes) -> bool:
        """Whether the value says that one of the master keys has sealed it."""
        return self._keys.sealed(value)

    def seal(self, kind: Kind, plain: bytes, *place: bytes, erasable: bytes | None = None) -> bytes:
        """Seal to a kind of value and to its place: in another one it does not open.

        Arguments:
            erasable: The other half of the key, 32 bytes that are kept elsewhere.
        """
        sealed = self._keys.seal(kind, plain, pack(place), erasable=erasable)
        return sealed if erasable is None else sealed + ERASABLE_END

    def open(
        self, kind: Kind, sealed: bytes, *place: bytes, erasable: bytes | None = None
    ) -> bytes:
        """Undo `seal`, with the other half where there is one. Raises SealError."""
        if erasable is not None:
            sealed = sealed.removesuffix(ERASABLE_END)
        try:
            return self._keys.open(kind, sealed, pack(place), erasable=erasable)
        except SealError as error:
            raise _unopened(kind, place, str(error)) from None

    def seal_share(self, secret: bytes, *place: bytes, erasable: bytes | None = None) -> bytes:
        """Under a data key of its own: the wrapped data key, a nonce, the ciphertext.

        Arguments:
            erasable: The other half of the key, 32 bytes that are kept elsewhere.
        """
        context = pack(place)
        data_key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES)
        cipher = _cipher(data_key, erasable, context)
        body = cipher.encrypt(nonce, secret, Kind.KEY_SHARE.value + context)
        sealed = pack((self._wrapper.wrap(data_key, context), nonce, body))
        return sealed if erasable is None else sealed + ERASABLE_END

    def open_share(self, sealed: bytes, *place: bytes, erasable: bytes | None = None) -> bytes:
        """Undo `seal_share`, with the other half where there is one. Raises SealError."""
        context = pack(place)
        try:
            wrapped, nonce, body = unpack(sealed.removesuffix(ERASABLE_END), 3)
            data_key = self._wrapper.unwrap(wrapped, context)
            cipher = _cipher(data_key, erasable, context)
            return cipher.decrypt(nonce, body, Kind.KEY_SHARE.value + context)
        except SealError as error:
            raise _unopened(Kind.KEY_SHARE, place, str(error)) from None
        except (ContractError, InvalidTag, ValueError):
            raise _unopened(Kind.KEY_SHARE, place, "the row was changed or moved") from None


def is_erasable(sealed: bytes) -> bool:
    """Whether half of what opens it stands elsewhere."""
    return sealed.endswith(ERASABLE_END)


def _cipher(half: bytes, erasable: bytes | None, context: bytes) -> AESGCM:
    """Neither half tells anything of the key without the other."""
    if erasable is None:
        return AESGCM(half)
    return AESGCM(hmac.digest(erasable, pack((_ERASABLE, half, context)), "sha256"))


def _unopened(kind: Kind, place: tuple[bytes, ...], reason: str) -> SealError:
    name = kind.name.lower().replace("_", " ")
    return SealError(f"{name} of {place[0].hex()} does not open: {reason}")


def _from_hex(version: int, digits: object) -> bytes:
    # Not bytes.fromhex alone, which skips spaces.
    if not isinstance(digits, str) or not re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", digits):
        raise SealError(f"master key version {version} is not {2 * KEY_BYTES} hex digits")
    return bytes.fromhex(digits)
