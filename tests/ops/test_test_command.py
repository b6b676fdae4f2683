"""What ops/test runs and says, with tools that do nothing but tell how they were called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CHECKS = ["ruff check .", "ruff format --check .", "mypy", "lint-imports", "warren docs --check"]
SUMMARY = "== 3 passed in 0.1s =="

BOOTSTRAP = """
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
bootstrap() { echo "bootstrap $*" >> "$root/calls"; }
bootstrap_node() { echo "bootstrap_node $*" >> "$root/calls"; }
"""
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
echo "$(basename "$0") says what it found"
case "$*" in *pytest*) echo '{summary}' ;; esac
case "$(basename "$0")${{*:+ $*}}" in {fails}) exit 1 ;; esac
"""


class Tree:
    """A checkout with nothing but ops/test and an environment of our own making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / ".venv" / "bin"
        self.bin.mkdir(parents=True)
        (root / "ops").mkdir()
        shutil.copy(ROOT / "ops" / "test", root / "ops")
        (root / "ops" / "bootstrap.sh").write_text(BOOTSTRAP)

    def run(self, *arguments: str, fails: str = "nothing") -> subprocess.CompletedProcess[str]:
        """
        Arguments:
            fails: The call that ends with status 1, as a pattern of the shell's.
        """
        (self.root / "calls").unlink(missing_ok=True)
        for tool in ("ruff", "mypy", "lint-imports", "warren", "python"):
            script = TOOL.format(calls=self.root / "calls", summary=SUMMARY, fails=fails)
            (self.bin / tool).write_text(script)
            (self.bin / tool).chmod(0o755)
        return subprocess.run(
            [self.root / "ops" / "test", *arguments], capture_output=True, text=True, check=False
        )

    def calls(self) -> list[str]:
        return [line.strip() for line in (self.root / "calls").read_text().splitlines()]

    def pytest_call(self) -> str:
        (call,) = [line for line in self.calls() if "-m pytest" in line]
        return call


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("arguments", [(), ("--fast",), ("-k", "frost")], ids=str)
def test_every_check_runs_and_pytest_has_the_last_word(
    tree: Tree, arguments: tuple[str, ...]
) -> None:
    done = tree.run(*arguments)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == SUMMARY
    assert {f"ok      {name}" for name in CHECKS} <= set(done.stdout.splitlines())
    assert set(CHECKS) <= set(tree.calls())


@pytest.mark.parametrize("arguments", [(), ("--fast",), ("-k", "frost")], ids=str)
@pytest.mark.parametrize("name", [*CHECKS, "python*pytest*"])
def test_whatever_fails_the_rest_runs_and_the_whole_has_failed(
    tree: Tree, arguments: tuple[str, ...], name: str
) -> None:
    done = tree.run(*arguments, fails=name.replace(" ", "?"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == SUMMARY
    assert set(CHECKS) <= set(tree.calls())
    if name in CHECKS:
        assert f"FAILED  {name}\n{name.split(maxsplit=1)[0]} says what it found" in done.stdout


def test_only_the_whole_needs_broker_and_database(tree: Tree) -> None:
    tree.run()
    assert "python -m ops.stack" in tree.calls()
    tree.run("--fast")
    assert "python -m ops.stack" not in tree.calls()
    tree.run(fails="python?-m?ops.stack")
    assert tree.pytest_call()


def test_arguments_go_to_pytest_and_nothing_beside_them(tree: Tree) -> None:
    tree.run("-k", "frost and not slow", "tests/protocols")
    assert tree.pytest_call() == "python -m pytest -k frost and not slow tests/protocols"
    tree.run("--fast", "-k", "frost")
    assert tree.pytest_call().endswith(" -k frost")
    assert "not system" in tree.pytest_call()


def test_a_tier_is_run_on_all_cores_and_held_to_its_floors(tree: Tree) -> None:
    cores = os.sysconf("SC_NPROCESSORS_ONLN")
    for arguments, processes in (([], cores + 1), (["--fast"], cores)):
        tree.run(*arguments)
        assert f"--numprocesses={processes} " in tree.pytest_call()
        assert "--cov" in tree.pytest_call()
        assert "-p tests.floors" in tree.pytest_call()


def test_a_commit_is_checked_by_what_this_checks() -> None:
    (local,) = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    hooked = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert hooked == CHECKS
    assert re.findall(r"^check (.*)$", (ROOT / "ops" / "test").read_text(), re.M) == CHECKS
