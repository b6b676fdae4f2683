"""Which epochs are over, outside of the database."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from workers.store import tombstones as subject
from workers.store.interface import WitnessError
from workers.store.tombstones import Tombstones

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def test_it_only_rises_for_each_key_by_itself(tmp_path: Path) -> None:
    kept = Tombstones(tmp_path / "epochs")
    assert kept.below(ONE) == 0
    for below, known in ((3, 3), (7, 7), (5, 7)):
        kept.rise(ONE, below)
        assert kept.below(ONE) == Tombstones(kept.path).below(ONE) == known
    assert kept.below(TWO) == 0
    kept.rise(TWO, 2**32 - 1)
    assert (kept.below(ONE), kept.below(TWO)) == (7, 2**32 - 1)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600


def test_what_another_process_writes_is_seen_at_once(tmp_path: Path) -> None:
    ours, theirs = Tombstones(tmp_path / "epochs"), Tombstones(tmp_path / "epochs")
    assert ours.below(ONE) == 0
    for below in range(1, 20):
        theirs.rise(ONE, below)
        assert ours.below(ONE) == below


def test_another_file_in_its_place_is_seen_at_once(tmp_path: Path) -> None:
    kept, other = Tombstones(tmp_path / "epochs"), Tombstones(tmp_path / "other")
    kept.rise(ONE, 3)
    other.rise(ONE, 4)
    assert kept.below(ONE) == 3
    other.path.replace(kept.path)
    assert kept.below(ONE) == 4
    kept.path.unlink()
    assert kept.below(ONE) == 0


def test_a_look_that_was_answered_once_does_not_open_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked with every signature."""
    kept = Tombstones(tmp_path / "epochs")
    kept.rise(ONE, 3)
    kept.below(ONE)
    monkeypatch.setattr(sqlite3, "connect", None)
    assert kept.below(ONE) == 3


def test_where_it_cannot_be_kept_somebody_is_told(tmp_path: Path) -> None:
    kept = Tombstones(tmp_path / "missing" / "epochs")
    assert kept.below(ONE) == 0
    with pytest.raises(WitnessError, match="which epochs of keys are over"):
        kept.rise(ONE, 1)
    (tmp_path / "file").touch()
    with pytest.raises(WitnessError, match="incarnation_file under"):
        Tombstones(tmp_path / "file" / "epochs").below(ONE)


def test_a_file_that_somebody_else_keeps_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "BUSY_TIMEOUT_S", 0.05)
    kept = Tombstones(tmp_path / "epochs")
    kept.rise(ONE, 1)
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WitnessError, match="locked"):
            kept.rise(ONE, 2)
    kept.rise(ONE, 2)
    assert kept.below(ONE) == 2


def test_a_damaged_file_lets_nothing_pass(tmp_path: Path) -> None:
    """Unlike a witness: without one, old shares are taken for new."""
    kept = Tombstones(tmp_path / "epochs")
    kept.path.write_bytes(b"junk" * 1000)
    for use in (lambda: kept.below(ONE), lambda: kept.rise(ONE, 1)):
        with pytest.raises(WitnessError, match="is damaged"):
            use()
