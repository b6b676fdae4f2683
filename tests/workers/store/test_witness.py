"""The file that remembers a database outside of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.store.witness import Sighting, Witness, look

ONE, TWO = Sighting(b"1" * 16, 5), Sighting(b"2" * 16, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def witness(path: Path) -> Iterator[Witness]:
    made = Witness(path).open()
    try:
        yield made
    finally:
        made.close()


def test_a_new_witness_knows_nothing(witness: Witness, path: Path) -> None:
    assert witness.read() is None
    assert look(path) is None
    assert look(path.with_name("none")) is None


def test_a_witness_knows_what_was_written_last(witness: Witness, path: Path) -> None:
    for sighting in [ONE, TWO, Sighting(b"2" * 16, 10**18)]:
        witness.write(sighting)
        assert witness.read() == look(path) == sighting


def test_a_witness_only_gets_further(witness: Witness) -> None:
    witness.write(ONE)
    for progress, known in [(6, 6), (4, 6), (6, 6), (100, 100), (99, 100)]:
        witness.reach(Sighting(ONE.incarnation, progress))
        assert witness.read() == Sighting(ONE.incarnation, known)


def test_what_is_reached_in_another_incarnation_does_not_count(witness: Witness) -> None:
    witness.reach(ONE)
    assert witness.read() is None
    witness.write(TWO)
    witness.reach(ONE)
    assert witness.read() == TWO


def test_all_processes_see_one_file(witness: Witness, path: Path) -> None:
    other = Witness(path).open()
    try:
        witness.write(ONE)
        other.reach(Sighting(ONE.incarnation, 6))
        assert witness.read() == Sighting(ONE.incarnation, 6)
    finally:
        other.close()


def test_only_one_at_a_time_holds_it(witness: Witness, path: Path) -> None:
    other = Witness(path)
    assert witness.try_hold()
    assert not other.try_hold()
    witness.release()
    assert other.try_hold()
    other.close()
    with witness.held():
        assert not other.try_hold()
    other.close()


def test_a_file_that_was_replaced_while_it_was_locked_is_not_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes hold two files, and both begin an incarnation."""
    witness, lock = Witness(path), fcntl.flock

    def lock_too_late(file: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        path.touch()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)
    assert not witness.try_hold()
    assert witness.try_hold()
    witness.close()


def test_a_file_that_is_gone_once_it_was_locked_is_not_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness, lock = Witness(path), fcntl.flock

    def lock_too_late(file: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)
    assert not witness.try_hold()
    witness.close()
