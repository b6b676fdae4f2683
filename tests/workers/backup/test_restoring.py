"""`warren backup restore` after a disaster, and where no backup can work."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocols.simulate import coins
from workers.backup import archive
from workers.backup.archive import Backup
from workers.settings import PartySettings
from workers.store.opening import open_party_store
from workers.store.records import KeyShareRecord
from workers.store.rows.party import PartyRows
from workers.store.sealing import MasterKeys, Sealer
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

from .commands import (
    CONFIGURATION,
    MASTER_KEY,
    NOW,
    ONE,
    REFUSED,
    TWO,
    UNAVAILABLE,
    backup,
    change,
    empty,
    keep,
    kept,
    sealer,
    shown,
)
from .shares import as_dict, certified, sealed

pytestmark = pytest.mark.long


async def test_shares_are_restored_into_an_empty_database(config: Path, file: Path) -> None:
    await empty(config)
    ended = await backup("restore", config, str(file))
    assert ended.code == 0, ended.err
    assert ended.out.startswith("2 of 2 key shares were restored, the others were there.")
    assert "2 of them wait until enough other holders have said" in ended.out
    assert sorted(await kept(config), key=lambda share: share.key_id) == [
        replace(ONE, active=False),
        replace(TWO, active=False),
    ]


async def test_who_knows_that_they_are_of_today_uses_them_at_once(config: Path, file: Path) -> None:
    """Be it said when they are restored, or afterwards."""
    for first in ([], ["--at-once"]):
        await empty(config)
        told = await backup("restore", config, str(file), "--json", *first)
        assert told.json["waiting"] == (0 if first else 2)
        again = await backup("restore", config, str(file), "--json", "--at-once")
        assert (again.json["restored"], again.json["waiting"]) == (0, 0)
        assert "wait until" not in again.out
        assert sorted(await kept(config), key=lambda share: share.key_id) == [ONE, TWO]


async def test_what_is_there_stays_and_the_rest_is_added(config: Path, file: Path) -> None:
    await empty(config)
    later = certified(session_id=coins("later"), key_id="key-3")
    await keep(config, ONE, later)
    ended = await backup("restore", config, str(file), "--json")
    assert ended.json["restored"] == 1
    keys = {share.key_id for share in await kept(config)}
    assert keys == {"key-1", "key-2", "key-3"}


async def test_restoring_begins_a_new_incarnation_once(config: Path, file: Path) -> None:
    await empty(config)
    before = await shown(config)
    first = (await backup("restore", config, str(file), "--json")).json
    second = (await backup("restore", config, str(file), "--json")).json
    assert (first["restored"], second["restored"]) == (2, 0)
    assert first["incarnation"] == second["incarnation"] != before.get("incarnation")
    after = await shown(config)
    assert after["incarnation"] == first["incarnation"]
    assert after["reason"] == "key shares were restored from a backup"


async def test_a_share_of_an_epoch_that_is_over_is_not_restored(config: Path, file: Path) -> None:
    """Not even into an empty database, which knows nothing of it."""
    await empty(config)
    witness = PartySettings.load(config).incarnation_file
    Tombstones(tombstones_beside(witness)).rise(TWO.key_session, 1)
    ended = await backup("restore", config, str(file))
    assert ended.code == REFUSED
    assert "the backup has epoch 0, which is over" in ended.err
    assert await kept(config) == []
    assert (await shown(config))["reason"] != "key shares were restored from a backup"


async def test_nothing_is_restored_where_nobody_can_tell_what_is_over(
    config: Path, file: Path
) -> None:
    await empty(config)
    path = tombstones_beside(PartySettings.load(config).incarnation_file)
    path.write_bytes(b"junk" * 1000)
    ended = await backup("restore", config, str(file))
    assert ended.code == CONFIGURATION
    assert ended.err.strip().splitlines()[-1].startswith(f"{path}, which tells which epochs")
    assert await kept(config) == []


async def test_a_share_whose_key_was_erased_is_not_restored(config: Path, file: Path) -> None:
    """Where the database and the file beside the witness are gone, the folder still tells."""
    await empty(config)
    settings = PartySettings.load(config)
    settings.share_keys.erase_below(TWO.key_session, 1)
    ended = await backup("restore", config, str(file))
    assert ended.code == REFUSED
    assert "the backup has epoch 0, which is over" in ended.err
    assert await kept(config) == []


async def test_a_backup_needs_no_erasable_key(config: Path, file: Path) -> None:
    """All is lost but the master key, and then all is there, to be erased again."""
    await empty(config)
    keys = PartySettings.load(config).share_keys
    shutil.rmtree(keys.folder)
    assert (await backup("verify", config, str(file))).code == 0
    ended = await backup("restore", config, str(file), "--json", "--at-once")
    assert ended.json["restored"] == 2
    assert sorted(await kept(config), key=lambda share: share.key_id) == [ONE, TWO]
    assert len([path for path in keys.folder.rglob("*-*") if path.is_file()]) == 2
    keys.erase_below(TWO.key_session, 1)
    assert {share.key_id: share.active for share in await kept(config)} == {
        ONE.key_id: True,
        TWO.key_id: False,
    }


@pytest.mark.parametrize(
    ("there", "complaint"),
    [
        (certified(epoch=1), "the backup has epoch 0, and the database epoch 1"),
        (
            KeyShareRecord(**as_dict(ONE) | {"secret": TWO.secret}),
            "another share of this key and epoch",
        ),
    ],
)
async def test_a_restore_that_is_refused_changes_nothing(
    config: Path, file: Path, there: KeyShareRecord, complaint: str
) -> None:
    await empty(config)
    await keep(config, there)
    before = await shown(config)
    ended = await backup("restore", config, str(file))
    assert ended.code == REFUSED
    assert complaint in ended.err
    assert await kept(config) == [there]
    assert (await shown(config))["incarnation"] == before["incarnation"]


async def test_a_later_epoch_is_not_restored_beside_an_earlier_one(
    config: Path, tmp_path: Path, clock: list[int]
) -> None:
    await keep(config, certified(epoch=1))
    path = tmp_path / "backup"
    await backup("create", config, "--out", str(path))
    await empty(config)
    await keep(config, certified())
    ended = await backup("restore", config, str(path))
    assert ended.code == REFUSED
    assert "restore into an empty one" in ended.err
    assert [share.epoch for share in await kept(config)] == [0]


async def test_a_database_that_another_adds_to_takes_all_or_nothing(
    config: Path, file: Path
) -> None:
    """It is the database that has the last word about what is there."""
    await empty(config)
    await keep(config, ONE)
    settings = PartySettings.load(config)
    async with open_party_store(
        settings.database_url,
        party_id="party-1",
        sealer=sealer(settings),
    ) as store:
        sealed = await store.sealed_key_shares()
        new = KeyShareRecord(**as_dict(sealed[0]) | {"key_session": coins("new")})
        other_epoch = KeyShareRecord(**as_dict(sealed[0]) | {"epoch": 7})
        assert not await store.add_sealed_key_shares([new, sealed[0]])
        assert not await store.add_sealed_key_shares([new, other_epoch])
        assert await store.sealed_key_shares() == sealed
        assert await store.add_sealed_key_shares([new])
        assert len(await store.sealed_key_shares()) == 2


@pytest.mark.parametrize("command", ["verify", "restore"])
async def test_a_backup_is_checked_and_not_only_opened(
    config: Path, tmp_path: Path, command: str
) -> None:
    """Sealed as it should be, by a release or a person that did not check."""
    await keep(config)
    keys = MasterKeys.from_hex(MASTER_KEY)
    rows = PartyRows("party-1", Sealer(keys))
    share = KeyShareRecord(**as_dict(ONE) | {"secret": TWO.secret})
    shares = (sealed(TWO, rows), sealed(share, rows))
    wrong = Backup(party_id="party-1", created_at=NOW, shares=shares)
    path = tmp_path / "wrong"
    archive.write(path, wrong.to_bytes(keys))
    ended = await backup(command, config, str(path))
    assert ended.code == REFUSED
    assert "does not belong to the public share" in ended.err
    assert await kept(config) == []


async def test_a_cut_backup_is_refused(config: Path, file: Path) -> None:
    await empty(config)
    change(file, lambda data: data[:-1])
    ended = await backup("restore", config, str(file), "--json")
    assert ended.code == REFUSED
    assert "cut short" in ended.json["error"]["message"]
    assert await kept(config) == []


###
### Where it cannot work
###


async def test_a_database_that_is_not_migrated_is_refused_with_the_command(
    config: Path, tmp_path: Path
) -> None:
    ended = await backup("create", config, "--out", str(tmp_path / "backup"))
    assert ended.code == CONFIGURATION
    assert "run `warren store migrate party" in ended.err


@pytest.mark.parametrize("database_url", ["postgresql://u:hunter2@127.0.0.1:1/d"])
async def test_a_database_that_is_away_is_said_to_be(config: Path, tmp_path: Path) -> None:
    ended = await backup("create", config, "--out", str(tmp_path / "backup"), "--json")
    assert ended.code == UNAVAILABLE
    assert ended.json["error"]["kind"] == "unreachable"
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("database_url", ["sqlite:////nowhere/at/all.db"])
async def test_a_backup_is_verified_without_any_database(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_bytes(b"warren-backup 1\n")
    ended = await backup("verify", config, str(path))
    assert (ended.code, ended.err) == (
        REFUSED,
        "the backup is cut short, or its label was changed\n",
    )


async def test_a_witness_that_cannot_be_kept_is_named(config: Path, file: Path) -> None:
    own = b"index = 1\n"
    change(config, lambda data: data.replace(own, own + b'incarnation_file = "no/w"\n', 1))
    ended = await backup("restore", config, str(file))
    assert ended.code == CONFIGURATION
    assert "incarnation_file under [party]" in ended.err
