"""Percentiles, CPU time, memory and the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.bench.latency import percentile, summarise
from ops.bench.machine import commit, this_machine
from ops.bench.measure import Group, Reading, memory_bytes, read, usage
from ops.bench.site import Store, plan_for, worker_groups

BURN = """
import os, subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
sys.stdin.readline()
{work}
print(flush=True)
sys.stdin.readline()
"""

OWN = "burn(0.3)"
LIVING_CHILD = """
child = subprocess.Popen(
    [sys.executable, "-c",
     "import sys,time\\nwhile time.process_time() < 0.3: pass\\nprint(flush=True)\\ninput()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
"""
DEAD_CHILD = """
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"])
"""


@contextmanager
def burner(work: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", BURN.format(work=work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            for child in psutil.Process(process.pid).children():
                child.kill()
            process.kill()


def step(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()


###
### Percentiles
###


def test_percentiles_are_nearest_ranks() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, p) for p in (1, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([1.0, 2.0, 3.0], 50) == 2
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2
    assert percentile([1.0, 2.0, 3.0], 99) == 3
    assert percentile([7.0], 50) == 7


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(sorted(values), percent)
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


def test_latencies_are_told_in_milliseconds_whatever_their_order() -> None:
    latency = summarise([0.004, 0.001, 0.002, 0.001])
    assert latency is not None
    assert (latency.min, latency.p50, latency.p95, latency.max) == (1, 1, 4, 4)
    assert latency.mean == pytest.approx(2)


def test_nothing_measured_is_no_latency_rather_than_zero() -> None:
    assert summarise([]) is None


###
### CPU and memory
###


@pytest.mark.parametrize("work", [OWN, LIVING_CHILD, DEAD_CHILD], ids=["own", "living", "dead"])
def test_the_cpu_time_of_a_group_has_that_of_all_its_processes(work: str) -> None:
    with burner(work) as process:
        groups = [Group(name="it", pids={"it": process.pid})]
        before = read(groups)
        step(process)
        after = read(groups)
    assert 0.25 < after.cpu_s["it"] - before.cpu_s["it"] < 5
    assert after.machine_s - before.machine_s > 0.2


def test_without_descendants_only_the_process_itself_counts() -> None:
    with burner(LIVING_CHILD) as process:
        whole = Group(name="whole", pids={"it": process.pid})
        alone = Group(name="alone", pids={"it": process.pid}, descendants=False)
        step(process)
        reading = read([whole, alone])
    assert reading.cpu_s["whole"] - reading.cpu_s["alone"] > 0.25


def test_a_group_with_a_dead_process_is_left_out() -> None:
    with burner(OWN) as process:
        dying = Group(name="dying", pids={"it": process.pid, "me": os.getpid()})
        living = Group(name="living", pids={"me": os.getpid()})
        before = read([dying, living])
    after = read([dying, living])
    assert [cpu.group for cpu in usage([dying, living], before, after, finished=1)] == ["living"]
    assert memory_bytes([dying]).keys() == {"me"}


def test_usage_is_per_second_and_per_operation_that_finished() -> None:
    groups = [Group(name="party-1", pids={"party-1.1": 1, "party-1.2": 2})]
    before = Reading(at=10.0, cpu_s={"party-1": 3.0}, machine_s=0.0)
    after = Reading(at=12.0, cpu_s={"party-1": 4.0}, machine_s=0.0)
    (used,) = usage(groups, before, after, finished=100)
    assert (used.processes, used.cpu_s, used.cores, used.cpu_ms_per_operation) == (2, 1, 0.5, 10)
    assert used.cpu_ms_per_item == 10
    (listed,) = usage(groups, before, after, finished=100, batch=8)
    assert (listed.cpu_ms_per_operation, listed.cpu_ms_per_item) == (10, 1.25)
    (idle,) = usage(groups, before, after, finished=0)
    assert (idle.cpu_ms_per_operation, idle.cpu_ms_per_item) == (None, None)


def test_memory_is_that_of_each_process() -> None:
    resident = memory_bytes([Group(name="me", pids={"me": os.getpid()})])
    assert resident["me"] > 10 * 2**20


def test_workers_are_grouped_by_their_role() -> None:
    pids = {"coordinator.1": 1, "party-1.1": 2, "party-10.1": 3, "party-1.2": 4}
    pids |= {"party-1.presigning.1": 5, "party-10.presigning.1": 6, "party-1.presigning.2": 7}
    assert [(group.name, group.pids) for group in worker_groups(pids)] == [
        ("coordinator", {"coordinator.1": 1}),
        ("party-1", {"party-1.1": 2, "party-1.2": 4}),
        ("party-1.presigning", {"party-1.presigning.1": 5, "party-1.presigning.2": 7}),
        ("party-10", {"party-10.1": 3}),
        ("party-10.presigning", {"party-10.presigning.1": 6}),
    ]


@pytest.mark.parametrize(("store", "on_sqlite"), [("postgres", 0), ("mixed", 1), ("sqlite", 3)])
def test_the_store_decides_how_many_parties_are_on_sqlite(store: str, on_sqlite: int) -> None:
    assert plan_for(party_count=3, store=Store(store)).sqlite_parties == on_sqlite


###
### The machine
###


def test_the_machine_is_named() -> None:
    machine = this_machine()
    assert machine.cpu
    assert machine.cores == os.cpu_count()
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert machine.python == sys.version.split()[0]
    json.dumps(machine.cpu)


def test_the_commit_is_told_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert commit(tmp_path) is None

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    assert commit(tmp_path) is None
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("-c", "commit.gpgsign=false", "commit", "-qm", "first", "--no-verify")
    git("tag", "-a", "v1", "-m", "never shown")
    found = commit(tmp_path)
    assert found is not None
    assert git("rev-parse", "HEAD").startswith(found)
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path) == f"{found}-dirty"
