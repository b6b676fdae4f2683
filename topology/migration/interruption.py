"""Signals that end a migration in order: connections are closed, and whoever sent it is told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Final

from topology.problems import TopologyError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a service manager's word, and a terminal that is gone."""


class InterruptedMigrationError(TopologyError):
    """Somebody ended the process. The exit code is that of a process without a word for it."""

    def __init__(self, number: signal.Signals) -> None:
        self.exit_code = 128 + number
        super().__init__(
            f"ended by {number.name}. Nothing is lost, and publishers are not refused; if a step "
            "had begun, run this again with the same files, and it goes on"
        )


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A signal cancels what is within, and another one what tidies up after it.

    Raises InterruptedMigrationError then. Without effect outside of the main thread, to which
    signals come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
        raise InterruptedMigrationError(came[0]) from None
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
