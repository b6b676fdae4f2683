"""The worker processes: who lives, who was told to die, and who has to be started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import psutil

from ops.stack.children import tail
from ops.stack.deployment import Deployment

from .facts import Facts

LOOK_EVERY_S = 0.1
RESTART_PAUSE_S = 0.5
READY_WITHIN_S = 60.0
END_WITHIN_S = 20.0
LOUD = ("aio_pika", "aiormq")
"""Loggers that call it an error when a connection is lost."""


class WorkerStuckError(Exception):
    """A worker did not start, or did not end, in time."""


class Crew:
    """What starts a process has to run on the main thread: children end with their thread."""

    def __init__(self, deployment: Deployment, facts: Facts) -> None:
        self._supervisor = deployment.supervisor
        self._programs = deployment.programs
        self._logs = deployment.directory / "logs"
        self._facts = facts
        self._doomed: set[str] = set()
        self._leaving: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._programs)

    @contextlib.asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Whoever ends is started again, as any supervisor would."""
        task = asyncio.create_task(self._keep(), name="crew")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def kill(self, name: str) -> None:
        self._doomed.add(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._supervisor.pids[name], signal.SIGKILL)

    def expect_death(self, name: str) -> None:
        """It was told to kill itself, and may or may not."""
        self._doomed.add(name)

    def expect_life(self, name: str) -> None:
        self._doomed.discard(name)

    async def restart(self, names: Iterable[str]) -> None:
        """SIGTERM, and start them again when they have ended. Raises WorkerStuckError."""
        names = [name for name in names if name in self._programs]
        # Who still starts does not hear the signal yet, and just ends by it.
        starting = {name for name in names if not self._ready(name).exists()}
        self._leaving.update(names)
        try:
            for name in names:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._supervisor.pids[name], signal.SIGTERM)
            for name in names:
                await self._ended(name, starting=name in starting)
                self._start(name)
        finally:
            self._leaving.difference_update(names)
        await self.ready(names)

    @contextlib.asynccontextmanager
    async def down(self, names: Iterable[str]) -> AsyncIterator[None]:
        """SIGKILL, and nobody starts them before the end. Raises WorkerStuckError."""
        names = [name for name in names if name in self._programs]
        self._leaving.update(names)
        try:
            for name in names:
                self.kill(name)
            for name in names:
                await self._ended(name, starting=True)
            self._facts.kills += len(names)
            yield
        finally:
            self._doomed.difference_update(names)
            for name in names:
                self._start(name)
            self._leaving.difference_update(names)
        await self.ready(names)

    async def ready(self, names: Iterable[str] | None = None) -> None:
        """Raises WorkerStuckError."""
        wanted = [self._ready(name) for name in names or self.names]
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not all(path.exists() for path in wanted):  # noqa: ASYNC110  # a file
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            late = ", ".join(path.stem for path in wanted if not path.exists())
            raise WorkerStuckError(f"not ready after {READY_WITHIN_S:g} s: {late}") from None

    def resident(self) -> dict[str, int]:
        """Bytes by process."""
        found = {}
        for name, pid in self._supervisor.pids.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[name] = psutil.Process(pid).memory_info().rss
        return found

    def log_errors(self) -> list[str]:
        """What workers called an error, and how often."""
        found = Counter(
            error for path in sorted(self._logs.glob("*.log")) for error in _errors(path)
        )
        return [f"{count} x {error}" for error, count in found.most_common()]

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for name in self.names:
                if name in self._leaving or (ending := self._ending(name)) is None:
                    continue
                if name in self._doomed:
                    self._doomed.discard(name)
                    self._facts.kills += 1
                else:
                    self._facts.deaths.append(f"{name} {ending}.{tail(self._log(name), 5)}")
                await asyncio.sleep(RESTART_PAUSE_S)
                if name not in self._leaving:
                    self._start(name)

    def _ready(self, name: str) -> Path:
        return self._logs / f"{name}.ready"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _start(self, name: str) -> None:
        self._facts.restarts += 1
        self._supervisor.start(self._programs[name])

    async def _ended(self, name: str, *, starting: bool) -> None:
        try:
            async with asyncio.timeout(END_WITHIN_S):
                while (ending := self._ending(name)) is None:  # noqa: ASYNC110  # a process
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            self._facts.deaths.append(f"{name} did not end {END_WITHIN_S:g} s after SIGTERM")
        else:
            if ending != "ended with status 0" and not starting:
                said = tail(self._log(name), 5)
                self._facts.deaths.append(f"{name}, told to stop, {ending}.{said}")

    def _ending(self, name: str) -> str | None:
        """None while it runs. Only looks: the supervisor still has to collect it."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self._supervisor.pids[name], how)
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return f"ended with status {found.si_status}"
        return f"was killed by {signal.Signals(found.si_status).name}"


def _errors(path: Path) -> Iterator[str]:
    for line in path.read_text(errors="replace").splitlines():
        if '"level": "error"' in line:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry["logger"].startswith(LOUD):
                    continue
                last = (entry.get("exception") or "").strip().splitlines()[-1:]
                yield f"{path.stem}: {entry['event']}: {''.join(last)[:200]}"
        elif line.startswith("Traceback"):
            yield f"{path.stem}: a traceback outside the log"
