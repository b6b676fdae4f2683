"""A folder per run, locked by its owner and swept up by the next run if the owner was killed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops.stack.children import Account
from ops.stack.errors import StackError

_RUN = "run-"
_KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders in which a stack keeps its files."""

    run: Path
    """For this run alone; gone afterwards, unless it is the kept one."""
    cache: Path
    """For what is made once."""


@contextlib.contextmanager
def workspace(directory: Path, *, keep: bool, account: Account | None) -> Iterator[Workspace]:
    """A place below `directory` for one run.

    Any number of runs may share a directory, but only one at a time works on what is kept.
    """
    base = reachable_base(directory.absolute(), account)
    base.mkdir(parents=True, exist_ok=True)
    if account is not None:
        base.chmod(0o711)
    with contextlib.ExitStack() as stack:
        with _locked(base / "lock", wait=True):
            _sweep(base)
            run = base / _KEPT if keep else Path(tempfile.mkdtemp(prefix=_RUN, dir=base))
            run.mkdir(exist_ok=True)
            # The server's user must pass through; everything inside is closed by itself.
            run.chmod(0o700 if account is None else 0o711)
            owner = stack.enter_context(_locked(run / "lock", wait=False))
            if owner is None:
                raise StackError(f"Another process is running the stack in {run}.")
        if not keep:
            stack.callback(shutil.rmtree, run, ignore_errors=True)
        cache = base / "cache"
        cache.mkdir(exist_ok=True)
        yield Workspace(run, cache)


def reachable_base(directory: Path, account: Account | None) -> Path:
    """`directory`, or a place that the other user can reach: nobody but root may enter /root."""
    if account is None or all(
        parent.stat().st_mode & 0o001 for parent in directory.parents if parent.exists()
    ):
        return directory
    return Path("/var/lib/warren") / hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]


def _sweep(base: Path) -> None:
    for run in base.glob(f"{_RUN}*"):
        with _locked(run / "lock", wait=False) as owner:
            if owner is not None:
                shutil.rmtree(run, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[IO[bytes] | None]:
    """The open, locked file; None if somebody else holds it and we would not wait."""
    path.touch(mode=0o600)  # nobody else may lock us out
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield file
