"""Child processes that cannot outlive us, whatever ends us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.stack.errors import StartError

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child runs as, when we are root and it must not be."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Whom to run PostgreSQL as, which refuses root. None: ourselves will do."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise StartError("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")


def spawn(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output appended to `log`.

    The kernel sends it `death_signal` when the *thread* that called this ends: use one that stays.
    """
    parent = os.getpid()

    def tether() -> None:
        # Runs after the change of user, which would clear the death signal. Two plain calls without
        # locks, so that threads of the parent cannot hurt.
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in argv],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C at the terminal is ours to hear
            umask=0o077,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            preexec_fn=tether,  # noqa: PLW1509  # there is no other way to set a death signal
        )


def wait_ready(
    name: str,
    process: subprocess.Popen[bytes],
    answers: Callable[[], bool],
    *,
    log: Path,
    timeout_s: float,
) -> None:
    """Wait until `answers`.

    Raises:
        StartError: The process ended, or the time did; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not answers():
        if process.poll() is not None:
            raise StartError(f"{name} ended with status {process.returncode}.{tail(log)}")
        if time.monotonic() > deadline:
            raise StartError(f"{name} was not ready after {timeout_s:g} s.{tail(log)}")
        time.sleep(_POLL_S)


def stop(
    process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, *, grace_s: float = 10
) -> None:
    """Ask a child to end, make it end after `grace_s`, and wait for it."""
    if process.poll() is None:
        process.send_signal(how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        try:
            process.wait(grace_s)
        finally:
            # Also when an impatient second Ctrl-C arrives in the middle of the grace.
            process.kill()
            process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, ready to be appended to a sentence; nothing if there is none."""
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        return ""
    last = text.splitlines()[-lines:]
    return "".join([" Its log ends with:", *(f"\n    {line}" for line in last)]) if last else ""
