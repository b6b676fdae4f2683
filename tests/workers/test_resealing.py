"""`warren party reseal`: an older master key retires, whoever works or is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

import migrations
from tests.patience import until
from tests.protocols.simulate import coins
from tests.workers.backup.commands import ONE, TWO, Ended, backup, configure, warren
from tests.workers.backup.shares import CREATED_AT, sealed
from tests.workers.resealed import reseal_some
from tests.workers.store.examples import key_share, nonce, party_change, presignature
from workers.backup.archive import Backup
from workers.resealing.resealing import check, reseal
from workers.settings import PartySettings
from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import Outcome
from workers.store.rows.halves import Halves
from workers.store.rows.party import PartyRows
from workers.store.rows.sealed import Sealed
from workers.store.sealing import MasterKeys, Sealer, SealError
from workers.store.shared.party import SharedPartyStore

pytestmark = pytest.mark.long

OLD, NEW = "1f" * 32, "2e" * 32
KEYS = {1: bytes.fromhex(OLD), 2: bytes.fromhex(NEW)}
LEFT, CONFIGURATION = 1, 2
SHARES, NONCES, PRESIGNATURES = 5, 3, 4


def write_keys(config: Path, *versions: int) -> None:
    lines = [f'{version} = "{KEYS[version].hex()}"' for version in versions]
    config.with_suffix(".master").write_text("\n".join(lines) + "\n")


async def party(folder: Path, url: str) -> Path:
    """Configured with the first version of the master key."""
    await migrations.upgrade("party", url)
    config = configure(folder, "party-1", url)
    text = config.read_text().replace(
        'private_key_file = "party-1.key"\n',
        'private_key_file = "party-1.key"\nmaster_key_file = "party-1.master"\n',
    )
    config.write_text(text)
    write_keys(config, 1)
    return config


def sealer(config: Path, *versions: int) -> Sealer:
    keys = MasterKeys({version: KEYS[version] for version in versions})
    return Sealer(keys, erasable=PartySettings.load(config).share_keys)


def opened(config: Path, *versions: int) -> PartyStore:
    """As a worker has it."""
    settings = PartySettings.load(config)
    return open_party_store(
        settings.database_url,
        party_id="party-1",
        sealer=sealer(config, *versions),
        witness=settings.incarnation_file,
        max_connections=1,
    )


async def fill(store: PartyStore, name: str = "made", shares: int = SHARES) -> None:
    for number in range(shares):
        session = coins(f"{name} {number}")
        change = party_change(
            f"{name} {number}",
            key_share=key_share(key_session=session, key_id=f"{name}-{number}", active=True),
        )
        assert await store.commit(change) is Outcome.COMMITTED
    change = party_change(
        f"{name} stock",
        nonces=tuple(nonce(f"{name} {number}") for number in range(NONCES)),
        presignatures=tuple(presignature(number, name) for number in range(PRESIGNATURES)),
        status="completed",
    )
    assert await store.commit(change) is Outcome.COMMITTED


async def ran(config: Path, *options: str) -> Ended:
    return await warren("party", "reseal", "--config", str(config), *options)


async def go_through(config: Path) -> None:
    async with opened(config, 1) as store:
        await fill(store)
    write_keys(config, 1, 2)

    before = await ran(config, "--check", "--json")
    assert before.code == LEFT
    left = {"key_shares": SHARES, "nonces": NONCES, "presignatures": PRESIGNATURES}
    assert before.json["left"] == left
    assert before.json["sessions_under_way"] == SHARES
    assert set(before.json["resealed"].values()) == {0}

    done = await ran(config, "--json")
    assert done.json["resealed"] == left
    assert set(done.json["left"].values()) == {0}
    assert (done.json["versions"], done.json["newest"]) == ([1, 2], 2)


async def end_all(config: Path) -> None:
    """Sessions under way end."""
    async with opened(config, 1, 2) as store:
        for number in range(SHARES):
            await store.end(party_change(f"made {number}").session_id, "cancelled", 1)


async def assert_only_the_new_one_is_needed(config: Path) -> None:
    write_keys(config, 2)
    checked = await ran(config, "--check", "--json")
    assert checked.code == 0
    assert not checked.json["older_needed"]
    async with opened(config, 2) as store:
        share = await store.key_share(coins("made 0"), 0)
        assert share is not None
        assert share.secret == key_share().secret
        material = await store.signing_material(
            coins("later"),
            key_session=key_share().key_session,
            epoch=0,
            nonce_id=nonce("made 0").nonce_id,
        )
        assert material.nonce is not None
        assert material.nonce.secret == nonce("made 0").secret


async def test_after_it_the_old_key_is_needed_for_nothing(tmp_path: Path) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    await go_through(config)
    await end_all(config)
    await assert_only_the_new_one_is_needed(config)


async def test_the_same_on_postgresql(tmp_path: Path, database: str) -> None:
    config = await party(tmp_path, database)
    await go_through(config)
    await end_all(config)
    await assert_only_the_new_one_is_needed(config)


async def test_without_it_the_new_key_opens_nothing(tmp_path: Path) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    async with opened(config, 1) as store:
        await fill(store)
    write_keys(config, 2)
    told = await ran(config)
    assert told.code == CONFIGURATION
    assert "version 1, which is not here" in told.err


async def test_a_second_run_finds_nothing_to_do_and_a_person_is_told(tmp_path: Path) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    await go_through(config)
    await end_all(config)
    again = await ran(config)
    assert again.code == 0
    assert again.out.startswith("Nothing in the database needs a version before 2.")
    assert "Backups made before this do" in again.out
    assert OLD not in again.out + again.err
    assert NEW not in again.out + again.err


async def test_backups_are_told_apart(tmp_path: Path) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    async with opened(config, 1) as store:
        for name, share in (("one", ONE), ("two", TWO)):
            change = party_change(name, key_share=share, status="completed")
            assert await store.commit(change) is Outcome.COMMITTED
    files = [tmp_path / f"{name}.backup" for name in ("old", "between", "new")]
    assert (await backup("create", config, "--out", str(files[0]))).code == 0
    write_keys(config, 1, 2)
    # As a release made it that did not seal the shares again for a backup.
    old, both = (MasterKeys({each: KEYS[each] for each in versions}) for versions in ([1], [1, 2]))
    inside = sealed(ONE, PartyRows("party-1", Sealer(old)))
    between = Backup(party_id="party-1", created_at=CREATED_AT, shares=(inside,))
    files[1].write_bytes(between.to_bytes(both))
    assert (await ran(config)).code == 0
    assert (await backup("create", config, "--out", str(files[2]))).code == 0
    named = [word for file in files for word in ("--backup", str(file))]
    told = await ran(config, "--check", "--json", *named)
    assert told.code == LEFT
    # The one between is sealed under the new key, and what is in it is not.
    assert told.json["backups"] == [str(files[0]), str(files[1])]
    assert (await ran(config, "--check", "--backup", str(files[2]))).code == 0


async def test_what_is_made_or_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    both = sealer(config, 1, 2)
    async with opened(config, 1) as store:
        await fill(store)
    async with opened(config, 1, 2) as worker, opened(config, 1, 2) as operator:
        steps = asyncio.Queue[Sealed]()
        work = asyncio.create_task(reseal(operator, "party-1", both, steps.put_nowait))
        await steps.get()
        taken = party_change("taken", take_nonce=nonce("made 0").nonce_id, status="completed")
        assert await worker.commit(taken) is Outcome.COMMITTED
        await fill(worker, "later")
        await work
        found = await check(operator, "party-1", both, lambda _: None)
        assert set(found.left.values()) == {0}
        assert await worker.commit(party_change("again", take_nonce=nonce("made 0").nonce_id)) in {
            Outcome.NONCE_GONE
        }


async def half_resealed(config: Path, resealed: int) -> None:
    """Nobody opens the store without a version that some of the shares need."""
    async with opened(config, 1) as store:
        await fill(store)
    async with opened(config, 1, 2) as store:
        await reseal_some(store, "party-1", sealer(config, 1, 2), resealed)
    for version in (1, 2):
        with pytest.raises(SealError, match=f"version {3 - version}, which is not here"):
            async with opened(config, version):
                pass
    async with opened(config, 1, 2):
        pass


@pytest.mark.parametrize("resealed", [1, SHARES - 1])
async def test_killed_in_the_middle_it_leaves_both_needed(tmp_path: Path, resealed: int) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    await half_resealed(config, resealed)


@pytest.mark.parametrize("resealed", [1, SHARES - 1])
async def test_both_are_needed_on_postgresql_too(
    tmp_path: Path, database: str, resealed: int
) -> None:
    await half_resealed(await party(tmp_path, database), resealed)


MANY = 600
PREFIX = "instr(secret, x'00000002') > 0"


async def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "party.sqlite"
    config = await party(tmp_path, f"sqlite:///{path}")
    async with opened(config, 1) as store:
        await fill(store, shares=MANY)
    write_keys(config, 1, 2)

    def resealed() -> int:
        with closing(sqlite3.connect(path)) as file:
            (row,) = file.execute(f"SELECT count(*) FROM key_shares WHERE {PREFIX}").fetchall()
            return int(row[0])

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.cli",
        "party",
        "reseal",
        "--config",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until(lambda: resealed() >= 3)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    before = resealed()
    assert 3 <= before < MANY, "it was over before it was killed"
    done = await ran(config, "--json")
    assert done.json["resealed"]["key_shares"] == MANY - before
    assert set(done.json["left"].values()) == {0}


async def test_shares_of_before_they_could_be_erased_are_sealed_anew(tmp_path: Path) -> None:
    """Under the same master key: what it is for is said where the command is."""
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    settings = PartySettings.load(config)
    async with opened(config, 1) as store:
        await fill(store, shares=1)
        plain = Sealer(MasterKeys({1: KEYS[1]}))
        rows = PartyRows("party-1", plain)
        old = rows.sealed(key_share(key_session=coins("old"), key_id="old", active=True))
        assert await store.add_sealed_key_shares([old])
    assert (await ran(config, "--check", "--json")).json["left"]["key_shares"] == 1
    done = await ran(config, "--json")
    assert (done.json["resealed"]["key_shares"], done.json["left"]["key_shares"]) == (1, 0)
    settings.share_keys.erase_below(coins("old"), 1)
    async with opened(config, 1) as store:
        assert [each.active for each in await store.key_shares()].count(True) == 1


async def test_what_is_made_ahead_gets_its_other_half_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = await party(tmp_path, f"sqlite:///{tmp_path / 'party.sqlite'}")
    async with opened(config, 1) as store:
        monkeypatch.setattr(cast("SharedPartyStore", store)._rows, "halves", Halves(None))
        await fill(store, shares=0)
    left = {"key_shares": 0, "nonces": NONCES, "presignatures": PRESIGNATURES}
    assert (await ran(config, "--check", "--json")).json["left"] == left
    done = await ran(config, "--json")
    assert done.json["resealed"] == left
    assert set(done.json["left"].values()) == {0}
    place: tuple[bytes, int] = (presignature(0, "made").batch, 0)
    wanted: dict[str, Any] = {"nonce_id": nonce("made 0").nonce_id, "presignatures": [place]}
    for over in (False, True):
        async with opened(config, 1) as store:
            material = await store.signing_material(
                coins("later"), key_session=key_share().key_session, epoch=0, **wanted
            )
        assert (material.nonce is None, material.presignatures == (None,)) == (over, over)
        PartySettings.load(config).share_keys.erase_below(key_share().key_session, 1)
    # Of what nothing opens any more nothing is left to do.
    assert set((await ran(config, "--json")).json["left"].values()) == {0}
