from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.topology.trees import FLOW, MEMBERS, spoiled, tree
from topology.cli import app
from topology.model import PasswordHash
from topology.passwords import fits

RUN = CliRunner()
NOWHERE = {"WARREN_MANAGEMENT_URL": "http://ops:s3cret@127.0.0.1:1"}


def test_check_counts_what_comes_with_the_package() -> None:
    result = RUN.invoke(app, ["check"])
    assert result.exit_code == 0
    assert "11 exchanges, 17 queues" in result.output


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


def test_an_overlay_is_laid_over_the_files_by_every_command_that_reads_them(tmp_path: Path) -> None:
    more = "queues:\n  more:\n    bindings:\n      - {exchange: work, key: more}\n"
    more += "policies:\n  work:\n    queues: [jobs, 'box.{id}', more]\n"
    where = tree(tmp_path, {"flow.yaml": FLOW, "members.yaml": MEMBERS})
    overlay = tmp_path / "more.txt"
    overlay.write_text(more, encoding="utf-8")
    given = ["--directory", str(where), "--overlay", str(overlay)]
    checked = RUN.invoke(app, ["check", *given, "--json"])
    assert json.loads(checked.stdout)["queues"] == 5, checked.output
    assert RUN.invoke(app, ["who", "more", *given]).exit_code == 0
    assert RUN.invoke(app, ["who", "more", *given[:2]]).exit_code == 1
    drawn, told = tmp_path / "drawn.svg", tmp_path / "told.json"
    assert RUN.invoke(app, ["graph", "--to", str(drawn), *given]).exit_code == 0
    assert ">more<" in drawn.read_text()
    secrets = ["--secrets", str(tmp_path / "given")]
    assert RUN.invoke(app, ["definitions", "--to", str(told), *given, *secrets]).exit_code == 0
    assert "more" in {queue["name"] for queue in json.loads(told.read_text())["queues"]}


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


def members(folder: Path) -> str:
    path = folder / "members.txt"
    path.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")
    return str(path)


def test_who_answers_about_a_queue_from_the_files_alone(tmp_path: Path) -> None:
    given = ["who", "warren.results.svcA", "--members", members(tmp_path)]
    result = RUN.invoke(app, given, env=NOWHERE)
    assert (result.exit_code, result.stdout) == (
        0,
        "warren.client.svcA: consume, get, purge warren.results.svcA\n"
        "warren.operator: publish through the default exchange to warren.results.svcA\n",
    )
    answer, _ = json.loads(RUN.invoke(app, [*given, "--json"]).stdout)["answers"]
    assert answer == {
        "user": "warren.client.svcA",
        "does": "consume, get, purge",
        "to": ["warren.results.svcA"],
        "keys": None,
    }


def test_who_says_that_nobody_may_and_that_nobody_knows_a_name(tmp_path: Path) -> None:
    where = tree(tmp_path, {"flow.yaml": FLOW, "members.yaml": MEMBERS})
    result = RUN.invoke(app, ["who", "jobs", "--directory", str(where)])
    assert (result.exit_code, result.stdout) == (
        0,
        "jobs: nobody but the broker's administrators\n",
    )
    result = RUN.invoke(app, ["who", "job", "--directory", str(where)])
    assert result.exit_code == 1
    assert 'did you mean "jobs"?' in result.stderr


def test_definitions_are_a_file_for_its_owner_with_hashes_alone(tmp_path: Path) -> None:
    to, secrets = tmp_path / "definitions.json", tmp_path / "secrets"
    arguments = ["definitions", "--to", str(to), "--secrets", str(secrets)]
    result = RUN.invoke(app, [*arguments, "--members", members(tmp_path)])
    assert result.exit_code == 0
    assert f"the passwords of 6 new users: one file for each in {secrets}" in result.stdout
    told = json.loads(to.read_text())
    password = (secrets / "warren.client.svcA").read_text().strip()
    (kept,) = [one for one in told["users"] if one["name"] == "warren.client.svcA"]
    assert fits(password, PasswordHash(kept["hashing_algorithm"], kept["password_hash"]))
    assert password not in to.read_text()
    result = RUN.invoke(app, [*arguments, "--to", str(tmp_path / "no" / "where")])
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_graph_is_drawn_or_why_not_is_said(tmp_path: Path) -> None:
    to = tmp_path / "topology.svg"
    assert RUN.invoke(app, ["graph", "--to", str(to)]).exit_code == 0
    assert to.read_text().startswith("<svg")
    result = RUN.invoke(app, ["graph", "--to", str(tmp_path / "no" / "where.svg")])
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_password_that_is_kept_elsewhere_and_is_not_there_stops_plan_and_apply(
    tmp_path: Path,
) -> None:
    for file in files("topology").iterdir():
        if file.name.endswith(".yaml"):
            text = file.read_text()
            old = "  monitor:\n"
            (tmp_path / file.name).write_text(
                text.replace(old, f"{old}    password: {{environment: WARREN_MONITOR_PW}}\n")
            )
    for command in ("plan", "drift", "apply"):
        result = RUN.invoke(app, [command, "--directory", str(tmp_path)], env=NOWHERE)
        assert result.exit_code == 1
        assert "password of user warren.monitor is not to be had from the variable" in result.stderr
