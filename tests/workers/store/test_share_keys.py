"""The halves of keys that can be erased, in their folder."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from workers.store.interface import WitnessError
from workers.store.sealing import ErasedError, SealError
from workers.store.share_keys import KEPT_S, SETTLED_S, ShareKeys

ONE, TWO = b"\x01" * 32, b"\x01" * 31 + b"\x02"


@pytest.fixture
def kept(tmp_path: Path) -> ShareKeys:
    made = ShareKeys(tmp_path / "share-keys", "party-1")
    made.begin()
    return made


def files(kept: ShareKeys) -> list[Path]:
    return sorted(path for path in kept.folder.rglob("*-*") if path.is_file())


def test_each_share_has_a_key_of_its_own_which_stays(kept: ShareKeys) -> None:
    places = [(ONE, 0), (ONE, 1), (ONE, 10), (TWO, 0), (TWO, 2**32 - 1)]
    made = [kept.make(*place) for place in places]
    assert len({*made}) == len(places)
    assert {len(key) for key in made} == {32}
    for place, key in zip(places, made, strict=True):
        assert kept.make(*place) == ShareKeys(kept.folder, "party-1").find(*place) == key
        assert not kept.erased(*place)
    assert len(files(kept)) == len(places)


def test_they_are_for_this_user_alone(kept: ShareKeys) -> None:
    kept.make(ONE, 0)
    folders = [kept.folder, *(path for path in kept.folder.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(kept)} == {0o600}


def test_those_who_make_one_at_once_get_the_same(kept: ShareKeys) -> None:
    start, made = threading.Barrier(8), []

    def make() -> None:
        start.wait()
        made.append(ShareKeys(kept.folder, "party-1").make(ONE, 0))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len({*made}) == len(files(kept)) == 1


def test_what_is_erased_is_in_no_file_and_is_not_made_again(kept: ShareKeys) -> None:
    erased = [kept.make(ONE, epoch) for epoch in (0, 2, 9)]
    stays = [kept.make(ONE, 10), kept.make(ONE, 11), kept.make(TWO, 0)]
    for _ in range(2):
        kept.erase_below(ONE, 10)
    everything = b"".join(path.read_bytes() for path in files(kept))
    assert len(files(kept)) == 6
    for key in erased:
        assert key not in everything
    for epoch in (0, 2, 9):
        assert kept.erased(ONE, epoch)
        for use in (kept.find, kept.make):
            with pytest.raises(ErasedError, match=f"epoch {epoch} .* is over"):
                use(ONE, epoch)
    assert [kept.find(ONE, 10), kept.find(ONE, 11), kept.find(TWO, 0)] == stays
    # Of one that was never here nothing is known.
    assert not kept.erased(ONE, 1)


def test_who_misses_one_is_told_what_to_do(kept: ShareKeys) -> None:
    with pytest.raises(SealError, match=r"put back the folder .*share_keys_folder") as caught:
        kept.find(ONE, 0)
    assert not isinstance(caught.value, ErasedError)
    kept.make(ONE, 0)
    (file,) = files(kept)
    for damaged in (bytes(31), b""):  # a full disk cuts files off
        file.write_bytes(damaged)
        with pytest.raises(SealError, match="is damaged"):
            kept.find(ONE, 0)
        assert not kept.erased(ONE, 0)


def test_a_half_written_one_is_nobodys(kept: ShareKeys) -> None:
    """Whoever was killed in the middle leaves a file of another name."""
    kept.make(TWO, 0)
    (file,) = files(kept)
    file.with_name(f".{ONE.hex()}-0.abc").write_bytes(b"half")
    kept.erase_below(ONE, 5)
    assert len(kept.make(ONE, 0)) == 32


def test_where_they_cannot_be_kept_somebody_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "missing" / "folder"):
        with pytest.raises(WitnessError, match=r"share_keys_folder under \[party\]"):
            ShareKeys(folder, "party-1").begin()


def test_a_volume_that_is_not_mounted_is_taken_for_no_folder_of_ours(kept: ShareKeys) -> None:
    """What was made there would be gone when it is mounted again."""
    kept.make(ONE, 0)
    kept.folder.rename(kept.folder.with_name("elsewhere"))
    for missing in (True, False):
        if not missing:
            kept.folder.mkdir()
        with pytest.raises(WitnessError, match="is its volume mounted"):
            kept.make(TWO, 0)
    assert list(kept.folder.iterdir()) == []


def test_each_party_has_a_folder_of_its_own(kept: ShareKeys) -> None:
    """Or the first to delete would delete for the other."""
    other = ShareKeys(kept.folder, "party-2")
    for use in (other.begin, lambda: other.make(ONE, 0)):
        with pytest.raises(WitnessError, match="is another party's"):
            use()
    kept.begin()
    assert files(kept) == []


def test_a_file_system_that_is_away_is_not_taken_for_a_missing_key(
    kept: ShareKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.make(ONE, 0)

    def away(_: Path) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "read_bytes", away)
    for use in (lambda: kept.find(ONE, 0), lambda: kept.erased(ONE, 0)):
        with pytest.raises(WitnessError, match=r"cannot read .*Stale file handle"):
            use()


###
### What is kept in memory
###


class Reads:
    """How many files were read, and a clock that is turned by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.now = 0, 100.0
        self.keys = ShareKeys(folder, "party-1", clock=lambda: self.now)
        read = Path.read_bytes

        def counted(path: Path) -> bytes:
            self.count += 1
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", counted)


@pytest.fixture
def reads(kept: ShareKeys, monkeypatch: pytest.MonkeyPatch) -> Reads:
    kept.make(ONE, 0)
    settle(kept)
    return Reads(kept.folder, monkeypatch)


def settle(kept: ShareKeys) -> None:
    """As if what is there had been written a while ago."""
    for file in files(kept):
        at = time.time() - 2 * SETTLED_S
        os.utime(file, (at, at))


def test_what_was_read_is_not_read_again_for_a_while(reads: Reads) -> None:
    half = reads.keys.find(ONE, 0)
    for _ in range(5):
        assert reads.keys.find(ONE, 0) == half
        assert not reads.keys.erased(ONE, 0)
    assert reads.count == 1
    reads.now += KEPT_S + 0.1
    assert reads.keys.find(ONE, 0) == half
    assert reads.count == 2


def test_what_another_process_erased_is_not_served(kept: ShareKeys, reads: Reads) -> None:
    half = reads.keys.find(ONE, 0)
    kept.erase_below(ONE, 1)
    assert reads.keys.erased(ONE, 0)
    with pytest.raises(ErasedError):
        reads.keys.find(ONE, 0)
    assert half not in held(reads.keys)


def test_nor_if_the_file_system_tells_it_late(
    kept: ShareKeys, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads.keys.find(ONE, 0)
    (file,) = files(kept)
    before = file.stat()
    kept.erase_below(ONE, 1)
    monkeypatch.setattr(os, "stat", lambda *_, **__: before)
    reads.now += KEPT_S + 0.1
    assert reads.keys.erased(ONE, 0)


def test_a_file_that_was_just_written_is_read_each_time(kept: ShareKeys, reads: Reads) -> None:
    """It may be written again within the same tick of the clock."""
    kept.make(TWO, 0)
    before = reads.count
    for _ in range(3):
        reads.keys.find(TWO, 0)
    assert reads.count == before + 3


def test_none_stays_in_memory_for_long(reads: Reads) -> None:
    half = reads.keys.find(ONE, 0)
    reads.keys.let_go()
    assert held(reads.keys) == [half]
    reads.now += KEPT_S + 0.1
    reads.keys.let_go()
    assert held(reads.keys) == []


@pytest.mark.parametrize("how", ["erase", "discard"])
def test_who_takes_one_away_keeps_none(reads: Reads, how: str) -> None:
    reads.keys.find(ONE, 0)
    if how == "erase":
        reads.keys.erase_below(ONE, 1)
    else:
        reads.keys.discard(ONE, 0)
    assert held(reads.keys) == []


def held(keys: ShareKeys) -> list[bytes]:
    return [look.content for look in keys._looks.values()]


###
### Of epochs that were never made
###


def test_what_is_discarded_was_overwritten_and_may_be_made_again(kept: ShareKeys) -> None:
    half = kept.make(ONE, 0)
    stays = kept.make(ONE, 1)
    (file,) = [path for path in files(kept) if path.name.endswith("-0")]
    with file.open("rb") as watched:
        for _ in range(2):
            kept.discard(ONE, 0)
        assert half not in watched.read()
    assert not file.exists()
    assert not kept.erased(ONE, 0)
    assert kept.find(ONE, 1) == stays
    assert kept.make(ONE, 0) != half


def test_what_is_erased_is_not_discarded(kept: ShareKeys) -> None:
    kept.make(ONE, 0)
    kept.erase_below(ONE, 1)
    kept.discard(ONE, 0)
    assert kept.erased(ONE, 0)
