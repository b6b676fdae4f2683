"""Keys that can be erased: one for each epoch of a key, in files outside of the database.

What a database deletes is still in its log, its dumps and its backups, and the master key opens it
there. So a share, and all that tells it (nonces, presignatures, round state), is sealed under keys
that take a second half, 32 bytes in a file of its own. When the epoch is over the file is
overwritten: from then on no copy of the rows opens, whoever has it and the master key. What stands
there then also tells that the epoch is over.

**Losing the folder loses the shares**, unless there is a backup of them (`warren backup`, which
needs none of this) or the other parties make them anew. All processes of a party need to see one
folder; on several machines it is on a file system that they share. A copy of the folder undoes what
it is for.

A file's name is the session of the key and the epoch. It is written in full before it gets its
name, so whoever is killed in the middle leaves nothing half.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .interface import WitnessError
from .sealing import KEY_BYTES, ErasedError, SealError

_NAME = re.compile(r"([0-9a-f]{64})-([0-9]{1,10})")
_SHELF_DIGITS = 2
"""Files stand in as many folders as there are numbers of so many digits."""
KEPT_S = 5.0
"""How long what was read is not read again, while the file is the same. The attributes of a file on
another machine come late."""
SETTLED_S = 1.0
"""A file that was written later than this before it was read may be written again within the same
tick of its clock, and not show it."""
_MOST_KEPT = 10_000

_ERASED = b"erased".ljust(KEY_BYTES, b".")
"""What a file holds then: no more and no less than a key, so that one write does it. A file that
was cut off says nothing of the kind."""
_MARK = "party"
"""The file that makes a folder one of these, and says whose. Where no volume is mounted, there is
none."""


@dataclass(frozen=True, slots=True)
class _Look:
    """
    Attributes:
        path: Of the file; as text, which is made and asked for faster.
        seen: What changes with it.
        at: Seconds, by a clock that only rises.
    """

    path: str
    seen: tuple[int, ...]
    at: float
    content: bytes = field(repr=False)


class ShareKeys:
    """`sealing.ErasableKeys` in a folder.

    Arguments:
        clock: Seconds; only differences count.
    """

    def __init__(
        self, folder: Path, party_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._party_id = party_id
        self._clock = clock
        self._looks: dict[tuple[bytes, int], _Look] = {}

    def begin(self) -> None:
        mark = self.folder / _MARK
        with self._kept():
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not mark.exists():
                _add(mark, self._party_id.encode())
                _sync(self.folder.parent)
        self._require_ours()

    def make(self, key_session: bytes, epoch: int) -> bytes:
        path = self._path(key_session, epoch)
        with self._kept():
            if not path.exists():
                self._require_ours()
                path.parent.mkdir(mode=0o700, exist_ok=True)
                _add(path, secrets.token_bytes(KEY_BYTES))
            # Whoever made it may not have come to that.
            _sync(path.parent)
            _sync(self.folder)
        return self.find(key_session, epoch)

    def find(self, key_session: bytes, epoch: int) -> bytes:
        found = self._look(key_session, epoch)
        if found is None:
            raise SealError(
                f"the erasable key of key session {key_session.hex()}, epoch {epoch}, is missing: "
                f"put back the folder {self.folder}, or set share_keys_folder under [party] to "
                "where it is; if it is lost, restore this party's shares from a backup into an "
                "empty database"
            )
        if found == _ERASED:
            raise ErasedError(f"epoch {epoch} of key session {key_session.hex()} is over")
        if len(found) != KEY_BYTES:
            path = self._path(key_session, epoch)
            raise SealError(f"{path} is damaged: it does not hold {KEY_BYTES} bytes")
        return found

    def erased(self, key_session: bytes, epoch: int) -> bool:
        return self._look(key_session, epoch) == _ERASED

    def erase_below(self, key_session: bytes, epoch: int) -> None:
        with self._kept():
            for path in self._of(key_session):
                number = int(path.name.partition("-")[2])
                if number < epoch:
                    self._looks.pop((key_session, number), None)
                    if self._read(path) != _ERASED:
                        _erase(path)

    def discard(self, key_session: bytes, epoch: int) -> None:
        path = self._path(key_session, epoch)
        self._looks.pop((key_session, epoch), None)
        with self._kept():
            if self._read(path) not in (None, _ERASED):
                _erase(path)
                path.unlink(missing_ok=True)

    def let_go(self) -> None:
        now = self._clock()
        for name, look in list(self._looks.items()):
            if now - look.at > KEPT_S:
                self._looks.pop(name, None)

    def _look(self, key_session: bytes, epoch: int) -> bytes | None:
        """As `_read`, which is not done again as long as it would find the same."""
        name = key_session, epoch
        known, now = self._looks.get(name), self._clock()
        path = str(self._path(*name)) if known is None else known.path
        try:
            found = os.stat(path)  # noqa: PTH116  # a Path takes as long again
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unread(path, error) from None
        seen = found.st_ino, found.st_mtime_ns, found.st_size
        if known is not None and known.seen == seen and now - known.at <= KEPT_S:
            return known.content
        self._looks.pop(name, None)
        content = self._read(Path(path))
        if content is not None and time.time() - found.st_mtime > SETTLED_S:
            if len(self._looks) >= _MOST_KEPT:
                self._looks.clear()
            self._looks[name] = _Look(path, seen, now, content)
        return content

    def _read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unread(path, error) from None

    def _require_ours(self) -> None:
        whose = self._read(self.folder / _MARK)
        if whose is None:
            raise WitnessError(
                f"{self.folder} is no folder of erasable keys: is its volume mounted? It is made "
                "when a party with no share begins; share_keys_folder under [party] says where"
            )
        if whose != self._party_id.encode():
            raise WitnessError(
                f"{self.folder} is another party's: give each its own with share_keys_folder under "
                "[party]"
            )

    def _of(self, key_session: bytes) -> Iterator[Path]:
        shelf = self._path(key_session, 0).parent
        for path in shelf.glob(f"{key_session.hex()}-*"):
            if _NAME.fullmatch(path.name):
                yield path

    def _path(self, key_session: bytes, epoch: int) -> Path:
        name = key_session.hex()
        return self.folder / name[:_SHELF_DIGITS] / f"{name}-{epoch}"

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WitnessError(
                f"cannot keep the erasable keys of shares in {self.folder}: {error.strerror}; give "
                "this party a place it can write to with share_keys_folder under [party]"
            ) from None


def _unread(path: str | Path, error: OSError) -> WitnessError:
    """A file system that is away for a moment, perhaps."""
    return WitnessError(f"cannot read {path}: {error.strerror}")


def _add(path: Path, content: bytes) -> None:
    """Two may do it at once; the first one's stays."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, content)
        os.fsync(file)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        os.close(file)
        made.unlink(missing_ok=True)
    _sync(path.parent)


def _erase(path: Path) -> None:
    """In place, so that no block with the key is merely given back."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(file, _ERASED, 0)
        os.fsync(file)
    finally:
        os.close(file)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
