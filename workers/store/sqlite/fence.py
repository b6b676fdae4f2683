# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The fence around a party's SQLite file.

Every transaction compares the file with the witness, and every one that writes raises `progress`:
in the file with everything else that it does, at the witness before anybody hears of it. So what
left this machine is never ahead of the witness, and a copy that was made before is behind it.

A copy in another place is told by its device and inode, a machine's snapshot by the boot.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from ..incarnation import COLUMNS, EPHEMERAL, Fence, Found, announce, doubt, new_incarnation
from ..witness import Sighting

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

FIND = f"SELECT {COLUMNS} FROM incarnation"

LOOK = "SELECT id, progress FROM incarnation"

RAISE = "UPDATE incarnation SET progress = progress + 1 RETURNING id, progress - 1"

BEGIN = f"INSERT INTO incarnation ({COLUMNS}) VALUES (?, 0, ?, '', ?, ?)"


class DoubtError(Exception):
    """File and witness do not agree, or did not while both were moving: look again."""


class SqliteFence(Fence):
    """All of it runs in the thread that owns the connection."""

    _place = ""

    def expected(self) -> Sighting | None:
        """What the next transaction has to find at least; None before the first look."""
        if self.incarnation is None:
            return None
        seen = self.witness.read()
        if seen is None or seen.incarnation != self.incarnation:
            raise DoubtError
        return seen

    def pass_in(
        self, connection: sqlite3.Connection, expected: Sighting, *, writing: bool
    ) -> Sighting:
        """At a transaction's beginning. Returns what the witness is to know after it."""
        found = connection.execute(RAISE if writing else LOOK).fetchall()
        if not found:
            raise DoubtError
        incarnation, progress = found[0]
        if incarnation != expected.incarnation or progress < expected.progress:
            raise DoubtError
        return Sighting(incarnation, progress + writing)

    def pass_out(self, reached: Sighting, expected: Sighting) -> None:
        """After its end, and before anybody hears of it."""
        if reached.progress > expected.progress:
            with self.witness.locked():
                self.witness.reach(reached)

    def settle(self, connection: sqlite3.Connection, path: Path) -> None:
        """See to it that the file is in an incarnation that can be answered from."""

        def work() -> Sighting:
            found = _find(connection, path)
            reason = doubt(self.witness.read(), found)
            if reason is None and found is not None:
                return Sighting(found.incarnation, found.progress)
            return _begin(connection, path, reason or "")

        self._alone(connection, path, work)

    def begin(self, connection: sqlite3.Connection, path: Path, reason: str) -> None:
        """Empty what is ephemeral, whatever the witness says."""
        self._alone(connection, path, lambda: _begin(connection, path, reason))

    def moved(self, path: Path) -> bool:
        """Another file is at the path than when it was looked at."""
        return _place(path) != self._place

    def _alone(
        self, connection: sqlite3.Connection, path: Path, work: Callable[[], Sighting]
    ) -> None:
        with self.witness.held():
            connection.execute("BEGIN IMMEDIATE")
            try:
                sighting = work()
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            self._place = _place(path)
            self.enter(sighting)


def _find(connection: sqlite3.Connection, path: Path) -> Found | None:
    rows = connection.execute(FIND).fetchall()
    if len(rows) != 1:
        return None
    row = rows[0]
    return Found(row["id"], row["progress"], row["origin"], _place(path))


def _begin(connection: sqlite3.Connection, path: Path, reason: str) -> Sighting:
    made = new_incarnation()
    for table in (*EPHEMERAL, "incarnation"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute(BEGIN, (made, _place(path), time.time_ns() // 1_000_000, reason))
    announce(made, reason)
    return Sighting(made, 0)


def _place(path: Path) -> str:
    file = path.stat()
    return f"{file.st_dev}.{file.st_ino}.{_boot()}"


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
