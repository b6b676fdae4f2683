from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.patience import wait_until

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from gateway import processes
processes.PAUSE_S = 0.01
folder = Path(sys.argv[1])

def end(*_):
    (folder / f"ended-{os.getpid()}").touch()
    os._exit(0)

def work():
    signal.signal(signal.SIGTERM, end)
    (folder / f"began-{os.getpid()}").touch()
    if (folder / "hopeless").exists():
        return 2
    while True:
        time.sleep(0.01)

ended = lambda pid: (folder / f"noted-{pid}").touch()
sys.exit(processes.keep_running(2, work, hopeless=frozenset({2}), ended=ended))
"""


def started(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])


def pids(folder: Path, word: str) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in folder.glob(f"{word}-*")}


def wait_for(folder: Path, word: str, count: int) -> set[int]:
    wait_until(lambda: len(pids(folder, word)) >= count)
    return pids(folder, word)


def test_a_process_that_ends_is_replaced_and_all_end_together(tmp_path: Path) -> None:
    parent = started(tmp_path)
    try:
        first = min(wait_for(tmp_path, "began", 2))
        os.kill(first, signal.SIGKILL)
        assert wait_for(tmp_path, "noted", 1) == {first}
        began = wait_for(tmp_path, "began", 3)
        parent.terminate()
        assert parent.wait(60) == 0
        assert pids(tmp_path, "ended") == began - {first}
    finally:
        parent.kill()
        parent.wait()


def test_all_end_where_there_is_no_hope(tmp_path: Path) -> None:
    (tmp_path / "hopeless").touch()
    parent = started(tmp_path)
    try:
        assert parent.wait(60) == 2
    finally:
        parent.kill()
        parent.wait()


IN_BETWEEN = """
import os, signal, sys
from gateway import processes
real = os.wait

def wait():
    found = real()
    os.kill(os.getpid(), signal.SIGTERM)  # while the ended process is still taken to run
    return found

os.wait = wait
sys.exit(processes.keep_running(1, lambda: 0, hopeless=frozenset()))
"""


def test_a_process_that_has_just_ended_does_not_keep_the_others_from_ending() -> None:
    parent = subprocess.run([sys.executable, "-c", IN_BETWEEN], capture_output=True, timeout=100)
    assert (parent.returncode, parent.stderr) == (0, b"")
