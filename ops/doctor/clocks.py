"""Clocks: this machine's against the database's and the broker's."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from ops.configurations import Role
from ops.doctor.checks import Check, OfAll, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings, sqlite_path

TOLERANCE_S = 15.0
"""Unless a file says otherwise (`clock_tolerance_seconds`): what is issued further away counts as
of another time."""
EARLY = 1 / 3
"""Of that, for a warning."""


async def database(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """SQLite has no clock of its own."""
    if sqlite_path(subject.worker.database_url) is not None:
        raise NotLookedError("a SQLite file goes by this machine's clock")
    store = await surroundings.store_of(subject)

    async def ask() -> float:
        return await store.now() / 1000

    off_s = await _ahead(surroundings.clock, ask)
    return _judged(off_s, "the database's", subject.worker.limits.clock_tolerance_seconds)


async def broker(surroundings: Surroundings) -> list[Trouble]:
    """By what its management API says, which is exact to a second."""
    management = surroundings.managed()

    async def ask() -> float:
        told = await management.time()
        if told is None:
            raise NotLookedError("the management API does not tell the time")
        return told + 0.5

    off_s = await _ahead(surroundings.clock, ask)
    tolerances = [
        each.worker.limits.clock_tolerance_seconds
        for each in surroundings.subjects
        if each.settings is not None and each.role in WITH_LIMITS
    ]
    return _judged(off_s, "the broker's", min(tolerances, default=TOLERANCE_S))


async def _ahead(clock: Callable[[], float], ask: Callable[[], Awaitable[float]]) -> float:
    """How far this machine's is. What the answer took is taken to be half for each way."""
    before, began = clock(), time.monotonic()
    told = await ask()
    return before + (time.monotonic() - began) / 2 - told


def _judged(off_s: float, whose: str, tolerance_s: float) -> list[Trouble]:
    if abs(off_s) <= max(tolerance_s * EARLY, 1):
        return []
    side = "ahead of" if off_s > 0 else "behind"
    text = (
        f"this machine's clock is {abs(off_s):.0f} s {side} {whose}; {tolerance_s:g} s are allowed"
    )
    return [Trouble(text) if abs(off_s) > tolerance_s else warning(text)]


WITH_LIMITS = frozenset({Role.PARTY, Role.COORDINATOR})
_REMEDY = "set the clocks: `timedatectl timesync-status` on both machines"

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.CLOCKS,
        name="database",
        must="This machine's clock and the database's agree",
        todo=_REMEDY,
        roles=WITH_LIMITS,
        look=database,
    ),
    OfAll(
        group=Group.CLOCKS,
        name="broker",
        must="This machine's clock and the broker's agree",
        todo=_REMEDY,
        look=broker,
    ),
)
