"""Our Python programs, each a fork of one process that has imported what they all import.

To import a worker takes more than a second of a core, and a stack has fifteen of them. A fork is
there in a few milliseconds, and pages that nobody writes to are in memory once.

A program is its caller's child as if it had been started anew: the kernel gives a process whose
parent has ended to the next of its ancestors that asks for such orphans, and the caller asks for
the moment. Linux only.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ops.stack.errors import StartError

IMPORTED = ("workers.cli", "workers.app", "gateway.cli", "fastapi", "uvicorn")
"""Not the gateway's own serving: it has things to say before its first import."""

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_ADOPTED_WITHIN_S = 10.0
_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What one program is to be.

    Attributes:
        name: Shown by `ps -o comm` and `top`; the first 15 bytes.
        arguments: Python's: `-m`, a module and its arguments, or `-c`, code and its arguments.
        environment: The whole of it.
        log: Gets all that it prints.
        death_signal: For the program when the thread that it was given to ends.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: str
    log: str
    death_signal: int


class Forked:
    """A child of ours; to its owner what `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(_POLL_S)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(birth: Birth) -> Forked:
    """Start a program. The first of a process waits for the imports.

    Raises:
        StartError: The process that has imported everything is gone. The next call makes another.
    """
    return _zygote(os.getpid()).fork(birth)


class _Zygote:
    """The owner's side. It ends with its owner, who alone holds the other end of its socket."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours
        self._answers = ours.makefile("rb")
        self._lock = threading.Lock()
        atexit.register(self._end)

    def fork(self, birth: Birth) -> Forked:
        Path(birth.log).touch()  # whoever looks need not ask whether it is there yet
        with self._lock:
            _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                self._socket.sendall(json.dumps(asdict(birth)).encode() + b"\n")
                answer = self._answers.readline()
            except OSError:
                answer = b""
            finally:
                _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 0)
        if not answer.strip():
            _zygote.cache_clear()
            self._end()
            raise StartError(f"{birth.name} was not started: what it is a fork of has ended.")
        return Forked(int(answer))

    def _end(self) -> None:
        atexit.unregister(self._end)
        self._answers.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()


@functools.lru_cache(maxsize=1)
def _zygote(owner: int) -> _Zygote:  # a fork of the owner is an owner of its own
    return _Zygote()


###
### The process itself
###


def main(descriptor: int) -> None:
    """Import everything, then fork when told to; returns in the forks, when they are done."""
    owner = os.getppid()
    with socket.socket(fileno=descriptor) as channel:
        for name in IMPORTED:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a look of the garbage collector would write to every page
        birth = _next_birth(channel)
    if birth is not None:
        _become(birth, owner)


def _next_birth(channel: socket.socket) -> Birth | None:
    """Returns in each fork what it is to be, and None to the process itself at its end."""
    with channel.makefile("rb") as orders:
        for order in orders:
            between = os.fork()
            if between == 0:
                child = os.fork()
                if child == 0:
                    return Birth(**json.loads(order))
                channel.sendall(b"%d" % child)
                os._exit(0)  # and the child is the owner's
            os.waitpid(between, 0)
            channel.sendall(b"\n")
    return None


def _become(birth: Birth, owner: int) -> None:
    os.setsid()  # Ctrl-C at the terminal is for the owner to hear
    deadline = time.monotonic() + _ADOPTED_WITHIN_S
    while os.getppid() != owner and time.monotonic() < deadline:
        time.sleep(0.001)
    _LIBC.prctl(_PR_SET_PDEATHSIG, birth.death_signal)
    if os.getppid() != owner:
        os._exit(1)
    _LIBC.prctl(_PR_SET_NAME, birth.name.encode())
    os.umask(0o077)
    os.chdir(birth.directory)
    with Path(birth.log).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(birth.environment)
    sys.path[0] = birth.directory
    kind, program, *rest = birth.arguments
    sys.argv = [program if kind == "-m" else kind, *rest]
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    main(int(sys.argv[1]))
