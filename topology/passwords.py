"""Passwords of the broker's users: where they are, how the broker keeps them, who gets new ones.

A password stands in no topology file, plan, error, log or command line. What goes to the broker is
its salted hash.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from topology.model import PasswordHash, Secret, User
from topology.problems import TopologyError

SHA256: Final = "rabbit_password_hashing_sha256"
_DIGESTS: Final = {SHA256: "sha256", "rabbit_password_hashing_sha512": "sha512"}
_SALT_BYTES: Final = 4
_MADE_BYTES: Final = 24
_COMMAND_S: Final = 30.0

SOURCES: Final = ("environment", "file", "command")


class SecretError(TopologyError):
    """A password is not where the files say. The text names the user and the place."""


def hashed(password: str, *, salt: bytes | None = None) -> PasswordHash:
    """As RabbitMQ keeps it: base64(salt || SHA-256(salt || password)), the salt FRESH, 4 bytes."""
    fresh = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.sha256(fresh + password.encode()).digest()
    return PasswordHash(SHA256, base64.b64encode(fresh + digest).decode())


def fits(password: str, kept: PasswordHash) -> bool:
    """Whether the broker would take the password for the user's."""
    digest = _DIGESTS.get(kept.algorithm)
    try:
        told = base64.b64decode(kept.value, validate=True)
    except ValueError:
        return False
    if digest is None or len(told) <= _SALT_BYTES:
        return False
    salt, wanted = told[:_SALT_BYTES], told[_SALT_BYTES:]
    return hmac.compare_digest(hashlib.new(digest, salt + password.encode()).digest(), wanted)


def referenced(users: Iterable[User], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The passwords that are kept elsewhere, by user. Raises SecretError for the first missing."""
    return {
        user.name: _looked_up(user.name, user.secret, environ)
        for user in users
        if user.secret is not None
    }


def _looked_up(user: str, secret: Secret, environ: Mapping[str, str]) -> str:
    match secret.source:
        case "environment":
            place, found = f"variable {secret.words[0]}", environ.get(secret.words[0], "")
        case "file":
            place, found = f"file {secret.words[0]}", _from_file(Path(secret.words[0]))
        case _:
            place, found = f"command {secret.words[0]}", _from_command(secret.words)
    if not found:
        raise SecretError(f"the password of user {user} is not to be had from the {place}")
    return found


def _from_file(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    return ""


def _from_command(words: tuple[str, ...]) -> str:
    """What it prints. What it says besides is not repeated: it may be the secret."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        told = subprocess.run(
            words, capture_output=True, text=True, timeout=_COMMAND_S, check=True
        ).stdout
        return told.rstrip("\r\n")
    return ""


###
### New ones
###


class Owner(Protocol):
    """Who is handed the passwords that `apply` makes, once."""

    def password_of(self, user: str) -> str:
        """A new password for the user, handed over before it is returned. One that was handed
        over and never came to the broker is returned again."""

    def arrived(self, user: str) -> None:
        """The broker has it. From now on the user's next one is another."""


class InMemory:
    """Keeps them; for a stack that ends with its process.

    Attributes:
        made: By user.
    """

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self._pending: set[str] = set()

    def __repr__(self) -> str:
        return f"InMemory({len(self.made)} passwords)"

    def password_of(self, user: str) -> str:
        if user not in self._pending:
            self.made[user] = _new()
            self._pending.add(user)
        return self.made[user]

    def arrived(self, user: str) -> None:
        self._pending.discard(user)


class InFiles:
    """A file for each user, which nobody else can read.

    Attributes:
        written: The files that are new, in order.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.written: list[Path] = []

    def path_of(self, user: str) -> Path:
        """The file of a user's password, there or not."""
        return self._paths(user)[0]

    def password_of(self, user: str) -> str:
        path, pending = self._paths(user)
        try:
            if not self.directory.exists():
                self.directory.mkdir(mode=0o700, parents=True)
                # Whoever keeps members in a repository must not put these beside them.
                (self.directory / ".gitignore").write_text("*\n")
            if pending.exists() and (known := _from_file(path)):
                return known
            pending.touch(mode=0o600)
            return self._write(path)
        except OSError as error:
            raise SecretError(
                f"the new password of user {user} cannot be handed over: {path}: {error.strerror}"
            ) from None

    def arrived(self, user: str) -> None:
        with contextlib.suppress(OSError):  # then the next apply would use it once more
            self._paths(user)[1].unlink(missing_ok=True)

    def _paths(self, user: str) -> tuple[Path, Path]:
        name = user.replace("/", "%2F")
        return self.directory / name, self.directory / f".{name}.pending"

    def _write(self, path: Path) -> str:
        password = _new()
        write_secret(path, password)
        self.written.append(path)
        return password


def write_secret(path: Path, text: str) -> None:
    """A file that nobody else can read, complete or not there: whoever is cut short must find what
    it wrote. Raises SecretError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise SecretError(f"{path} cannot be written: {error.strerror}") from None


def _new() -> str:
    return secrets.token_urlsafe(_MADE_BYTES)
