"""What was begun for a client, until it is done: whoever is cut short goes on with the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from contracts.primitives import Base64, Contract, Id, UnixMillis


class Intent(Contract):
    """
    Attributes:
        login: The number of the broker user that is made.
    """

    action: Literal["add", "rotate", "remove"]
    client_id: Id
    public_key: Base64 | None = None
    group: str = ""
    login: int = 1
    valid_until: UnixMillis | None = None
    operations: tuple[str, ...] | None = None
    again: bool = False

    @property
    def in_words(self) -> str:
        """What of it is not as usual."""
        told = [] if self.group in ("", "clients") else [f"for the {self.group}"]
        told += [f"to ask {', '.join(self.operations)}"] if self.operations else []
        told += [] if self.valid_until is None else ["with an end of the old key"]
        return f" ({'; '.join(told)})" if told else ""


class Intents:
    """One file for each client, beside the list."""

    def __init__(self, list_file: Path) -> None:
        self._list_file = list_file

    def of(self, client_id: str) -> Intent | None:
        """None if nothing is under way, or what is there was not written to its end."""
        try:
            return Intent.model_validate_json(self._path(client_id).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def keep(self, intent: Intent) -> None:
        """Raises OSError."""
        kept_whole(self._path(intent.client_id), intent.model_dump_json().encode())

    def done(self, client_id: str) -> None:
        """Nothing is under way any more."""
        self._path(client_id).unlink(missing_ok=True)

    def _path(self, client_id: str) -> Path:
        return self._list_file.with_name(f"{self._list_file.name}.{client_id}.pending")


def kept_whole(path: Path, content: bytes) -> None:
    """On the disk when this returns, complete or not there. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
