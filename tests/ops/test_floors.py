"""How the tests' coverage is counted, and what is said of a folder below its floor."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tests import floors

ROOT = Path(__file__).parents[2]


def file(run: int, count: int, lines: tuple[int, ...] = (), branch: int | None = None) -> Any:
    """Of coverage.py's report, with one branch in two taken if there is any."""
    return {
        "summary": {
            "covered_lines": run,
            "num_statements": count,
            "covered_branches": 0 if branch is None else 1,
            "num_branches": 0 if branch is None else 2,
        },
        "missing_lines": list(lines),
        "missing_branches": [] if branch is None else [[branch, -1]],
    }


def test_a_file_counts_for_the_nearest_folder_that_has_a_floor() -> None:
    files = {"workers/a.py": file(1, 4), "workers/store/rows/b.py": file(4, 4)}
    folders = floors.measured(files, {"workers": 25, "workers/store": 100})
    assert [folder.percent for folder in folders.values()] == [25, 100]
    assert not any(folder.has_fallen for folder in folders.values())


def test_one_branch_that_was_not_taken_is_less_than_all() -> None:
    files = {"ops/a.py": file(100_000, 100_000, branch=7)}
    folder = floors.measured(files, {"ops": 100})["ops"]
    assert folder.percent == 99.9
    assert folder.has_fallen


def test_who_is_below_the_floor_is_told_and_of_a_promise_what_was_not_run() -> None:
    files = {
        "gateway/a.py": file(8, 10, (3, 9), branch=7),
        "gateway/b.py": file(5, 5),
        "ops/c.py": file(1, 2, (4,), branch=4),
    }
    lines = list(
        floors.told(
            floors.measured(files, {"gateway": 100, "ops": 80, "contracts": 0, "topology": 5})
        )
    )
    assert lines == [
        "gateway               82.3 %   floor 100.0 %",
        "ops                   50.0 %   floor  80.0 %",
        "topology               0.0 %   floor   5.0 %",
        "FAILED  gateway is below its floor.",
        "  not run: gateway/a.py: 3, 9, 7->-1",
        "FAILED  ops is below its floor.",
        "FAILED  topology is below its floor.",
    ]


def test_every_measured_folder_has_a_floor_and_exists() -> None:
    measured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    held = floors.floors(fast=False)
    assert set(measured["source"]) <= set(held)
    assert all((ROOT / name).is_dir() for name in held)
    assert all(held.values())
    promised = {name for name, floor in floors.floors(fast=True).items() if floor}
    assert promised == {name for name, floor in held.items() if floor == 100}
    assert promised >= {"workers/protocols", "workers/session"}
