"""A chain of API-key entries in a file, one signed entry a line.

A gateway keeps what it has verified there, so that a restart is not rolled back; its processes tell
each other by it of revocations that were shown to one of them. An authority keeps there what it has
signed, so that it never signs two entries of one number.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from contracts import strict_json
from contracts.api_keys import Chain, ChainError, SignedApiKeyEntry
from contracts.errors import ContractError


class LedgerError(Exception):
    """The file cannot be used; says what is wrong with it."""


class _Line(SignedApiKeyEntry):
    early: bool = False
    """A revocation that was brought by itself: it counts, and has no place in the chain yet."""


class Ledger:
    """The chain, and the file that it is kept in if there is one.

    Whatever is refused changes neither.

    Raises:
        LedgerError: From all methods but `revoke` and `go_on` without a file.
    """

    def __init__(self, chain: Chain, path: Path | None) -> None:
        self.chain = chain
        self._path = path
        self._read = 0
        self._lines = 0

    @property
    def path(self) -> Path | None:
        """None if it is kept in memory alone."""
        return self._path

    def go_on(self, page: Sequence[SignedApiKeyEntry], known: int) -> None:
        """Take a page that was asked for from entry `known` on, the last one at that time.

        Raises ContractError, also if that entry is missing: then whoever answered knows less than
        was verified before. Those before the one that is wrong are kept.
        """
        if known and not page:
            raise ChainError(f"a gap: entry {known} is missing, which was verified before")
        with self.held() as file:
            for signed in page:
                self.append(file, signed)

    def revoke(self, signed: SignedApiKeyEntry) -> str:
        """Heed a revocation that came by any way; returns which key it ends. Raises
        ContractError."""
        with self.held() as file:
            api_key_id, news = self.chain.revoke(signed)
            if news:
                self._write(file, _Line(**dict(signed), early=True))
            return api_key_id

    def entries(self) -> list[SignedApiKeyEntry]:
        """Those of the chain that stand in the file, in its order."""
        if self._path is None or not self._path.exists():
            return []
        found = [_line(text) for text in self._path.read_bytes().splitlines()]
        return [
            SignedApiKeyEntry(body=line.body, signature=line.signature)
            for line in found
            if not line.early
        ]

    def catch_up(self) -> None:
        """Take what other processes have written since. Creates the file."""
        with self.held():
            pass

    @contextlib.contextmanager
    def held(self) -> Iterator[BinaryIO | None]:
        """While no other process has it; what others have written is taken first, and what is
        appended is on the disk afterwards."""
        if self._path is None:
            yield None
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._take_new(file)
                before = self._read
                try:
                    yield file
                finally:
                    if self._read > before:
                        file.flush()
                        os.fsync(file.fileno())
        except OSError as error:
            raise LedgerError(f"{self._path}: {error.strerror}") from None

    def append(self, file: BinaryIO | None, signed: SignedApiKeyEntry) -> None:
        """Go on by an entry, while it is `held`. Raises ContractError."""
        if self.chain.take(signed):
            self._write(file, _Line(**dict(signed)))

    def _take_new(self, file: BinaryIO) -> None:
        if file.seek(0, os.SEEK_END) < self._read:
            raise LedgerError(f"{self._path}: shorter than it was; nothing in it is ever taken out")
        file.seek(self._read)
        text = file.read()
        whole = text.rfind(b"\n") + 1  # behind it is what a process that was killed left
        for line in text[:whole].splitlines():
            self._lines += 1
            try:
                self._remember(_line(line))
            except ContractError as error:
                raise LedgerError(f"{self._path}, line {self._lines}: {error}") from None
        self._read += whole

    def _remember(self, line: _Line) -> None:
        if line.early:
            self.chain.revoke(line)
        else:
            self.chain.take(line)

    def _write(self, file: BinaryIO | None, line: _Line) -> None:
        if file is None:
            return
        text = line.model_dump_json(exclude_defaults=True).encode() + b"\n"
        file.seek(self._read)
        file.truncate()
        file.write(text)
        self._read += len(text)
        self._lines += 1


def _line(text: bytes) -> _Line:
    try:
        return _Line.model_validate_json(strict_json.checked(text))
    except ValidationError:
        raise ContractError("not a signed entry") from None
