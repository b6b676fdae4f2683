"""Which epochs of keys are over for good, in a file outside of the database.

A database or a backup of earlier brings shares back that were deleted since, and nothing in it says
so. Together with shares that others kept, they would sign for people who were shown out. The file
tells. It must not come back together with the database: see `witness`.

It is a file of SQLite's own, for many keys and processes: a row for each key that ever had a second
epoch, which is on the disk before anything is deleted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .interface import WitnessError

BUSY_TIMEOUT_S = 5.0

_MAKE = """
    CREATE TABLE IF NOT EXISTS over (key_session BLOB PRIMARY KEY, below INTEGER NOT NULL)
    WITHOUT ROWID
"""
_LOOK = "SELECT below FROM over WHERE key_session = ?"
_RAISE = """
    INSERT INTO over (key_session, below) VALUES (?, ?)
    ON CONFLICT (key_session) DO UPDATE SET below = max(below, excluded.below)
"""


class Tombstones:
    """Remembers what it read for as long as the file is the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[bytes, int] = {}
        self._seen: tuple[int, ...] = ()

    def below(self, key_session: bytes) -> int:
        """Lower epochs of this key are over; 0 if none is, or nothing is known of it. Raises
        WitnessError."""
        seen = self._look()
        if seen != self._seen:
            self._known, self._seen = {}, seen
        if not seen:
            return 0
        if key_session not in self._known:
            with self._opened() as file:
                found = file.execute(_LOOK, (key_session,)).fetchone()
            self._known[key_session] = 0 if found is None else int(found[0])
        return self._known[key_session]

    def rise(self, key_session: bytes, below: int) -> None:
        """Remember it, unless more is known: before anything is deleted. Raises WitnessError."""
        with self._opened() as file:
            file.execute(_RAISE, (key_session, below))

    def _look(self) -> tuple[int, ...]:
        """What changes with the file; nothing if there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._trouble(error.strerror) from None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            # SQLite would make it for all to read.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            opened = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            with closing(opened) as file:
                file.execute("PRAGMA synchronous = FULL")
                file.execute(_MAKE)
                yield file
        except OSError as error:
            raise self._trouble(error.strerror) from None
        except sqlite3.OperationalError as error:  # another process has it, or no place is left
            raise self._trouble(str(error)) from None
        except sqlite3.Error as error:
            raise WitnessError(
                f"{self.path}, which tells which epochs of keys are over, is damaged ({error}). "
                "Put a copy of today in its place; without one, take it away once you are sure "
                "that the database is no old one"
            ) from None

    def _trouble(self, reason: str | None) -> WitnessError:
        return WitnessError(
            f"cannot keep {self.path}, which tells which epochs of keys are over: {reason}; give "
            "this party a place it can write to with incarnation_file under [party]"
        )
