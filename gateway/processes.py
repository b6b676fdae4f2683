"""Several processes behind one port: forked, kept running, and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

PAUSE_S = 1.0
"""A process that did not live longer is not replaced sooner."""

ENDINGS = (signal.SIGTERM, signal.SIGINT)


def keep_running(
    count: int,
    work: Callable[[], int],
    *,
    hopeless: frozenset[int],
    ended: Callable[[int], None] = lambda _: None,
) -> int:
    """Run so many processes until SIGTERM or SIGINT, and replace those that end by themselves.

    Arguments:
        work: What each of them does; returns its exit code.
        hopeless: Exit codes after which it makes no sense to try again: then all end.
        ended: Called here with the process id of each that ended.

    Returns the exit code for the whole.
    """
    began: dict[int, float] = {}
    stopping = False
    code = 0

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in began:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGTERM)

    def begin() -> None:
        # A signal waits until the new process is known, or none is begun.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        if not stopping:
            began[_fork(work)] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)

    before = {number: signal.signal(number, stop) for number in ENDINGS}
    try:
        for _ in range(count):
            begin()
        while began:
            pid, status = os.wait()
            lived_s = time.monotonic() - began.pop(pid, time.monotonic())
            ended(pid)
            if os.waitstatus_to_exitcode(status) in hopeless and not stopping:
                code = os.waitstatus_to_exitcode(status)
                stop()
            if not stopping and lived_s < PAUSE_S:
                time.sleep(PAUSE_S)
            begin()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _fork(work: Callable[[], int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_a_child(work, parent)
    return pid


def _be_a_child(work: Callable[[], int], parent: int) -> NoReturn:
    code = 70
    try:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        if os.getppid() == parent:
            code = work()
    finally:
        os._exit(code)
