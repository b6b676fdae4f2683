"""The papers that point to other files: the index of decisions, and the architecture."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "ops" / "decisions"
ROW = re.compile(r"^\| (\d{4}) \| \[(.+)\]\((.+\.md)\) \| \d{4}-\d\d-\d\d \| .+ \|$", re.MULTILINE)


def test_the_index_lists_every_decision_by_its_own_title() -> None:
    rows = ROW.findall((DECISIONS / "README.md").read_text())
    files = sorted(DECISIONS.glob("[0-9]*.md"))
    assert [name for _, _, name in rows] == [file.name for file in files]
    for (number, title, _), file in zip(rows, files, strict=True):
        assert file.name.startswith(number)
        assert file.read_text().startswith(f"# {int(number)}. {title}\n")


def test_every_file_that_the_architecture_names_whole_is_there() -> None:
    named = re.findall(
        r"`((?:contracts|topology|workers|gateway|migrations|ops|tests)/[a-z_/0-9.]*)`",
        (ROOT / "ARCHITECTURE.md").read_text(),
    )
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []
