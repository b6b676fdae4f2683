"""The attack on a SQLite party: copy the file, have it sign, put the copy back, have it sign."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from workers.store.interface import StoreUnavailableError
from workers.store.records import Outcome
from workers.store.sqlite import fence
from workers.store.witness import look

from .conftest import RawDatabase
from .examples import nonce, party_change, session_id
from .fencing import answer, assert_as_prepared, assert_emptied, opened, opens, prepare

ROLE = "party"


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "party-1.incarnation"


def copy_contents(copy: Path, path: Path) -> None:
    """As `cp` does: the file stays the same one."""
    with path.open("r+b") as file:
        file.write(copy.read_bytes())
        file.truncate()


def put_in_place(copy: Path, path: Path) -> None:
    path.unlink()
    shutil.move(shutil.copy(copy, copy.with_suffix(".moving")), path)


PUT_BACK = [copy_contents, put_in_place]


@pytest.mark.parametrize("put_back", PUT_BACK)
async def test_a_copy_from_before_the_answer_answers_nothing(
    url: str, raw: RawDatabase, witness: Path, put_back: Callable[[Path, Path], None]
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
    copy = raw.path.with_suffix(".copy")
    shutil.copy(raw.path, copy)
    async with opened(url, witness) as store:
        assert await answer(store, "digest") is Outcome.COMMITTED

    put_back(copy, raw.path)

    async with opened(url, witness) as store:
        assert await answer(store, "another digest") is None
        await assert_emptied(store)


async def test_one_answer_is_enough_for_the_witness(
    url: str, raw: RawDatabase, witness: Path
) -> None:
    """No look, no closing: copied, answered, killed, restored, all at once."""
    async with opened(url, witness) as store:
        await prepare(store)
    copy = raw.path.with_suffix(".copy")
    shutil.copy(raw.path, copy)
    store = opened(url, witness)
    await store.__aenter__()
    await answer(store, "digest")
    seen = look(witness)
    await store.__aexit__(None, None, None)
    assert look(witness) == seen
    copy_contents(copy, raw.path)
    async with opened(url, witness) as store:
        assert await answer(store, "another digest") is None


async def test_a_copy_from_after_the_last_answer_is_as_good_as_the_file(
    url: str, raw: RawDatabase, witness: Path
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        assert await answer(store, "digest") is Outcome.COMMITTED
    copy = raw.path.with_suffix(".copy")
    shutil.copy(raw.path, copy)
    copy_contents(copy, raw.path)
    async with opened(url, witness) as store:
        await assert_as_prepared(store)
        assert await answer(store, "another digest") is None


async def test_a_copy_in_another_place_answers_nothing(
    url: str, raw: RawDatabase, witness: Path, tmp_path: Path
) -> None:
    """The whole folder, with the witness."""
    async with opened(url, witness) as store:
        await prepare(store)
    other, other_witness = tmp_path / "other.db", tmp_path / "other.incarnation"
    shutil.copy(raw.path, other)
    shutil.copy(witness, other_witness)
    async with opened(f"sqlite:///{other}", other_witness) as twin:
        assert await answer(twin, "another digest") is None
    async with opened(url, witness) as store:
        assert await answer(store, "digest") is Outcome.COMMITTED


async def test_a_machine_that_was_started_anew_answers_nothing(
    url: str, witness: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole disk may be a snapshot's."""
    async with opened(url, witness) as store:
        await prepare(store)
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(fence, "BOOT_ID", boot)
    async with opened(url, witness) as store:
        await assert_emptied(store)
    boot.unlink()
    async with opened(url, witness) as store:
        await store.commit(party_change(nonces=(nonce("b"),)))
    async with opened(url, witness) as store:
        assert await opens(store), "systems without such a number go without"


@pytest.mark.parametrize("put_back", PUT_BACK)
async def test_a_copy_that_is_put_back_under_a_running_process_answers_nothing(
    url: str, raw: RawDatabase, witness: Path, put_back: Callable[[Path, Path], None]
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        with closing(sqlite3.connect(raw.path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = raw.path.with_suffix(".copy")
        shutil.copy(raw.path, copy)
        assert await answer(store, "digest") is Outcome.COMMITTED
        with closing(sqlite3.connect(raw.path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        put_back(copy, raw.path)
        if put_back is put_in_place:
            for file_of_old in raw.path.parent.glob(f"{raw.path.name}-*"):
                file_of_old.unlink()

        await store.attest()
        assert await answer(store, "another digest") is None
        assert await store.session(session_id("prepared")) is None


async def test_what_one_process_committed_is_known_before_another_tells_of_it(
    url: str, raw: RawDatabase, witness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is killed between its commit and the witness; the second sends what it stored."""
    async with opened(url, witness) as store:
        await prepare(store)
    copy = raw.path.with_suffix(".copy")
    shutil.copy(raw.path, copy)
    async with opened(url, witness) as one, opened(url, witness) as two:
        with monkeypatch.context() as killed:
            killed.setattr(fence.SqliteFence, "pass_out", lambda *_: None)
            assert await answer(one, "digest") is Outcome.COMMITTED
        assert len(await two.outgoing(session_id("digest"), "answer")) == 1
    copy_contents(copy, raw.path)
    async with opened(url, witness) as store:
        assert await answer(store, "another digest") is None


async def test_a_file_that_is_gone_is_unavailable_and_not_made_anew(
    url: str, raw: RawDatabase, witness: Path
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        away = raw.path.rename(raw.path.with_suffix(".away"))
        line = truncated(witness)
        # With the witness it looks at the file again, and without it, too.
        for work in [store.attest, store.bans]:
            with pytest.raises(StoreUnavailableError):
                await work()
            assert not raw.path.exists()
        away.rename(raw.path)
        await store.attest()
    assert look(witness) is not None
    assert witness_line(witness) != line


def truncated(witness: Path) -> bytes:
    """What was in it; the file stays the same one."""
    line = witness_line(witness)
    with witness.open("r+b") as file:
        file.truncate()
    return line


def witness_line(witness: Path) -> bytes:
    return witness.read_bytes()
