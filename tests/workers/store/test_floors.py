"""How far a list had come, outside of the database."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from workers.store.floors import Floor, Reached
from workers.store.interface import WitnessError

TWO, THREE = Reached(2, b"\x02" * 32), Reached(3, b"\x03" * 32)


def test_it_only_rises(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor")
    assert floor.read() is None
    for reached, known in ((TWO, TWO), (THREE, THREE), (TWO, THREE)):
        floor.reach(reached)
        assert Floor(floor.path).read() == known
    assert stat.S_IMODE(floor.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"warren-list-1 \n", b"\0" * 99, b"x" * 1000])
def test_a_damaged_file_knows_nothing_and_is_written_anew(tmp_path: Path, damage: bytes) -> None:
    floor = Floor(tmp_path / "floor")
    floor.path.write_bytes(damage)
    assert floor.read() is None
    floor.reach(TWO)
    assert floor.read() == TWO


def test_where_it_cannot_be_kept_somebody_is_told(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "missing" / "floor")
    assert floor.read() is None
    with pytest.raises(WitnessError, match="how far a list had come"):
        floor.reach(TWO)
    with pytest.raises(WitnessError, match="how far a list had come"):
        Floor(tmp_path).read()
