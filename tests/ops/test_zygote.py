"""Programs as forks: each is what it would have been in an interpreter of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ops.stack import zygote
from ops.stack.errors import StartError
from ops.stack.processes import Program, Supervisor
from ops.stack.zygote import Birth, Forked
from tests.patience import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        sys.platform != "linux",
        reason="only Linux gives a fork to whoever asked for it (prctl); elsewhere each program "
        "of a stack is started in an interpreter of its own, and there are no forks to test",
    ),
]

SLEEPS = "import time; print('here', flush=True); time.sleep(60)"


@pytest.fixture
def born(tmp_path: Path) -> Callable[..., Forked]:
    def fork(*arguments: str, name: str = "one", **environment: str) -> Forked:
        return zygote.fork(
            Birth(
                name=name,
                arguments=arguments,
                environment={"PATH": os.environ["PATH"], **environment},
                directory=str(tmp_path),
                log=str(tmp_path / f"{name}.log"),
                death_signal=signal.SIGTERM,
            )
        )

    return fork


def said(tmp_path: Path, name: str = "one") -> str:
    return (tmp_path / f"{name}.log").read_text()


def test_a_program_has_its_own_words_environment_and_folder(
    born: Callable[..., Forked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "ours")
    code = (
        "import json, os, sys; mask = os.umask(0);"
        "print(json.dumps([sys.argv, dict(os.environ), os.getcwd(), sys.path[0], mask,"
        " os.getppid(), os.getsid(0) == os.getpid(), sorted(map(int, os.listdir('/proc/self/fd')))"
        "]))"
    )
    assert born("-c", code, "a", "b", ONLY="this").wait(20) == 0
    argv, environment, folder, first, mask, parent, leads, files = json.loads(said(tmp_path))
    assert argv == ["-c", "a", "b"]
    assert environment == {"PATH": os.environ["PATH"], "ONLY": "this"}
    assert folder == first == str(tmp_path)
    assert mask == 0o077
    assert parent == os.getpid()
    assert leads
    assert files == [0, 1, 2, 3], "the last is the look itself"


def test_a_module_runs_as_the_main_one(born: Callable[..., Forked], tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(
        "import sys\nprint(__name__, sys.modules['__main__'].__file__ == __file__, sys.argv)\n"
    )
    assert born("-m", "greeting", "all").wait(20) == 0
    path = str(tmp_path / "greeting.py")
    assert said(tmp_path) == f"__main__ True ['{path}', 'all']\n"


@pytest.mark.parametrize(
    ("code", "status", "ending"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise ValueError('too much')", 1, "ValueError: too much\n"),
        ("import atexit; atexit.register(print, 'left'); raise SystemExit", 0, "left\n"),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
        ("import os; os.kill(os.getpid(), 2)", -signal.SIGINT, "KeyboardInterrupt\n"),
    ],
)
def test_it_ends_as_any_program(
    born: Callable[..., Forked], tmp_path: Path, code: str, status: int, ending: str
) -> None:
    child = born("-c", code)
    assert child.wait(20) == status
    assert child.poll() == status
    assert said(tmp_path).endswith(ending)


def test_no_two_programs_draw_the_same_numbers(born: Callable[..., Forked], tmp_path: Path) -> None:
    """Keys and nonces come from these. The copies of one process have the same state of each
    generator that lives in a process, and must not use it."""
    code = """
import random, secrets, uuid
import coincurve, nacl.utils, numpy
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
print(random.random())
print(secrets.token_hex(), uuid.uuid4())
print(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value)
print(Ed25519PrivateKey.generate().private_bytes_raw())
print(coincurve.PrivateKey().to_hex())
print(nacl.utils.random(16))
print(numpy.random.default_rng().integers(2**60))
"""
    names = [f"draw-{number}" for number in range(4)]
    children = [born("-c", code, name=name) for name in names]
    assert [child.wait(60) for child in children] == [0] * len(names)
    drawn = [said(tmp_path, name).splitlines() for name in names]
    assert [len(lines) for lines in drawn] == [7] * len(names)
    for same_kind in zip(*drawn, strict=True):
        assert len(set(same_kind)) == len(names), same_kind


def test_it_is_called_by_its_name(born: Callable[..., Forked], tmp_path: Path) -> None:
    child = born("-c", SLEEPS, name="party-1.presigning.1")
    wait_until(lambda: (tmp_path / "party-1.presigning.1.log").exists())
    wait_until(lambda: "here" in said(tmp_path, "party-1.presigning.1"))
    assert Path(f"/proc/{child.pid}/comm").read_text() == "party-1.presign\n"
    child.kill()
    assert child.wait(20) == -signal.SIGKILL


def test_who_waits_too_short_is_told(born: Callable[..., Forked]) -> None:
    child = born("-c", SLEEPS)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM
    child.kill()  # and nothing is sent to whoever has its number by now


def test_a_program_that_others_have_waited_for_has_ended(born: Callable[..., Forked]) -> None:
    child = born("-c", "pass")
    os.waitpid(child.pid, 0)
    assert child.poll() == 0


def test_orphans_of_others_do_not_become_ours(tmp_path: Path) -> None:
    """They would stay as zombies: nobody here waits for them."""
    code = "import os, time\nif os.fork() == 0: time.sleep(0.3); print(os.getppid(), flush=True)"
    log = tmp_path / "orphan.log"
    with log.open("wb") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True)
    wait_until(lambda: bool(log.read_text()))
    assert int(log.read_text()) != os.getpid()


def test_where_the_copied_process_is_gone_the_next_program_gets_another(
    born: Callable[..., Forked],
) -> None:
    assert born("-c", "pass").wait(20) == 0
    me = psutil.Process()
    (copied,) = [each for each in me.children() if "ops.stack.zygote" in each.cmdline()]
    copied.kill()
    wait_until(lambda: copied.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(StartError, match="one was not started: what it is a fork of has ended"):
        born("-c", "pass")
    assert born("-c", "pass").wait(20) == 0


@pytest.mark.parametrize(
    ("environment", "forked"),
    [({}, True), ({"WARREN_X": "1"}, True), ({"LD_PRELOAD": ""}, False), ({"PYTHONX": "1"}, False)],
)
def test_what_is_read_at_the_start_of_an_interpreter_needs_one(
    tmp_path: Path, environment: dict[str, str], forked: bool
) -> None:
    code = """
import pathlib, os, sys, time
print('workers.app' in sys.modules, flush=True)
pathlib.Path(os.environ['WARREN_READY_FILE']).touch()
time.sleep(60)
"""
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Program(name="one", arguments=("-c", code), environment=environment))
        supervisor.wait_ready()
    assert said(tmp_path) == f"{forked}\n"


def test_secrets_of_a_birth_are_not_shown() -> None:
    birth = Birth(
        name="party",
        arguments=(),
        environment={"WARREN_MASTER_KEY": "hunter2"},
        directory="/",
        log="/dev/null",
        death_signal=signal.SIGTERM,
    )
    assert "hunter2" not in repr(birth)
