"""`warren bench junk`: trees in turns, and what is sent to hurt."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import ops.bench.cli as bench
from contracts.coordinators import Coordinators
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity
from contracts.signing import signature_of
from ops.bench import beside, junk

QUIET = [0.010, 0.020]


class Trees:
    """Attributes: measured: Which, in order."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.code = 0

    def run(self, command: list[str], **how: Any) -> Any:
        self.measured.append(how["env"]["PYTHONPATH"])
        assert how["cwd"] == Path(how["env"]["PYTHONPATH"])
        assert command[-3:-1] == [junk.__file__, "640"]
        slow = [each * 5 for each in QUIET]
        said = json.dumps({"quiet": QUIET, "reports, noise": slow})
        return SimpleNamespace(returncode=self.code, stdout=said, stderr="Traceback\nno broker\n")


@pytest.fixture
def trees(monkeypatch: pytest.MonkeyPatch) -> Trees:
    found = Trees()
    monkeypatch.setattr(subprocess, "run", found.run)
    return found


def test_two_trees_are_measured_in_turns(trees: Trees, tmp_path: Path) -> None:
    arguments = ["junk", "-n", "640", "--beside", str(tmp_path), "--turns", "2"]
    ended = CliRunner().invoke(bench.app, [*arguments, "--json"])
    assert ended.exit_code == 0
    assert trees.measured == [str(tmp_path), str(beside.HERE)] * 2
    first, second = json.loads(ended.stdout)["trees"]
    assert (first["tree"], second["tree"]) == (str(tmp_path), str(beside.HERE))
    assert first["latency_ms"]["quiet"]["p50"] == 10
    assert first["latency_ms"]["reports, noise"]["max"] == 100

    page = CliRunner().invoke(bench.app, arguments).stdout
    (row,) = (line for line in page.splitlines() if "reports, noise" in line)
    assert row.split()[-1].strip("│") == "5.0" or "5.0" in row


def test_a_tree_that_cannot_be_measured_is_named_with_its_last_word(
    trees: Trees, tmp_path: Path
) -> None:
    trees.code = 1
    ended = CliRunner().invoke(bench.app, ["junk", "-n", "640", "--beside", str(tmp_path)])
    assert ended.exit_code != 0
    assert f"{tmp_path} could not be measured: no broker" in ended.stderr.replace("\n", "")


def test_nothing_of_it_is_ever_believed() -> None:
    """A measure of good messages would flatter."""
    coordinator = Coordinators.of(Identity.generate().public)
    for _, make in junk.ATTACKS.values():
        body, headers, _ = make()
        with pytest.raises(UnauthenticatedError):
            coordinator.check_result(body, headers, now=0)
        with pytest.raises(ContractError):
            UnverifiedEnvelope.from_bytes(body).verify(Identity.generate().public)
    for name in ("results, forged", "requests, forged"):
        _, headers, _ = junk.ATTACKS[name][1]()
        assert signature_of(headers)  # it has the form of one, and costs a verification
