"""What a party remembers of its database outside of it: a line in a file of its own.

A database that comes back from a dump, a backup or a snapshot brings no trace of that along. The
witness tells: which incarnation the database was in, and how far it had come. It must not come back
together with the database, so it does not belong on the same volume or into the same backup.

The line has a fixed width and is changed in place, so that all processes of the party on a machine
see one file. It is not synced: what a killed process wrote is there, and after a loss of power a
witness that knows too little raises no alarm.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from .interface import StoreUnavailableError, WitnessError

INCARNATION_BYTES = 16

PATIENCE_S = 10.0
"""How long to wait for another process's look at the database."""
PAUSE_S = 0.005

_NAME = b"warren-witness-1 "
_DIGITS = 19
_LINE = re.compile(_NAME + rb"([0-9a-f]{%d}) ([0-9]{%d})\n" % (2 * INCARNATION_BYTES, _DIGITS))
_PROGRESS_AT = len(_NAME) + 2 * INCARNATION_BYTES + 1
_LENGTH = _PROGRESS_AT + _DIGITS + 1


@dataclass(frozen=True, slots=True)
class Sighting:
    """How somebody saw the database.

    Attributes:
        incarnation: Random; the database has another one after each new beginning.
        progress: Only ever rises in one incarnation.
    """

    incarnation: bytes
    progress: int


def look(path: Path) -> Sighting | None:
    """What the witness at this path knows, without keeping one."""
    try:
        with path.open("rb") as file:
            return _parsed(file.read(_LENGTH + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WitnessError(f"cannot read the witness file {path}: {error.strerror}") from None


class Witness:
    """The file, open from `open` to `close`. It may be replaced meanwhile: `held` sees to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def open(self) -> Self:
        """Make the file if it is not there. Raises WitnessError."""
        self.close()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WitnessError(
                f"cannot keep the witness file {self.path}: {error.strerror}; give this party a "
                "place it can write to with incarnation_file under [party]"
            ) from None
        return self

    def close(self) -> None:
        """Doing it twice changes nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self) -> Sighting | None:
        """None from a file that is new or damaged."""
        return _parsed(os.pread(self._file, _LENGTH + 1, 0))

    def write(self, sighting: Sighting) -> None:
        """In place of whatever was there; to be held."""
        line = b"%s%s %0*d\n" % (
            _NAME,
            sighting.incarnation.hex().encode(),
            _DIGITS,
            sighting.progress,
        )
        os.pwrite(self._file, line, 0)
        os.ftruncate(self._file, len(line))

    def reach(self, sighting: Sighting) -> None:
        """Remember that the database came so far, unless more is known or all has changed.

        To be held: of two processes the one that saw less must not have the last word.
        """
        known = self.read()
        if (
            known is not None
            and known.incarnation == sighting.incarnation
            and known.progress < sighting.progress
        ):
            os.pwrite(self._file, b"%0*d" % (_DIGITS, sighting.progress), _PROGRESS_AT)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the open file. For less than a moment: this blocks."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def try_hold(self) -> bool:
        """Lock the file that is at the path now, until `release`; False if another has it."""
        self.open()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Somebody may have put another file there between the two.
        if _same(self._file, self.path):
            return True
        self.release()
        return False

    def release(self) -> None:
        """Let others have the lock."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """`try_hold` until it succeeds; blocks. Raises StoreUnavailableError, WitnessError."""
        patience = time.monotonic() + PATIENCE_S
        while not self.try_hold():
            if time.monotonic() > patience:
                raise_kept(self.path)
            time.sleep(PAUSE_S)
        try:
            yield
        finally:
            self.release()


def raise_kept(path: Path) -> NoReturn:
    """End the wait for a witness that another process does not let go."""
    raise StoreUnavailableError(f"another process keeps the witness file {path}")


def _parsed(line: bytes) -> Sighting | None:
    found = _LINE.fullmatch(line)
    return found and Sighting(bytes.fromhex(found[1].decode()), int(found[2]))


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
