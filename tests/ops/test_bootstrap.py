"""What ops/bootstrap.sh decides, in a tree and on a PATH of our own making."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "ops"

# Understands what bootstrap.sh asks of a Python, and writes down what matters.
PYTHON = """#!/bin/sh
case "$*" in
    *"version_info <"*) exit {too_old} ;;
    *"import venv"*) exit {no_venv} ;;
    *"print("*) echo python3.11-venv ;;
    --version) echo Python 3.11.2 ;;
    *"venv --clear"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    *"pip --version"*) ;;
    *) echo "$*" >> {calls}; echo "Collecting something"; exit {pip_fails} ;;
esac
"""


class Tree:
    """A checkout with the scripts and nothing else, and a PATH with what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        requirements = self.root / "ops" / "requirements"
        requirements.mkdir(parents=True)
        self.bin.mkdir()
        for kind in ("demo", "test", "node"):
            (requirements / f"{kind}.txt").write_text(f"{kind}==1\n")
        (self.root / "pyproject.toml").touch()
        shutil.copy(SOURCE / "bootstrap.sh", self.root / "ops")
        tools = ("bash", "dirname", "basename", "cat", "cksum", "awk", "tee", "tail", "grep", "rm")
        for tool in (*tools, "mkdir", "cp", "sh"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.put("id", "#!/bin/sh\necho 1000\n")

    def put(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def put_python(
        self, name: str = "python3", *, too_old: int = 0, no_venv: int = 0, pip_fails: int = 0
    ) -> None:
        self.put(
            name,
            PYTHON.format(calls=self.calls, too_old=too_old, no_venv=no_venv, pip_fails=pip_fails),
        )

    def bootstrap(self, kind: str, *more: str) -> subprocess.CompletedProcess[str]:
        calls = "; ".join((f"bootstrap {kind}", *more))
        script = f"set -euo pipefail; source ops/bootstrap.sh; {calls}; echo went on"
        return subprocess.run(
            [str(self.bin / "bash"), "-c", script],
            cwd=self.root,
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
        )

    def pip_calls(self) -> list[str]:
        """What pip was asked since the last look."""
        if not self.calls.exists():
            return []
        calls = [line for line in self.calls.read_text().splitlines() if "pip install" in line]
        self.calls.unlink()
        return calls


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_it_installs_by_hash_and_speaks_on_standard_error_only(tree: Tree) -> None:
    tree.put_python()
    done = tree.bootstrap("demo")
    assert done.stdout == "went on\n"
    assert "Making the virtual environment" in done.stderr
    lock, itself = tree.pip_calls()
    assert "--no-deps --no-compile --require-hashes --requirement" in lock
    assert lock.endswith("ops/requirements/demo.txt")
    assert itself.endswith(f"--no-deps --no-build-isolation --editable {tree.root}")


def test_a_second_run_does_nothing(tree: Tree) -> None:
    tree.put_python()
    tree.bootstrap("demo")
    tree.pip_calls()
    done = tree.bootstrap("demo")
    assert (done.stdout, done.stderr) == ("went on\n", "")
    assert tree.pip_calls() == []


def test_a_changed_lock_is_installed_into_the_same_environment(tree: Tree) -> None:
    tree.put_python()
    tree.bootstrap("demo")
    tree.pip_calls()
    (tree.root / "ops/requirements/demo.txt").write_text("demo==2\n")
    done = tree.bootstrap("demo")
    assert "Making" not in done.stderr
    assert len(tree.pip_calls()) == 2


def test_the_tests_packages_serve_the_demo_but_not_the_other_way_round(tree: Tree) -> None:
    tree.put_python()
    tree.bootstrap("demo")
    tree.pip_calls()
    tree.bootstrap("test")
    assert tree.pip_calls()
    tree.bootstrap("demo")
    assert tree.pip_calls() == []


def test_a_failed_installation_says_so_and_is_tried_again(tree: Tree) -> None:
    tree.put_python(pip_fails=1)
    for _ in range(2):
        done = tree.bootstrap("demo")
        assert done.returncode == 1
        assert done.stdout == ""
        assert "The installation failed" in done.stderr
        assert tree.pip_calls()


def test_an_old_python3_gives_way_to_a_newer_one(tree: Tree) -> None:
    tree.put_python(too_old=1)
    tree.put_python("python3.12")
    assert tree.bootstrap("demo").stdout == "went on\n"


def test_without_a_new_python_it_says_what_to_install(tree: Tree) -> None:
    tree.put_python(too_old=1)
    done = tree.bootstrap("demo")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "needs Python 3.11 or newer" in done.stderr


def test_a_missing_venv_module_is_named_to_a_user(tree: Tree) -> None:
    tree.put_python(no_venv=1)
    tree.put("apt-get", "#!/bin/sh\nexit 0\n")
    done = tree.bootstrap("demo")
    assert done.returncode == 1
    assert "apt-get install python3.11-venv" in done.stderr
    assert tree.pip_calls() == []


def test_a_missing_venv_module_is_installed_for_root(tree: Tree) -> None:
    tree.put_python(no_venv=1)
    tree.put("id", "#!/bin/sh\necho 0\n")
    tree.put("apt-get", f'#!/bin/sh\necho "apt $*" >> {tree.calls}\n')
    assert tree.bootstrap("demo").stdout == "went on\n"
    assert "apt install --yes --no-install-recommends python3.11-venv" in tree.calls.read_text()


def test_a_missing_venv_module_that_apt_cannot_install_is_reported(tree: Tree) -> None:
    tree.put_python(no_venv=1)
    tree.put("id", "#!/bin/sh\necho 0\n")
    tree.put("apt-get", "#!/bin/sh\necho no network\nexit 100\n")
    done = tree.bootstrap("demo")
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "apt could not install python3.11-venv" in done.stderr


@pytest.mark.parametrize(("version", "asks"), [("v20.1.0", 0), ("v18.20.0", 1), ("", 1)])
def test_node_is_the_machines_own_if_it_is_new_enough(tree: Tree, version: str, asks: int) -> None:
    tree.put_python()
    if version:
        tree.put("npm", "#!/bin/sh\n")
        tree.put("node", f"#!/bin/sh\necho {version}\n")
    done = tree.bootstrap("test", "bootstrap_node")
    assert (done.returncode, done.stdout) == (0, "went on\n")
    calls = [call for call in tree.pip_calls() if "node.txt" in call]
    assert len(calls) == asks
    assert all("--require-hashes" in call for call in calls)


def test_without_a_node_the_rest_goes_on(tree: Tree) -> None:
    tree.put_python()
    tree.bootstrap("test")
    tree.pip_calls()
    environment = tree.root / ".venv" / "bin" / "python"
    environment.write_text("#!/bin/sh\necho no such wheel\nexit 1\n")
    done = subprocess.run(
        [str(tree.bin / "bash"), "-c", "source ops/bootstrap.sh; bootstrap_node; echo went on"],
        cwd=tree.root,
        env={"PATH": str(tree.bin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "went on\n"
    assert "no such wheel" in done.stderr
    assert "skipped" in done.stderr
