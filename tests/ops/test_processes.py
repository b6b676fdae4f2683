"""The supervisor of our own processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ops.stack.errors import ChildDiedError, StartError
from ops.stack.processes import Program, Supervisor
from tests.patience import wait_until

pytestmark = pytest.mark.long

SERVES = """
import os, pathlib, signal, sys, time
def leave(*_):
    print("leaving", flush=True)
    with open("order", "a") as order:
        order.write(os.environ["NAME"] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("serving", flush=True)
pathlib.Path(os.environ["WARREN_READY_FILE"]).touch()
while True: time.sleep(0.01)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SERVES.replace(
    "signal.signal(signal.SIGTERM, leave)", ""
)
NEVER_READY = "import time; print('thinking', flush=True); time.sleep(60)"
FAILS = "print('no such queue', flush=True); raise SystemExit(3)"
ONCE = """
import os, pathlib, time
first = not pathlib.Path("ran").exists()
pathlib.Path("ran").touch()
pathlib.Path(os.environ["WARREN_READY_FILE"]).touch()
time.sleep(1.1 if first else 60)
"""


def program(name: str, code: str, *, restart: bool = False) -> Program:
    return Program(name=name, arguments=("-c", code), environment={"NAME": name}, restart=restart)


def test_programs_run_until_the_block_ends(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        for name in ("one", "two"):
            supervisor.start(program(name, SERVES))
        supervisor.wait_ready()
        supervisor.check()
        pids = supervisor.pids
        assert set(pids) == {"one", "two"}
        assert all(psutil.pid_exists(pid) for pid in pids.values())
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert (tmp_path / "one.log").read_text() == "serving\nleaving\n"
    assert sorted((tmp_path / "order").read_text().split()) == ["one", "two"]


def test_programs_stop_when_the_block_fails(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail() -> None:
        with Supervisor(tmp_path) as supervisor:
            pids.append(supervisor.start(program("one", SERVES)))
            supervisor.wait_ready()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not psutil.pid_exists(pids[0])


def test_a_stubborn_program_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_s=0.1) as supervisor:
        pid = supervisor.start(program("mule", STUBBORN))
        supervisor.wait_ready()
    assert not psutil.pid_exists(pid)


def test_a_program_that_ends_instead_of_serving_is_reported_with_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program("worker", FAILS))
        with pytest.raises(
            ChildDiedError, match=r"worker ended with status 3\..*\n    no such queue"
        ):
            supervisor.wait_ready()


def test_a_program_that_is_killed_later_is_reported(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        pid = supervisor.start(program("worker", SERVES))
        supervisor.wait_ready()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_zombie(pid))
        with pytest.raises(ChildDiedError, match="worker was killed by SIGKILL"):
            supervisor.check()


def test_a_program_that_is_never_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program("slow", NEVER_READY))
        wait_until(lambda: "thinking" in (tmp_path / "slow.log").read_text())
        with pytest.raises(StartError, match=r"slow was not ready after 0\.1 s\..*\n    thinking"):
            supervisor.wait_ready(timeout_s=0.1)


def test_a_program_may_be_started_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        first = supervisor.start(program("worker", ONCE, restart=True))
        supervisor.wait_ready()

        def restarted() -> bool:
            supervisor.check()
            return supervisor.pids["worker"] != first

        wait_until(restarted)
        supervisor.wait_ready()


def test_programs_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import time
from collections.abc import Callable
from ops.stack.processes import Program, Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}))
program = Program(name="one", arguments=("-c", {SERVES!r}), environment={{"NAME": "one"}})
pid = supervisor.start(program)
supervisor.wait_ready()
print(pid, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or is_zombie(pid))


def test_secrets_of_a_program_are_not_shown() -> None:
    secret = Program(name="party", arguments=(), environment={"WARREN_MASTER_KEY": "hunter2"})
    assert "hunter2" not in repr(secret)


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
