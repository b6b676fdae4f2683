"""A process that migrates a queue and kills itself on the way, as `kill -9` would.

What it is to do comes by its standard input, as it has a password in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.topology.migration.scene import HASTE
from topology import Members, declared
from topology.console import out
from topology.management import Management
from topology.migration.command import Display, Request, migrate
from topology.migration.conduct import News
from topology.migration.steps import Step


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


async def main() -> None:
    told = json.load(sys.stdin)
    request = Request(
        wanted=declared(Members(), Path(told["directory"]), vhost=told["vhost"]),
        vhost=told["vhost"],
        old=told["old"],
        new=told["new"],
        amqp=told["amqp"],
        timing=HASTE,
    )
    display = _Ends(tuple(told["at"]), told["moved"], told["after_s"])
    async with _Ending(told["management"], told["changes"]) as management:
        await migrate(management, request, display)


if __name__ == "__main__":
    asyncio.run(main())
