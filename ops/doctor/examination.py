"""All checks, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ops.doctor import (
    agreement,
    broker,
    certificates,
    clocks,
    configuration,
    disks,
    keys,
    parties,
    permissions,
    queues,
    store,
    topology,
)
from ops.doctor.checks import Check, examine
from ops.doctor.report import Group, Report
from ops.doctor.surroundings import Surroundings

CHECKS: tuple[Check, ...] = (
    *configuration.CHECKS,
    *agreement.CHECKS,
    *broker.CHECKS,
    *topology.CHECKS,
    *permissions.CHECKS,
    *queues.CHECKS,
    *store.CHECKS,
    *keys.CHECKS,
    *clocks.CHECKS,
    *parties.CHECKS,
    *certificates.CHECKS,
    *disks.CHECKS,
)
ALL = frozenset(Group)


async def examination(surroundings: Surroundings, groups: Collection[Group] = ALL) -> Report:
    """The report. Whatever goes wrong is a row of it.

    Arguments:
        groups: Those to look at; of the others there are no rows.
    """
    wanted = [check for check in CHECKS if check.group in groups]
    async with surroundings.opened():
        found = await asyncio.gather(*(examine(check, surroundings) for check in wanted))
    return Report.of([row for rows in found for row in rows])
