"""How long the topology's files take for very many members: without a broker, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import topology
from topology.model import Found, Ref, Topology
from topology.plan import difference
from topology.source import write

T = TypeVar("T")

PARTIES = 3


def measured(clients: int) -> dict[str, float | int]:
    """Seconds by step, and how much there is of it."""
    with TemporaryDirectory() as folder:
        members = Path(folder) / "members.yaml"
        write(
            {
                "parties": [f"party-{number + 1}" for number in range(PARTIES)],
                "clients": [f"client-{number:06d}" for number in range(clients)],
            },
            members,
        )
        check, declared = _timed(lambda: topology.declared(members))
    nothing = _found(Topology(), exists=False)
    first, plan = _timed(lambda: difference(declared, nothing))
    there = _found(declared, exists=True)
    second, none = _timed(lambda: difference(declared, there))
    one_less = _without_one(declared, clients)
    third, edit = _timed(lambda: difference(one_less, there, prune=True))
    if none.changes or len(edit.changes) > _MOST:
        raise AssertionError("a plan is not what it has to be")
    return {
        "clients": clients,
        "resources": sum(1 for _ in declared.resources()),
        "changes": len(plan.changes),
        "check_s": round(check, 2),
        "plan_of_all_s": round(first, 2),
        "plan_of_nothing_s": round(second, 2),
        "plan_of_one_less_s": round(third, 2),
    }


_MOST = 30
"""What goes with one client, and the record of what is ours."""


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.perf_counter()
    made = work()
    return time.perf_counter() - begun, made


def _found(there: Topology, *, exists: bool) -> Found:
    owned: frozenset[Ref] = frozenset(there.by_ref())
    return Found(vhost="warren", vhost_exists=exists, topology=there, owned=owned, depths={})


def _without_one(declared: Topology, clients: int) -> Topology:
    """As if the last one were no longer listed."""
    gone = f"client-{clients - 1:06d}"
    return Topology.of(one for one in declared.resources() if gone not in str(one.ref))


def lines(figures: dict[str, float | int]) -> Iterator[str]:
    """For people."""
    yield f"{figures['clients']} clients, {figures['resources']} resources"
    for name, value in figures.items():
        if name.endswith("_s"):
            yield f"  {name.removesuffix('_s').replace('_', ' '):<20} {value:>8} s"
