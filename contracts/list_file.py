"""A numbered list in a file: one signed entry a line, in its order.

The stream at the broker has the same. An operator keeps the file for when the broker has lost it or
hides its end: whoever signs after an older entry makes a fork, which all followers refuse. Whoever
follows without a database keeps it, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeVar

from . import list_log
from .errors import ContractError
from .numbered_lists import Entry, ListError, NumberedList, SignedEntry

E = TypeVar("E", bound=Entry)

SHOWN: Final = 20
"""Of what is refused: whoever may publish can send it without end."""


class ListFileError(Exception):
    """The file cannot be used; says what is wrong with it."""


class ListFile(Generic[E]):
    """
    Attributes:
        listed: What the file says; verified.
        refused: Of the stream: what does not fit, in words; the first `SHOWN`.
        refused_count: How many those were.
        end: Where the file ends.
    """

    def __init__(self, listed: NumberedList[E], path: Path, file: BinaryIO, start: int) -> None:
        self.listed = listed
        self.refused: list[str] = []
        self.refused_count = 0
        self.end = 0
        self._path = path
        self._file = file
        self._entries: list[SignedEntry] = []
        self._later: dict[int, SignedEntry] = {}
        self._load(start)

    @classmethod
    @contextlib.contextmanager
    def held(cls, listed: NumberedList[E], path: Path, *, start: int = 0) -> Iterator[ListFile[E]]:
        """While nobody else on this machine has it.

        Arguments:
            start: The `end` up to which it was read before: nothing before that is read again.

        Raises ListFileError.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ListFileError(f"{path}: {error.strerror}") from None
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield cls(listed, path, file, start)

    @property
    def entries(self) -> tuple[SignedEntry, ...]:
        """In their order."""
        return tuple(self._entries)

    @property
    def missing(self) -> range:
        """The numbers of entries that are not here, though an operator has signed one behind them.
        Nobody may sign before they are found: it would be a fork."""
        number = self.listed.number
        return range(number + 1, min((each for each in self._later if each > number), default=0))

    def take(self, logged: list_log.Logged) -> SignedEntry | None:
        """Go on by a message of the stream. Returns the entry that it is, if it counts."""
        if logged.list != self.listed.name:
            return None
        try:
            signed = SignedEntry.from_bytes(logged.body)
            if not self.listed.knows(signed):
                self._take(signed)
        except ContractError as error:
            self._refuse(error)
            return None
        return signed if self.listed.knows(signed) else None

    def _take(self, signed: SignedEntry) -> None:
        """Entries that lie in another order wait for those before. Raises ContractError."""
        try:
            self.append(signed)
        except ListError as error:
            if error.kind != "gap":
                raise
            self._later.setdefault(error.number, signed)
            return
        while (follows := self._later.pop(self.listed.number + 1, None)) is not None:
            try:
                self.append(follows)
            except ContractError as error:
                self._refuse(error)

    def _refuse(self, error: ContractError) -> None:
        self.refused_count += 1
        if len(self.refused) < SHOWN:
            self.refused.append(str(error))

    def append(self, signed: SignedEntry) -> None:
        """On the disk before it counts here. Raises ContractError if it may not come next."""
        self.listed.verified(signed)
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(signed.to_bytes() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ListFileError(f"{self._path}: {error.strerror}") from None
        self.listed.take(signed)
        self._entries.append(signed)
        self.end = self._file.tell()

    def _load(self, start: int) -> None:
        size = self._file.seek(0, os.SEEK_END)
        start = start if start <= size else 0  # another file is there now
        self._file.seek(start)
        text = self._file.read()
        whole = text.rfind(b"\n") + 1  # behind it is what a process that was killed left
        for number, line in enumerate(text[:whole].splitlines(), start=1):
            try:
                signed = SignedEntry.from_bytes(line)
                self.listed.take(signed)
            except ContractError as error:
                raise ListFileError(f"{self._path}, line {number}: {error}") from None
            self._entries.append(signed)
        self.end = start + whole
        self._file.truncate(self.end)
