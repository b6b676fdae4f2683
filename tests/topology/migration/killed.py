"""A process that migrates a queue and kills itself on the way, as `kill -9` would."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from topology import Members, declared
from topology.console import out
from topology.management import Management
from topology.migration.command import Display, Request, migrate
from topology.migration.conduct import News, Timing
from topology.migration.steps import Step

HASTE = Timing(settle_s=0.4, pause_s=0.15, patience_s=20.0, farewell_s=0.5)


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Ends(Display):
    """Ends the process at a piece of news.

    Arguments:
        at: Its kind and step.
        moved: And so many messages were moved in that step.
        after_s: So long after that, in which nothing more is done.
    """

    def __init__(self, at: tuple[str, str], moved: int, after_s: float) -> None:
        super().__init__(out(), silent=True)
        self._at = at
        self._left = moved
        self._after_s = after_s

    @contextlib.contextmanager
    def over(self, ahead: tuple[Step, ...]) -> Iterator[None]:
        yield

    def hear(self, news: News) -> None:
        if (news.kind, news.step) == self._at:
            self._left -= news.moved
            if self._left <= 0:
                time.sleep(self._after_s)
                end()


class _Ending(Management):
    """Ends the process after so many changes."""

    def __init__(self, url: str, changes: int | None) -> None:
        super().__init__(url)
        self._left = changes

    async def send(
        self,
        method: str,
        path: str,
        *names: str,
        body: Mapping[str, object] | None = None,
        missing_ok: bool = False,
    ) -> Any:
        if method != "GET" and self._left is not None:
            self._left -= 1
            if self._left < 0:
                end()
        return await super().send(method, path, *names, body=body, missing_ok=missing_ok)


async def _migrate(told: Mapping[str, Any]) -> None:
    request = Request(
        wanted=declared(Members(), Path(told["directory"]), vhost=told["vhost"]),
        vhost=told["vhost"],
        old=told["old"],
        new=told["new"],
        amqp=told["amqp"],
        timing=HASTE,
    )
    display = _Ends(told["at"], told["moved"], told["after_s"])
    async with _Ending(told["management"], told["changes"]) as management:
        await migrate(management, request, display)


def _main(told: Mapping[str, Any]) -> None:
    asyncio.run(_migrate(told))


_PROCESSES = multiprocessing.get_context("forkserver")
"""Its server has imported all this once, which would take longer than a migration."""
_PROCESSES.set_forkserver_preload([__name__])


def killed(told: Mapping[str, Any]) -> bool:
    """Whether it killed itself, or came to an end."""
    process = _PROCESSES.Process(target=_main, args=(told,))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
