"""A machine that was stopped or killed is started again as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from ops.chaos.machines import Incarnation, Machine
from ops.stack import children

PROGRAM = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit()); time.sleep(60)"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Popen[bytes]]:
    spawned = children.spawn(
        [sys.executable, "-c", PROGRAM],
        environment={**os.environ, "MARK": "here"},
        directory=tmp_path,
        log=tmp_path / "log",
    )
    yield spawned
    children.stop(spawned)


@pytest.mark.parametrize("end", [Machine.stop, Machine.kill])
def test_what_ended_runs_again_with_the_same_words_in_the_same_place(
    process: Popen[bytes], tmp_path: Path, end: object
) -> None:
    machine = Machine("machine", process.pid, lambda: True, signal.SIGTERM)
    before = Incarnation.of(process.pid)
    for _ in range(2):  # the second time it is our own child
        pid = machine.pid
        assert callable(end)
        end(machine)
        assert not psutil.pid_exists(pid), "its number is still taken"
        machine.start()
        machine.wait_ready()
        again = Incarnation.of(machine.pid)
        assert machine.pid != pid
        assert again.argv[1:] == before.argv[1:]
        assert again.directory == tmp_path
        assert again.environment["MARK"] == "here"
    pid = machine.pid
    machine.close()
    assert not psutil.pid_exists(pid)
