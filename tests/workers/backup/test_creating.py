"""`warren backup create` and `verify`: what is in a backup, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import PartySettings
from workers.store.interface import StoreUnavailableError
from workers.store.postgres.party import PostgresPartyStore
from workers.store.records import KeyShareRecord
from workers.store.sqlite.party import SqlitePartyStore

from .commands import (
    CONFIGURATION,
    HOUR,
    ONE,
    REFUSED,
    TWO,
    backed_up_at,
    backup,
    configure,
    empty,
    is_backed_up,
    keep,
    kept,
)
from .shares import as_dict, certified

pytestmark = pytest.mark.long


async def test_a_backup_says_what_is_in_it(config: Path, file: Path, clock: list[int]) -> None:
    clock[0] += 3 * HOUR
    ended = await backup("verify", config, str(file))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (f"All 2 key shares in {file} open and are certified. It is 3 hours old.\n")
    assert (await backup("verify", config, str(file), "--json")).json == {
        "file": str(file),
        "party": "party-1",
        "created_at": "2023-11-14T22:13:20+00:00",
        "age_seconds": 3 * 3600,
        "shares": 2,
        "keys": [
            {
                "client": share.owner or None,
                "key": share.key_id,
                "epoch": 0,
                "usable": True,
                "session": share.key_session.hex(),
            }
            for share in sorted((ONE, TWO), key=lambda share: share.owner)
        ],
    }


async def test_a_backup_is_remembered_by_whoever_made_it(
    config: Path, file: Path, tmp_path: Path, clock: list[int]
) -> None:
    """When its shares are deleted, it is told of: until it is destroyed, it is as good as they."""
    clock[0] += HOUR
    assert (await backup("create", config, "--out", str(tmp_path / "second"))).code == 0
    assert await backed_up_at(config, ONE.key_session) == clock[0]
    assert await backed_up_at(config, bytes(32)) is None


async def test_what_waits_for_a_backup_waits_for_one_that_was_written(
    config: Path, tmp_path: Path, clock: list[int]
) -> None:
    await keep(config, certified())
    lost = await backup("create", config, "--out", str(tmp_path / "no" / "folder"))
    assert lost.code == REFUSED
    assert await backed_up_at(config, certified().key_session) is not None, "it may be somewhere"
    assert not await is_backed_up(config, certified().key_session)
    assert (await backup("create", config, "--out", str(tmp_path / "backup"))).code == 0
    assert await is_backed_up(config, certified().key_session)


async def test_a_backup_is_made_where_it_cannot_be_noted(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(config, certified())

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the database is away")

    for each in (SqlitePartyStore, PostgresPartyStore):
        monkeypatch.setattr(each, "backup_kept", away)
    assert (await backup("create", config, "--out", str(tmp_path / "backup"))).code == 0
    assert (await backup("verify", config, str(tmp_path / "backup"))).code == 0


async def test_a_backup_is_never_overwritten(config: Path, file: Path) -> None:
    ended = await backup("create", config, "--out", str(file))
    assert (ended.code, ended.err) == (
        REFUSED,
        f"{file} exists: a backup is never overwritten\n",
    )


async def test_shares_that_are_not_in_order_are_not_backed_up(config: Path, tmp_path: Path) -> None:
    other = {"party-1": ONE.certificates["party-1"]}
    await keep(config, certified(2), KeyShareRecord(**as_dict(TWO) | {"certificates": other}))
    ended = await backup("create", config, "--out", str(tmp_path / "backup"), "--json")
    assert ended.code == REFUSED
    assert ended.json["error"]["kind"] == "refused"
    assert not (tmp_path / "backup").exists()


async def test_only_the_latest_epoch_of_a_key_is_backed_up(
    config: Path, tmp_path: Path, clock: list[int]
) -> None:
    await keep(config, certified(epoch=1), certified(), certified(epoch=2))
    ended = await backup("create", config, "--out", str(tmp_path / "backup"), "--json")
    assert [key["epoch"] for key in ended.json["keys"]] == [2]


async def test_a_share_of_a_reshare_that_did_not_end_is_no_share_to_back_up(
    config: Path, tmp_path: Path, clock: list[int]
) -> None:
    """The one before it signs, and is all that there may ever be."""
    pending = KeyShareRecord(**as_dict(certified(epoch=1)) | {"active": False})
    await keep(config, certified(), pending)
    path = tmp_path / "backup"
    ended = await backup("create", config, "--out", str(path), "--json")
    assert [(key["epoch"], key["usable"]) for key in ended.json["keys"]] == [(0, True)]
    assert (await backup("restore", config, str(path), "--json")).json["restored"] == 0
    await empty(config)
    await backup("restore", config, str(path), "--at-once")
    assert [(share.epoch, share.active) for share in await kept(config)] == [(0, True)]


async def test_a_backup_of_another_party_is_refused(
    config: Path, file: Path, tmp_path: Path
) -> None:
    """Even if it has the same master key."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = configure(folder, "party-2", PartySettings.load(config).database_url)
    for command in ["verify", "restore"]:
        ended = await backup(command, other, str(file))
        assert (ended.code, ended.err) == (
            REFUSED,
            "a backup of party-1, and this is party-2\n",
        )


@pytest.mark.parametrize("command", ["verify", "restore"])
async def test_a_backup_without_its_master_key_is_refused_with_advice(
    config: Path, file: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await empty(config)
    monkeypatch.setenv("WARREN_MASTER_KEY", "2e" * 32)
    ended = await backup(command, config, str(file))
    assert ended.code == REFUSED
    assert "the master key file of its time" in ended.err


@pytest.mark.parametrize("command", ["verify", "restore"])
@pytest.mark.parametrize(
    ("age_ms", "max_age", "complaint"),
    [
        (2 * HOUR, "2h", None),
        (2 * HOUR + 1, "2h", "the backup is 2 hours old, and not to be older than 2h"),
        (91 * 60_000, "90m", "91 minutes old, and not to be older than 90m"),
        (30 * 24 * HOUR, "7d", "30 days old, and not to be older than 7d"),
        (-HOUR, "7d", "made in the future: is this machine's clock right?"),
        (-60_000, "7d", None),
    ],
)
async def test_a_backup_that_is_too_old_is_refused(
    config: Path,
    file: Path,
    clock: list[int],
    command: str,
    age_ms: int,
    max_age: str,
    complaint: str | None,
) -> None:
    clock[0] += age_ms
    ended = await backup(command, config, str(file), "--max-age", max_age)
    assert ended.code == (0 if complaint is None else REFUSED)
    assert (complaint or "") in ended.err


@pytest.mark.parametrize("age", ["", "7", "d", "7w", "-1d", "1.5h"])
async def test_an_age_that_makes_no_sense_is_refused(config: Path, file: Path, age: str) -> None:
    ended = await backup("verify", config, str(file), f"--max-age={age}")
    assert ended.code == CONFIGURATION
    assert "a number and m, h or d, like 12h" in ended.err
