"""The README's tables of operations are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.operations import OPERATIONS
from ops.cli import readme
from ops.cli.exits import ExitCode
from ops.cli.main import app

pytestmark = pytest.mark.long


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "README.md"
    copy.write_text(readme.PATH.read_text())
    monkeypatch.setattr(readme, "PATH", copy)
    return copy


def test_what_is_generated_stands_in_the_tree_as_this_code_makes_it() -> None:
    wanted = readme.documents()
    assert {path.name for path in wanted} == {
        "README.md",
        "rights.svg",
        "topology.svg",
        "flow.json",
        "members.json",
    }
    stale = [path for path, text in wanted.items() if readme.stands(path) != text]
    assert stale == [], "run `warren docs`"


def test_a_drawing_that_is_missing_is_told_and_made(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "topology"
    folder.mkdir()
    rights = folder / "README.md"
    rights.write_text(readme.RIGHTS.read_text())
    monkeypatch.setattr(readme, "RIGHTS", rights)
    told = CliRunner().invoke(app, ["docs", "--check"])
    assert told.exit_code == ExitCode.FAILED
    assert f"stale: {folder / 'rights.svg'}" in told.output
    assert not (folder / "rights.svg").exists()
    assert CliRunner().invoke(app, ["docs"]).exit_code == 0
    assert (folder / "rights.svg").read_text().startswith("<svg")
    assert (folder / "schema" / "flow.json").exists()


def test_every_operation_has_its_line() -> None:
    tables = readme.tables()
    for name, row in OPERATIONS.items():
        assert f"mpc.mpc_{row.word}_result.svcA." in tables["results"]
        assert (f"| `{name}` | `mpc.{row.word}_request.svcA` |" in tables["many"]) == (
            row.for_many is not None
        )
    listed = [line.split(" | ")[0] for line in tables["results"].splitlines()[2:]]
    assert sorted(", ".join(listed).replace("| ", "").split(", ")) == sorted(OPERATIONS)


def test_a_stale_table_is_told_and_repaired_and_the_rest_is_left_alone(page: Path) -> None:
    right = page.read_text()
    page.write_text(right.replace("| keygen | `mpc.mpc_keygen_result.", "| keygen | `mpc.keys."))
    told = CliRunner().invoke(app, ["docs", "--check"])
    assert told.exit_code == ExitCode.FAILED
    assert f"stale: {page}" in told.output
    assert page.read_text() != right
    assert CliRunner().invoke(app, ["docs"]).exit_code == 0
    assert page.read_text() == right


@pytest.mark.parametrize(
    ("mark", "instead"),
    [
        ("<!-- table: many -->", ""),
        ("<!-- table: many -->", "<!-- table: results -->"),
        ("<!-- table: many -->", "<!-- table: few -->"),
    ],
)
def test_a_page_without_a_tables_place_is_refused(page: Path, mark: str, instead: str) -> None:
    text = page.read_text()
    assert mark in text
    page.write_text(text.replace(mark, instead))
    told = CliRunner().invoke(app, ["docs"])
    assert told.exit_code == ExitCode.FAILED
    assert "it must have each of results, many once" in told.output.replace("\n", "")
