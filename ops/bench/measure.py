"""CPU time and memory of groups of processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Processes that count as one.

    Attributes:
        pids: By name.
        descendants: Whether their children count too, those of children included.
    """

    name: str
    pids: dict[str, int]
    descendants: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Attributes:
        at: `time.perf_counter`.
        cpu_s: By group, since its processes began. A group of which a process is gone is missing.
        machine_s: Of all processes on this machine, since it booted.
    """

    at: float
    cpu_s: dict[str, float]
    machine_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCpu:
    """What one group used between two readings.

    Attributes:
        cpu_ms_per_operation: Per operation that finished, well or not; None if none did.
        cpu_ms_per_item: Per signature of a list, or presignature of a batch; of what makes one
            thing at a time, the same.
        cores: How many cores it kept busy on average.
    """

    group: str
    processes: int
    cpu_s: float
    cpu_ms_per_operation: float | None
    cpu_ms_per_item: float | None
    cores: float


def read(groups: Sequence[Group]) -> Reading:
    """How much CPU each group of processes has used so far, and the machine in all."""
    cpu_s = {}
    for group in groups:
        with contextlib.suppress(psutil.NoSuchProcess):
            cpu_s[group.name] = sum(_cpu_s(pid, group.descendants) for pid in group.pids.values())
    times = psutil.cpu_times()._asdict()
    # Guests' time is in user and nice already; what was stolen was nobody's here.
    idle = ("idle", "iowait", "steal", "guest", "guest_nice")
    return Reading(
        at=time.perf_counter(),
        cpu_s=cpu_s,
        machine_s=sum(value for name, value in times.items() if name not in idle),
    )


def usage(
    groups: Sequence[Group], before: Reading, after: Reading, *, finished: int, batch: int = 1
) -> list[GroupCpu]:
    """Of every group that was there at both readings.

    Arguments:
        finished: Operations.
        batch: Items of each.
    """

    def of(group: Group) -> GroupCpu:
        cpu_s = after.cpu_s[group.name] - before.cpu_s[group.name]
        return GroupCpu(
            group=group.name,
            processes=len(group.pids),
            cpu_s=cpu_s,
            cpu_ms_per_operation=1000 * cpu_s / finished if finished else None,
            cpu_ms_per_item=1000 * cpu_s / (finished * batch) if finished else None,
            cores=cpu_s / (after.at - before.at),
        )

    measured = before.cpu_s.keys() & after.cpu_s.keys()
    return [of(group) for group in groups if group.name in measured]


def memory_bytes(groups: Sequence[Group]) -> dict[str, int]:
    """Resident memory by name of the process, without its children's."""
    resident = {}
    for group in groups:
        for name, pid in group.pids.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                resident[name] = psutil.Process(pid).memory_info().rss
    return resident


def _cpu_s(pid: int, descendants: bool) -> float:
    root = psutil.Process(pid)
    times = root.cpu_times()
    total: float = times.user + times.system
    if descendants:
        total += _collected_s(times) + sum(_family_s(root))
    return total


def _family_s(root: psutil.Process) -> Iterator[float]:
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            yield times.user + times.system + _collected_s(times)


def _collected_s(times: object) -> float:
    """Of children that ended: else the time of a database session would vanish with it."""
    return sum(getattr(times, name, 0.0) for name in ("children_user", "children_system"))
