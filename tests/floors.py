"""A plugin beside pytest-cov: how much of each folder the tests ran, and whether that has fallen.

`ops/test` loads it when it runs a whole tier. The floors stand in ops/coverage.toml; a folder that
has one of its own is not counted to the folder around it. The fast tier is held to the floors of
100 only.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

FLOORS = Path(__file__).parents[1] / "ops" / "coverage.toml"

_LINES = pytest.StashKey[list[str]]()


@dataclass
class Folder:
    """
    Attributes:
        floor: Percent of lines and branches together.
        places: What was not run, file by file.
    """

    floor: float
    run: int = 0
    all: int = 0
    places: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Rounded down, so that 100 means all. Of what was not measured, nothing was run."""
        return self.run * 1000 // self.all / 10 if self.all else 0.0

    @property
    def has_fallen(self) -> bool:
        return self.percent < self.floor

    def count(self, name: str, file: Mapping[str, Any]) -> None:
        summary = file["summary"]
        self.run += summary["covered_lines"] + summary["covered_branches"]
        self.all += summary["num_statements"] + summary["num_branches"]
        lines = file["missing_lines"]
        missed = [str(line) for line in lines]
        missed += [f"{a}->{b}" for a, b in file["missing_branches"] if a not in lines]
        if missed:
            self.places.append(f"{name}: {', '.join(missed)}")


def floors(*, fast: bool) -> dict[str, float]:
    """By folder. None, so to say, is 0."""
    held: dict[str, float] = tomllib.loads(FLOORS.read_text())["floors"]
    return {name: 0 if fast and floor < 100 else floor for name, floor in held.items()}


def measured(
    files: Mapping[str, Mapping[str, Any]], held: Mapping[str, float]
) -> dict[str, Folder]:
    """Every folder that is held to a floor or was measured, with the files of coverage.py's JSON
    report."""
    folders = {name: Folder(floor) for name, floor in held.items()}
    for name, file in files.items():
        around = [str(parent) for parent in Path(name).parents]
        folders[next(parent for parent in around if parent in folders)].count(name, file)
    return {name: folder for name, folder in folders.items() if folder.all or folder.floor}


def told(folders: Mapping[str, Folder]) -> Iterator[str]:
    for name, folder in folders.items():
        held = f"   floor {folder.floor:5.1f} %" if folder.floor else ""
        yield f"{name:20} {folder.percent:5.1f} %{held}"
    for name, folder in folders.items():
        if folder.has_fallen:
            yield f"FAILED  {name} is below its floor."
            if folder.floor == 100:
                yield from (f"  not run: {place}" for place in folder.places)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Outside of pytest-cov's own, which has the data of all processes together by then."""
    done = yield
    if not hasattr(session.config, "workerinput"):
        folders = measured(_report(), floors(fast=bool(session.config.option.markexpr)))
        session.config.stash[_LINES] = list(told(folders))
        session.testsfailed += any(folder.has_fallen for folder in folders.values())
    return done


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := terminalreporter.config.stash.get(_LINES, None):
        terminalreporter.section("coverage by folder")
        for line in lines:
            terminalreporter.write_line(line)


def _report() -> Mapping[str, Mapping[str, Any]]:
    data = coverage.Coverage()
    data.load()
    with tempfile.NamedTemporaryFile() as file:
        data.json_report(outfile=file.name)
        files: Mapping[str, Mapping[str, Any]] = json.loads(Path(file.name).read_text())["files"]
    return files
