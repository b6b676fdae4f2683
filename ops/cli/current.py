"""Which stack runs here: a link that `warren up` and `warren demo --keep` leave while they do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TREE = Path(__file__).parents[2]
DIRECTORY = (_TREE if (_TREE / "pyproject.toml").exists() else Path.cwd()) / ".warren"
"""Where stacks live: in the source tree, or where we are if Warren is installed."""

_LINK = "current"
_CLIENT = "client.toml"
OPERATOR = "operator.url"
"""In a stack's folder: the broker's address with the operator's login."""
REGISTRAR = "registrar/registrar.toml"
"""In a stack's folder: how clients are let in."""


@contextlib.contextmanager
def announced(deployment: Path, client: Path, directory: Path = DIRECTORY) -> Iterator[None]:
    """While it is open, `client_file` finds the configuration of one of the stack's clients.

    Arguments:
        deployment: The stack's own folder; `client` lies in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (deployment / _CLIENT).symlink_to(client.name)
    link = directory / _LINK
    fresh = directory / f"{_LINK}.{os.getpid()}"
    fresh.symlink_to(deployment.absolute())
    fresh.replace(link)
    try:
        yield
    finally:
        # Somebody else may have started another since.
        with contextlib.suppress(OSError):
            if link.readlink() == deployment.absolute():
                link.unlink()


def client_file(directory: Path = DIRECTORY) -> Path | None:
    """None if no stack runs here."""
    path = directory / _LINK / _CLIENT
    return path if path.exists() else None


def registrar_file(directory: Path = DIRECTORY) -> Path | None:
    """What `warren client` needs; None if no stack runs here."""
    path = directory / _LINK / REGISTRAR
    return path if path.exists() else None


def operator_url(directory: Path = DIRECTORY) -> str | None:
    """Of the broker, with the operator's login; None if no stack runs here."""
    path = directory / _LINK / OPERATOR
    return path.read_text(encoding="utf-8").strip() if path.exists() else None
