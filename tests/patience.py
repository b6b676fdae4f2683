"""Waiting for what happens in its own time, however slow the machine.

Nothing here gives up: a test's own limit ends it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

PAUSE_S = 0.02


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    while True:
        found = true()
        if await found if inspect.isawaitable(found) else found:
            return
        await asyncio.sleep(PAUSE_S)


async def settle() -> None:
    """All that can happen here without waiting for anybody has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


def wait_until(true: Callable[[], bool]) -> None:
    """For tests without a loop."""
    while not true():
        time.sleep(PAUSE_S)
