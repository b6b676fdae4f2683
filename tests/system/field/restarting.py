"""Processes of a deployment that are stopped, configured otherwise, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil

from ops.stack.deployment import Deployment

GRACE_S = 60


async def stop(crew: Deployment, role: str) -> list[str]:
    """All processes of a role; returns their names."""
    names = [name for name in crew.programs if name.startswith(f"{role}.")]
    for name in names:
        pid = crew.supervisor.pids[name]
        os.kill(pid, signal.SIGTERM)
        await asyncio.to_thread(psutil.Process(pid).wait, GRACE_S)
    return names


async def restart(crew: Deployment, role: str) -> None:
    for name in await stop(crew, role):
        crew.supervisor.start(crew.programs[name])
    await asyncio.to_thread(crew.supervisor.wait_ready)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
