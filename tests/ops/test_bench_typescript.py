"""What is made of the two clients' measurements."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench import typescript
from ops.bench.typescript import Measured
from ops.stack.errors import StackError

FOUND = Measured(
    python=(100.0, 90.0, 110.0), typescript=(95.0, 85.0, 99.0), heap=(10_000_000, 10_500_000)
)


def test_the_ratio_is_that_of_the_medians() -> None:
    assert FOUND.ratio == pytest.approx(0.95)
    assert FOUND.growth == pytest.approx(1.05)
    assert Measured(python=(1.0,), typescript=(1.0,), heap=()).growth is None


def test_it_is_told_to_people_and_programs() -> None:
    told = json.loads(typescript.as_json(FOUND))
    assert (told["version"], told["ratio"]) == (1, pytest.approx(0.95))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(typescript.as_table(FOUND))
    text = console.export_text()
    assert "x0.95 of Python" in text
    assert "x1.05" in text


def test_what_it_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure() -> Measured:
        return typescript.measure(
            count=1, concurrency=1, turns=1, directory=tmp_path, progress=lambda _: None
        )

    monkeypatch.setattr(typescript, "SCRIPT", tmp_path / "load.js")
    monkeypatch.setattr("shutil.which", lambda _: "/bin/node")
    with pytest.raises(StackError, match="npm run compile"):
        measure()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(StackError, match="node is not installed"):
        measure()
