"""Processes of a deployment that believe it to be another time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack.deployment import Deployment
from tests.system.field.restarting import restart

PLACES = ("/usr/lib/*-linux-*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


def _library() -> Path:
    found = [path for place in PLACES for path in Path("/").glob(place[1:])]
    if not found:
        pytest.skip("no libfaketime here: it is in Debian's package of that name")
    return found[0]


async def restart_at(crew: Deployment, role: str, seconds: float) -> None:
    """All processes of a role, with a clock that is ahead by so much."""
    ahead = {
        "LD_PRELOAD": str(_library()),
        "FAKETIME": f"{seconds:+g}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    before = dict(crew.programs)
    for name, program in before.items():
        if name.startswith(f"{role}."):
            environment = {**program.environment, **(ahead if seconds else {})}
            crew.programs[name] = replace(program, environment=environment)
    try:
        await restart(crew, role)
    finally:
        crew.programs.update(before)
