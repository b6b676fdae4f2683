"""What was promised of keys, where no database tells any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.store.interface import WitnessError
from workers.store.promise_marks import PromiseMarks

KEY, OTHER = b"a key".ljust(32), b"another key".ljust(32)


@pytest.fixture
def marks(tmp_path: Path) -> PromiseMarks:
    made = PromiseMarks(tmp_path)
    made.begin(1_000)
    return made


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "promises").iterdir())


def test_the_last_promise_of_a_key_counts_whatever_the_order(
    marks: PromiseMarks, tmp_path: Path
) -> None:
    assert marks.until(KEY) == 0
    for until in (20, 40, 30):
        marks.mark(KEY, until)
    marks.mark(OTHER, 50)
    again = PromiseMarks(tmp_path)
    assert (again.until(KEY), again.until(OTHER)) == (40, 50)


def test_what_is_over_is_forgotten_and_nothing_else(marks: PromiseMarks, tmp_path: Path) -> None:
    marks.mark(KEY, 20)
    marks.mark(KEY, 40)
    marks.mark(OTHER, 50)
    assert len(files(tmp_path)) == 3, "one of each key, and since when"
    marks.forget(50)
    assert (marks.until(KEY), marks.until(OTHER)) == (0, 50)
    marks.forget(51)
    assert files(tmp_path) == ["since-1000"]


def test_they_are_complete_since_they_were_begun_first(marks: PromiseMarks, tmp_path: Path) -> None:
    PromiseMarks(tmp_path).begin(2_000)
    assert marks.complete(1_000)
    assert not marks.complete(999)
    (tmp_path / "promises" / "since-1500").touch()  # of another process, in the same moment
    assert marks.complete(1_000)


def test_where_there_are_none_nothing_is_complete(tmp_path: Path) -> None:
    marks = PromiseMarks(tmp_path)
    assert not marks.complete(2**62)
    assert marks.until(KEY) == 0


def test_without_its_folder_no_promise_is_given(tmp_path: Path) -> None:
    marks = PromiseMarks(tmp_path / "no volume")
    with pytest.raises(WitnessError, match="share_keys_folder under"):
        marks.begin(1)
    with pytest.raises(WitnessError, match="share_keys_folder under"):
        marks.mark(KEY, 1)


def test_what_else_lies_there_is_passed_over(marks: PromiseMarks, tmp_path: Path) -> None:
    for name in ("since-soon", f"{KEY.hex()}-later", f"{KEY.hex()}-", "notes"):
        (tmp_path / "promises" / name).touch()
    assert marks.complete(1_000)
    assert marks.until(KEY) == 0
    marks.forget(2**62)
    assert "notes" in files(tmp_path)
