"""Our own worker processes: started, waited for, watched, and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.stack import children, zygote
from ops.stack.errors import ChildDiedError, StartError

READY_FILE = "WARREN_READY_FILE"
"""Names the file that a process creates once it serves."""

_RESTART_PAUSE_S = 1.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to run. Secrets go into `environment` or into files, never into `arguments`."""

    name: str
    """Unique in its supervisor; names its log."""
    arguments: tuple[str, ...]
    """For this Python: `("-m", "ops.cli", "party", "run", ...)`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """On top of our own."""
    restart: bool = False
    """Start it again if it ends by itself."""

    @property
    def is_forked(self) -> bool:
        """Whether a fork serves. What linker and interpreter read when they start needs one of its
        own: a clock of its own, for instance, comes by `LD_PRELOAD`."""
        at_start = any(name.startswith(("LD_", "PYTHON")) for name in self.environment)
        return sys.platform == "linux" and not at_start


@dataclass(slots=True, kw_only=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | zygote.Forked
    ready: Path
    log: Path
    started: float


class Supervisor:
    """Runs programs until the end of its `with` block, whatever the end is.

    All output goes to `<name>.log` in its directory. Start programs on a thread that stays: they
    end with it.
    """

    def __init__(self, directory: Path, *, grace_s: float = 10) -> None:
        self._directory = directory
        self._grace_s = grace_s
        self._children: dict[str, _Child] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, program: Program) -> int:
        """Start one program, or start it anew, without waiting for it. Returns its process id."""
        if (previous := self._children.get(program.name)) is not None:
            previous.process.kill()
            previous.process.wait()
        ready = self._directory / f"{program.name}.ready"
        log = self._directory / f"{program.name}.log"
        ready.unlink(missing_ok=True)
        process = self._spawn(program, {READY_FILE: str(ready)}, log)
        self._children[program.name] = _Child(
            program=program, process=process, ready=ready, log=log, started=time.monotonic()
        )
        return process.pid

    def _spawn(
        self, program: Program, more: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes] | zygote.Forked:
        environment = {**os.environ, **program.environment, **more}
        how = signal.SIGTERM  # what the grace is worth is decided by the process itself
        if program.is_forked:
            return zygote.fork(
                zygote.Birth(
                    name=program.name,
                    arguments=program.arguments,
                    environment=environment,
                    directory=str(self._directory.absolute()),
                    log=str(log.absolute()),
                    death_signal=how,
                )
            )
        return children.spawn(
            [sys.executable, *program.arguments],
            environment=environment,
            directory=self._directory,
            log=log,
            death_signal=how,
        )

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name of the program, as they are now."""
        return {name: child.process.pid for name, child in self._children.items()}

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Wait until every program has made its ready file.

        Raises:
            ChildDiedError: One ended instead; with the end of its log.
            StartError: One took too long; likewise.
        """
        deadline = time.monotonic() + timeout_s
        while waiting := [child for child in self._children.values() if not child.ready.exists()]:
            self.check()
            if time.monotonic() > deadline:
                slow = waiting[0]
                name = slow.program.name
                raise StartError(
                    f"{name} was not ready after {timeout_s:g} s.{children.tail(slow.log)}"
                )
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Look for processes that ended by themselves; start those again that may.

        Raises:
            ChildDiedError: One ended that may not be started again; with the end of its log.
        """
        for child in tuple(self._children.values()):
            status = child.process.poll()
            if status is None:
                continue
            program = child.program
            if not program.restart:
                raise ChildDiedError(f"{program.name} {_ending(status)}.{children.tail(child.log)}")
            if time.monotonic() - child.started > _RESTART_PAUSE_S:
                self.start(program)

    def stop(self) -> None:
        """SIGTERM in reverse order of starting, one grace for all, then SIGKILL."""
        ending = [child.process for child in reversed(self._children.values())]
        self._children.clear()
        try:
            for process in ending:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            deadline = time.monotonic() + self._grace_s
            for process in ending:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            # Also when an impatient second Ctrl-C arrives in the middle of the grace.
            for process in ending:
                process.kill()
                process.wait()


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
