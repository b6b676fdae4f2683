"""Until when nothing is dealt of a key, in files beside a party's database.

A party that states that nothing comes of a request promises to deal nothing of its key for some
minutes. Its database has the promise. Where the database is lost, or has crashed, nobody can tell
whether it still has all of them, and without these marks the party would deal nothing of any key
until the last that it could have made is over.

Each mark is an empty file whose name is the session of the key and a time; it is on the disk before
the promise is given, and a promise that was not given in the end does no harm. The folder stands in
that of the erasable halves, which all processes of a party see.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .interface import WitnessError

_FOLDER = "promises"
_NAME = re.compile(r"([0-9a-f]{64})-([0-9]{1,16})")
_SINCE = "since"


class PromiseMarks:
    """Times are unix milliseconds by the party's clock.

    Arguments:
        folder: Of the erasable halves.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def begin(self, now: int) -> None:
        """From now on each promise has its mark, unless that is so already. Raises WitnessError.

        Arguments:
            now: 0 for who cannot have made any before.
        """
        with self._kept():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._since() is None:
                self._touch(f"{_SINCE}-{now}")

    def complete(self, since: int) -> bool:
        """Whether all promises that were given since then have their marks. Raises WitnessError."""
        with self._kept():
            began = self._since()
        return began is not None and began <= since

    def mark(self, key_session: bytes, until: int) -> None:
        """Before the promise is given. Raises WitnessError."""
        with self._kept():
            self._touch(f"{key_session.hex()}-{until}")
            for path, lower in self._of(key_session.hex()):
                if lower < until:
                    path.unlink(missing_ok=True)

    def until(self, key_session: bytes) -> int:
        """The last moment of what was promised of this key; 0 if nothing was. Raises
        WitnessError."""
        with self._kept():
            return max((until for _, until in self._of(key_session.hex())), default=0)

    def forget(self, now: int) -> None:
        """What is over. Raises WitnessError."""
        with self._kept():
            for path, until in self._of("*"):
                if until < now:
                    path.unlink(missing_ok=True)

    def _of(self, key_session: str) -> Iterator[tuple[Path, int]]:
        for path in list(self._folder.glob(f"{key_session}-*")):
            if (name := _NAME.fullmatch(path.name)) is not None:
                yield path, int(name[2])

    def _since(self) -> int | None:
        names = [path.name.partition("-")[2] for path in self._folder.glob(f"{_SINCE}-*")]
        return min((int(name) for name in names if name.isdecimal()), default=None)

    def _touch(self, name: str) -> None:
        (self._folder / name).touch(mode=0o600)
        file = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WitnessError(
                f"cannot keep {self._folder}, which tells what was promised of keys: "
                f"{error.strerror}; give this party a place it can write to with "
                "share_keys_folder under [party]"
            ) from None
