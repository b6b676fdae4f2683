"""Broker and database as machines that can be stopped, killed, and started again as they were."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from ops.stack import children
from ops.stack.children import Account
from ops.stack.services import Services
from ops.stack.sockets import speaks_amqp, speaks_postgres

GRACE_S = 40.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """What it takes to run a process again: the kernel remembers all of it."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    account: Account

    @classmethod
    def of(cls, pid: int) -> Incarnation:
        process = psutil.Process(pid)
        executable = process.exe()
        return cls(
            argv=(executable, *process.cmdline()[1:]),
            environment=process.environ(),
            directory=Path(process.cwd()),
            account=Account(process.uids().real, process.gids().real),
        )


class Machine:
    """One private node of the stack.

    Arguments:
        answers: Whether it serves.
        stop_signal: How it wants to be ended.
        last_signal: How it ends at once and for good, with nothing left but its data.
    """

    def __init__(
        self,
        name: str,
        pid: int,
        answers: Callable[[], bool],
        stop_signal: signal.Signals,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._name = name
        self._answers = answers
        self._stop_signal = stop_signal
        self._last_signal = last_signal
        self._born = Incarnation.of(pid)
        self._process = psutil.Process(pid)
        self._own: Popen[bytes] | None = None
        self._log = self._born.directory / "again.log"

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.send_signal(self._stop_signal)
        self._gone()

    def kill(self) -> None:
        """With all its children, at once."""
        family = [self._process, *self._process.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._gone()
        psutil.wait_procs(family[1:], timeout=GRACE_S)

    def start(self) -> None:
        """On this thread, which it ends with."""
        self._own = children.spawn(
            self._born.argv,
            environment=self._born.environment,
            directory=self._born.directory,
            log=self._log,
            death_signal=signal.SIGKILL,
            account=self._born.account,
        )
        self._process = psutil.Process(self._own.pid)

    def wait_ready(self) -> None:
        """Raises StartError."""
        if self._own is not None:
            children.wait_ready(
                self._name, self._own, self._answers, log=self._log, timeout_s=GRACE_S
            )

    def close(self) -> None:
        if self._own is not None:
            children.stop(self._own, self._last_signal, grace_s=10)

    def _gone(self) -> None:
        if self._own is not None:
            self._own.wait(GRACE_S)
            return
        # Somebody else in this process has started it, and collects it who knows when. Until
        # then its number is taken, and PostgreSQL believes that the old server still runs.
        deadline = time.monotonic() + GRACE_S
        with suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
                time.sleep(_POLL_S)


class Machines:
    """Those that are ours to break; none for a service that somebody else runs.

    Attributes:
        broker: Its nodes; each has the name that it has in the broker.
    """

    def __init__(self, services: Services) -> None:
        self.broker = tuple(_node(pid) for pid in services.broker_pids)
        self.database = tuple(
            _database(pid, urlsplit(services.database_url).port or 0)
            for pid in (services.database_pid,)
            if pid is not None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for machine in (*self.broker, *self.database):
            machine.close()


def _node(pid: int) -> Machine:
    environment = Incarnation.of(pid).environment
    name, port = environment["RABBITMQ_NODENAME"], int(environment["RABBITMQ_NODE_PORT"])
    # Plugins, the management API among them, start before the node takes AMQP connections.
    return Machine(name, pid, lambda: speaks_amqp(port), signal.SIGTERM)


def _database(pid: int, port: int) -> Machine:
    return Machine(
        "PostgreSQL",
        pid,
        lambda: speaks_postgres(port),
        signal.SIGINT,
        signal.SIGQUIT,  # SIGKILL would leave its shared memory behind
    )
