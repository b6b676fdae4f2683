from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.topology.trees import FLOW, MEMBERS, spoiled, tree
from topology.cli import app

RUN = CliRunner()
NOWHERE = {"WARREN_MANAGEMENT_URL": "http://ops:s3cret@127.0.0.1:1"}


def test_check_counts_what_comes_with_the_package() -> None:
    result = RUN.invoke(app, ["check"])
    assert result.exit_code == 0
    assert "10 exchanges, 16 queues" in result.output


def test_check_names_every_problem_and_exits_with_1(tmp_path: Path) -> None:
    flow = spoiled("type: topic", "type: topc").replace("delivery-limit: 10\n", "limit: 10\n")
    where = tree(tmp_path, {"flow.yaml": flow, "members.yaml": MEMBERS})
    result = RUN.invoke(app, ["check", "--directory", str(where)])
    assert result.exit_code == 1
    assert "flow.yaml:3: exchange" in result.stderr
    assert "flow.yaml:27: policy" in result.stderr
    assert result.stdout == ""


def test_check_as_json_gives_file_and_line(tmp_path: Path) -> None:
    flow = spoiled("type: topic", "type: topc")
    where = tree(tmp_path, {"flow.yaml": flow, "members.yaml": MEMBERS})
    result = RUN.invoke(app, ["check", "--directory", str(where), "--json"])
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["line"] == 3
    assert Path(problem["file"]).name == "flow.yaml"


def test_check_takes_another_members_file(tmp_path: Path) -> None:
    where = tree(tmp_path, {"flow.yaml": FLOW, "members.yaml": MEMBERS, "m.txt": "parties: [x]\n"})
    arguments = ["check", "--directory", str(where), "--members", str(where / "m.txt"), "--json"]
    assert json.loads(RUN.invoke(app, arguments).stdout)["queues"] == 3


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_broker_that_is_away_is_exit_1_and_no_password(command: str, as_json: list[str]) -> None:
    result = RUN.invoke(app, [command, *as_json], env=NOWHERE)
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in result.output
    assert "s3cret" not in result.output


def test_wrong_files_are_told_before_the_broker_is_asked(tmp_path: Path) -> None:
    where = tree(tmp_path, {"flow.yaml": "queues: 1\n", "members.yaml": MEMBERS})
    result = RUN.invoke(app, ["plan", "--directory", str(where)], env=NOWHERE)
    assert result.exit_code == 1
    assert "flow.yaml:1: queues: has to be a mapping, but 1 is a number" in result.output


@pytest.mark.parametrize("arguments", [["plan", "--pruen"], ["plam"], ["plan", "--members", "/no"]])
def test_a_mistyped_command_never_exits_like_a_plan_with_changes(arguments: list[str]) -> None:
    assert RUN.invoke(app, arguments).exit_code == 1


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_help_names_the_environment_and_asks_for_no_password(command: str) -> None:
    said = RUN.invoke(app, [command, "--help"], env={**NOWHERE, "COLUMNS": "200"}).output
    assert "WARREN_MANAGEMENT_URL" in said
    assert "--password" not in said
    assert "s3cret" not in said
