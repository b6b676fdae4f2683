"""Keys that can be erased: one for each key share, in files outside of the database.

What a database deletes is still in its log, its dumps and its backups, and the master key opens it
there. So a share is sealed under a key that takes a second half, 32 bytes in a file of its own.
When the share's epoch is over the file is overwritten and left empty: from then on no copy of the
row opens, whoever has it and the master key. An empty file also tells that the epoch is over.

**Losing the folder loses the shares**, unless there is a backup of them (`warren backup`, which
needs none of this) or the other parties make them anew. All processes of a party need to see one
folder; on several machines it is on a file system that they share. A copy of the folder undoes what
it is for.

A file's name is the session of the key and the epoch. It is written in full before it gets its
name, so whoever is killed in the middle leaves nothing half.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .interface import WitnessError
from .sealing import KEY_BYTES, ErasedError, SealError

_NAME = re.compile(r"([0-9a-f]{64})-([0-9]{1,10})")
_SHELF_DIGITS = 2
"""Files stand in as many folders as there are numbers of so many digits."""


class ShareKeys:
    """`sealing.ErasableKeys` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, key_session: bytes, epoch: int) -> bytes:
        path = self._path(key_session, epoch)
        with self._kept():
            if not path.exists():
                self._add(path, secrets.token_bytes(KEY_BYTES))
        return self.find(key_session, epoch)

    def find(self, key_session: bytes, epoch: int) -> bytes:
        path = self._path(key_session, epoch)
        try:
            found = path.read_bytes()
        except OSError as error:
            raise SealError(
                f"the erasable key of key session {key_session.hex()}, epoch {epoch}, cannot be "
                f"read ({error.strerror}): put back the folder {self.folder}, or set "
                "share_keys_folder under [party] to where it is; if it is lost, restore this "
                "party's shares from a backup into an empty database"
            ) from None
        if not found:
            raise ErasedError(f"epoch {epoch} of key session {key_session.hex()} is over")
        if len(found) != KEY_BYTES:
            raise SealError(f"{path} is damaged: it does not hold {KEY_BYTES} bytes")
        return found

    def erased(self, key_session: bytes, epoch: int) -> bool:
        try:
            return self._path(key_session, epoch).stat().st_size == 0
        except OSError:
            return False

    def erase_below(self, key_session: bytes, epoch: int) -> None:
        with self._kept():
            for path in self._of(key_session):
                if int(path.name.partition("-")[2]) < epoch and path.stat().st_size:
                    _erase(path)

    def _of(self, key_session: bytes) -> Iterator[Path]:
        shelf = self._path(key_session, 0).parent
        for path in shelf.glob(f"{key_session.hex()}-*"):
            if _NAME.fullmatch(path.name):
                yield path

    def _path(self, key_session: bytes, epoch: int) -> Path:
        name = key_session.hex()
        return self.folder / name[:_SHELF_DIGITS] / f"{name}-{epoch}"

    def _add(self, path: Path, key: bytes) -> None:
        """Two may do it at once; the first one's stays."""
        if not path.parent.is_dir():
            self.folder.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _sync(self.folder.parent)
            _sync(self.folder)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            _write(made, key)
            path.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink(missing_ok=True)
        _sync(path.parent)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WitnessError(
                f"cannot keep the erasable keys of shares in {self.folder}: {error.strerror}; give "
                "this party a place it can write to with share_keys_folder under [party]"
            ) from None


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _erase(path: Path) -> None:
    """In place, so that no block with the key is merely given back."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(file, bytes(KEY_BYTES), 0)
        os.fsync(file)
        os.ftruncate(file, 0)
        os.fsync(file)
    finally:
        os.close(file)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
