"""How far a list had come, in a file outside of the database.

A database that comes back from a backup brings an old list along, and whoever was removed since
would be let in again until the newest list is heard. The file tells that there is a newer one. It
must not come back together with the database: see `witness`.

The line has a fixed width and is changed in place, under a lock, and only ever to a higher number.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .interface import WitnessError

_NAME = b"warren-list-1 "
_DIGITS = 19
_LINE = re.compile(_NAME + rb"([0-9]{%d}) ([0-9a-f]{64})\n" % _DIGITS)
_LENGTH = len(_NAME) + _DIGITS + 1 + 64 + 1


@dataclass(frozen=True, slots=True)
class Reached:
    """The last entry that counted, and its digest."""

    number: int
    digest: bytes


class Floor:
    """Of one list at one party. Every look opens the file anew: it may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Reached | None:
        """None from a file that is not there, new or damaged. Raises WitnessError."""
        try:
            with self.path.open("rb") as file:
                return _parsed(file.read(_LENGTH + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble(error) from None

    def reach(self, reached: Reached) -> None:
        """Remember it, unless more is known. Raises WitnessError."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                known = _parsed(os.pread(file, _LENGTH + 1, 0))
                if known is None or known.number < reached.number:
                    line = b"%s%0*d %s\n" % (
                        _NAME,
                        _DIGITS,
                        reached.number,
                        reached.digest.hex().encode(),
                    )
                    os.pwrite(file, line, 0)
                    os.ftruncate(file, len(line))
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise self._trouble(error) from None

    def _trouble(self, error: OSError) -> WitnessError:
        return WitnessError(
            f"cannot keep {self.path}, which tells how far a list had come: {error.strerror}; give "
            "this party a place it can write to with incarnation_file under [party]"
        )


def _parsed(line: bytes) -> Reached | None:
    found = _LINE.fullmatch(line)
    return found and Reached(int(found[1]), bytes.fromhex(found[2].decode()))
