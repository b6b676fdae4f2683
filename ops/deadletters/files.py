"""Letters on disk, for their owner only: bodies may hold what others must not read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class FileError(Exception):
    """The text says which file, and why not."""


def write_new(path: Path, content: bytes) -> None:
    """Raises FileError, also if there is such a file already."""
    with _file_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


@contextlib.contextmanager
def appending(path: Path | None) -> Iterator[Callable[[str], None] | None]:
    """A function that adds a line, which is on the disk when it returns. Raises FileError."""
    if path is None:
        yield None
        return
    with _file_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(line: str) -> None:
        with _file_errors(path):
            file.write(f"{line}\n")
            file.flush()
            os.fsync(descriptor)

    with os.fdopen(descriptor, "a") as file:
        yield add


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}.") from None
