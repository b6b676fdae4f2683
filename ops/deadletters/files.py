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


def appending(path: Path) -> Callable[[str], None]:
    """A function that adds a line, which is on the disk when it returns. Both raise FileError."""

    def add(text: str) -> None:
        with _file_errors(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                if path.is_file():  # a pipe has no disk
                    os.fsync(descriptor)

    add("")
    return lambda line: add(f"{line}\n")


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}.") from None
