"""`warren backup`, and `warren party incarnation`, as an operator uses them after a disaster."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

import migrations
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES
from tests.workers.test_backup import certified, sealed
from workers import cli
from workers.backup import archive
from workers.backup import cli as backup_cli
from workers.backup.archive import Backup
from workers.settings import PartySettings
from workers.store.opening import open_party_store
from workers.store.records import KeyShareRecord, Outcome, PartyChange
from workers.store.rows.party import PartyRows
from workers.store.sealing import MasterKeys, Sealer

MASTER_KEY = "1f" * 32
REFUSED, CONFIGURATION, UNAVAILABLE = 1, 2, 4
NOW = 1_700_000_000_000
HOUR = 3_600_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'party.db'}"
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [NOW]
    monkeypatch.setattr(backup_cli, "now_ms", lambda: now[0])
    return now


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    return configure(tmp_path, "party-1", database_url)


def configure(folder: Path, party_id: str, database_url: str) -> Path:
    identity = IDENTITIES[party_id]
    (folder / f"{party_id}.key").write_text(identity.to_base64())
    path = folder / f"{party_id}.toml"
    peers = "".join(
        f'[[peers]]\nparty_id = "party-{i}"\nindex = {i}\n'
        f'public_key = "{IDENTITIES[f"party-{i}"].public.to_base64()}"\n'
        for i in (1, 2, 3)
    )
    path.write_text(
        f'[party]\nparty_id = "{party_id}"\nindex = {party_id[-1]}\n'
        f'private_key_file = "{party_id}.key"\namqp_url = "amqp://u:p@127.0.0.1:1/w"\n'
        f'database_url = "{database_url}"\n{peers}'
    )
    return path


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def warren(group: str, *arguments: str) -> Ended:
    """A command in this process, on a thread: it runs a loop of its own."""
    app = backup_cli.app if group == "backup" else cli.party
    runner = CliRunner()
    result = await asyncio.to_thread(runner.invoke, app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


async def backup(command: str, config: Path, *arguments: str) -> Ended:
    return await warren("backup", command, "--config", str(config), *arguments)


async def keep(config: Path, *shares: KeyShareRecord) -> None:
    settings = PartySettings.load(config)
    await migrations.upgrade("party", settings.database_url)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=Sealer(MasterKeys.from_hex(MASTER_KEY)),
        witness=settings.incarnation_file,
    ) as store:
        for number, share in enumerate(shares):
            change = PartyChange(
                session_id=coins(f"{share.key_session.hex()} {share.epoch} {number}"),
                expected_version=0,
                protocol="keygen",
                key_session=None,
                status="completed",
                deadline=0,
                state=b"",
                cause="test",
                key_share=share,
            )
            assert await store.commit(change) is Outcome.COMMITTED


async def kept(config: Path) -> list[KeyShareRecord]:
    settings = PartySettings.load(config)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=Sealer(MasterKeys.from_hex(MASTER_KEY)),
    ) as store:
        found = [
            await store.key_share(share.key_session, share.epoch)
            for share in await store.key_shares()
        ]
    return [share for share in found if share is not None]


ONE = certified()
TWO = certified(curve="secp256k1", session_id=coins("two"), key_id="key-2", client_id=None)


@pytest.fixture
async def file(config: Path, tmp_path: Path, clock: list[int]) -> Path:
    """A backup of two keys."""
    await keep(config, ONE, TWO)
    path = tmp_path / "backup"
    ended = await backup("create", config, "--out", str(path))
    assert (ended.code, ended.out) == (0, f"2 key shares are in {path}.\n"), ended.err
    return path


async def empty(config: Path) -> None:
    """The disaster."""
    settings = PartySettings.load(config)
    if settings.database_url.startswith("sqlite"):
        for path in config.parent.glob("party.db*"):
            path.unlink()
    else:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
        await connection.close()
    await migrations.upgrade("party", settings.database_url)


def change(file: Path, work: Callable[[bytes], bytes]) -> None:
    file.write_bytes(work(file.read_bytes()))


###
### Create and verify
###


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


def as_dict(share: KeyShareRecord) -> dict[str, Any]:
    return {name: getattr(share, name) for name in KeyShareRecord.__slots__}


async def test_only_the_latest_epoch_of_a_key_is_backed_up(
    config: Path, tmp_path: Path, clock: list[int]
) -> None:
    await keep(config, certified(epoch=1), certified(), certified(epoch=2))
    ended = await backup("create", config, "--out", str(tmp_path / "backup"), "--json")
    assert [key["epoch"] for key in ended.json["keys"]] == [2]


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


###
### Restore
###


async def test_shares_are_restored_into_an_empty_database(config: Path, file: Path) -> None:
    await empty(config)
    ended = await backup("restore", config, str(file))
    assert ended.code == 0, ended.err
    assert ended.out.startswith("2 of 2 key shares were restored, the others were there.")
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


async def shown(config: Path) -> Any:
    return (await warren("party", "incarnation", "--config", str(config), "--json")).json


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
        sealer=Sealer(MasterKeys.from_hex(MASTER_KEY)),
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


###
### warren party incarnation
###


async def test_the_incarnation_is_shown_with_its_witness(config: Path, file: Path) -> None:
    found = await shown(config)
    assert found["agree"] is True
    assert found["witness"] == str(config.parent / "party-1.incarnation")
    assert found["witnessed"] <= found["progress"]
    ended = await warren("party", "incarnation", "--config", str(config))
    assert ended.code == 0
    assert found["incarnation"] in ended.out
    assert ended.out.splitlines()[-1].split() == ["agree", "yes"]


async def test_a_database_and_a_witness_that_do_not_agree_are_shown_and_left(
    config: Path, file: Path
) -> None:
    shutil.copy(config.parent / "party-1.incarnation", config.parent / "kept")
    (config.parent / "party-1.incarnation").unlink()
    for _ in range(2):
        found = await shown(config)
        assert found["agree"] is False
        assert "witnessed" not in found
    assert not (config.parent / "party-1.incarnation").exists()
    shutil.copy(config.parent / "kept", config.parent / "party-1.incarnation")
    assert (await shown(config))["agree"] is True


async def test_a_database_without_an_incarnation_is_shown(config: Path) -> None:
    await migrations.upgrade("party", PartySettings.load(config).database_url)
    assert await shown(config) == {
        "witness": str(config.parent / "party-1.incarnation"),
        "agree": False,
    }


async def test_a_witness_that_cannot_be_read_is_named(config: Path, file: Path) -> None:
    witness = config.parent / "party-1.incarnation"
    witness.unlink()
    witness.mkdir()
    ended = await warren("party", "incarnation", "--config", str(config))
    assert ended.code == CONFIGURATION
    assert f"cannot read the witness file {witness}" in ended.err
