"""Checks of databases and shares: each verdict, on SQLite."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import migrations
from ops.doctor.report import Verdict
from ops.doctor.surroundings import Surroundings
from workers.settings import PartySettings
from workers.store.records import KeyShareRecord
from workers.store.rows.party import PartyRows
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

from .samples import Office, is_right, row

KEY = bytes(range(32))
NOW_MS = time.time_ns() // 1_000_000


def settings(files: Office) -> PartySettings:
    return PartySettings.load(files.folder / "party-1.toml")


def look(files: Office, name: str = "party-1") -> Surroundings:
    return Surroundings(subjects=files.subjects(name))


def execute(files: Office, *statements: str, owner: str = "party-1") -> None:
    with closing(sqlite3.connect(files.folder / f"{owner}.sqlite")) as file, file:
        for statement in statements:
            file.execute(statement)


@pytest.fixture
async def party(files: Office) -> Office:
    """With a share, which stands in a backup of now."""
    await files.migrate("party-1", "coordinator")
    us = settings(files)
    async with us.opened(fenced=True) as store:
        rows = PartyRows(us.party_id, us.sealer())
        share = KeyShareRecord(
            key_session=KEY,
            epoch=0,
            owner="svcA",
            key_id="treasury",
            facts="{}",
            certificates={},
            secret=secrets.token_bytes(32),
            active=True,
        )
        sealed = rows.key_share_values(share)[6]
        assert isinstance(sealed, bytes)
        assert await store.add_sealed_key_shares([replace(share, secret=sealed)])
        await store.note_backup(NOW_MS)
        await store.backup_kept([(KEY, 0)], NOW_MS, unless_due_by=NOW_MS)
    return files


RIGHT = (
    "store.reachable",
    "store.schema",
    "store.writable",
    "keys.opens",
    "keys.newest",
    "keys.folder",
    "keys.witness",
    "keys.of_today",
    "keys.backed_up",
    "keys.backup_age",
    "parties.bans",
    "parties.evidence",
)


@pytest.mark.parametrize("name", RIGHT)
async def test_a_party_that_is_as_it_must_be_has_no_finding(party: Office, name: str) -> None:
    assert is_right(await row(name, look(party)))


async def test_looking_leaves_every_file_as_it_was(party: Office) -> None:
    def contents() -> dict[Path, bytes]:
        kept = (each for each in sorted(party.folder.rglob("*")) if each.is_file())
        return {each: each.read_bytes() for each in kept if each.suffix != ".sqlite-shm"}

    before = contents()
    for name in RIGHT:
        await row(name, look(party))
    assert contents() == before


async def test_a_database_that_is_not_there_is_not_made(files: Office) -> None:
    found = await row("store.reachable", look(files))
    assert found.verdict is Verdict.FAILED
    assert "is not there" in found.found[0]
    for name in ("store.schema", "store.writable", "keys.opens"):
        assert (await row(name, look(files))).verdict is Verdict.NOT_LOOKED_AT
    assert not (files.folder / "party-1.sqlite").exists()


def revision(text: str) -> Callable[[Office], object]:
    table = migrations.version_table("party")
    return lambda files: execute(files, f"UPDATE {table} SET version_num = '{text}'")


def master(text: str) -> Callable[[Office], object]:
    return lambda files: files.secret("party-1.master", text)


def add_master(files: Office) -> None:
    path = files.folder / "party-1.master"
    path.write_text(f'{path.read_text()}\n2 = "{secrets.token_hex(32)}"\n')


def no_folder(files: Office) -> None:
    folder = settings(files).share_keys_folder
    folder.rename(folder.with_name("away"))


def went_back(files: Office) -> None:
    path = settings(files).incarnation_file
    line = path.read_text().split()
    path.write_text(f"{line[0]} {line[1]} {int(line[2]) + 5:019d}\n")


def over(files: Office) -> None:
    Tombstones(tombstones_beside(settings(files).incarnation_file)).rise(KEY, 1)


def suspended(files: Office) -> None:
    execute(
        files,
        "INSERT INTO epochs (key_session, epoch, session_id, status, at) VALUES "
        f"(x'{KEY.hex()}', 0, x'', 'suspended', 1)",
    )


BAN = "INSERT INTO bans VALUES ('party-3', zeroblob(32), 'OT consistency', 1)"
LIE = "INSERT INTO evidence VALUES (zeroblob(32), 'keygen/1', 'party-2', x'00', x'01', 1)"

FAULTS = [
    ("store.schema", revision("0001"), Verdict.FAILED, "at revision 0001"),
    ("store.schema", revision("9999"), Verdict.WARNING, "of a later version"),
    (
        "store.schema",
        lambda files: execute(files, f"DROP TABLE {migrations.version_table('party')}"),
        Verdict.FAILED,
        "not a party's, or empty",
    ),
    ("keys.opens", master(f'1 = "{secrets.token_hex(32)}"'), Verdict.FAILED, "master key"),
    ("keys.opens", master(f'2 = "{secrets.token_hex(32)}"'), Verdict.FAILED, "version 1"),
    ("keys.opens", no_folder, Verdict.FAILED, "is missing"),
    ("keys.newest", add_master, Verdict.WARNING, "1 key shares need a version before 2"),
    ("keys.folder", lambda o: settings(o).share_keys_folder.chmod(0o750), Verdict.FAILED, "others"),
    ("keys.witness", went_back, Verdict.FAILED, "has gone back"),
    (
        "keys.witness",
        lambda o: settings(o).incarnation_file.unlink(),
        Verdict.WARNING,
        "is not there",
    ),
    ("keys.of_today", over, Verdict.FAILED, "an old database"),
    ("keys.of_today", suspended, Verdict.WARNING, "waits for the other holders' word"),
    (
        "keys.backed_up",
        lambda o: execute(o, "DELETE FROM kept_backups"),
        Verdict.WARNING,
        "key treasury of svcA, epoch 0",
    ),
    (
        "keys.backup_age",
        lambda o: execute(o, f"UPDATE backed_up SET at = {NOW_MS - 5 * 86_400_000}"),
        Verdict.WARNING,
        "5 days old",
    ),
    ("parties.bans", lambda o: execute(o, BAN), Verdict.WARNING, "party-3"),
    ("parties.evidence", lambda o: execute(o, LIE), Verdict.FAILED, "party-2"),
]


@pytest.mark.parametrize(("name", "spoil", "verdict", "words"), FAULTS)
async def test_a_fault_of_a_party_is_told_with_what_to_do(
    party: Office, name: str, spoil: Callable[[Office], object], verdict: Verdict, words: str
) -> None:
    spoil(party)
    found = await row(name, look(party))
    assert (found.verdict, bool(found.todo)) == (verdict, True)
    assert words in " ".join(found.found)


SEEN = "INSERT INTO parties VALUES ('party-2', {})"
STRANGER = "INSERT INTO parties VALUES ('party-9', {})"
QUARREL = "INSERT INTO quarrels VALUES ('party-1', 'party-2', {})"


async def test_parties_that_give_signs_of_life_have_no_finding(party: Office) -> None:
    now = time.time_ns() // 1_000_000
    seen = (SEEN.replace("party-2", f"party-{i}").format(now) for i in (1, 2, 3))
    execute(party, *seen, owner="coordinator")
    for name in ("alive", "known", "quarrels", "pools"):
        assert is_right(await row(f"parties.{name}", look(party, "coordinator")))


@pytest.mark.parametrize(
    ("name", "statement", "later_ms", "words"),
    [
        ("alive", SEEN, -90_000, "party-2 has been silent for"),
        ("alive", SEEN, 0, "party-3 never gave a sign of life"),
        ("known", STRANGER, 60_000, "party-9 gives signs of life"),
        ("quarrels", QUARREL, 0, "party-1 makes no presignatures with party-2"),
    ],
)
async def test_what_the_coordinator_sees_of_parties_is_told(
    party: Office, name: str, statement: str, later_ms: int, words: str
) -> None:
    now = time.time_ns() // 1_000_000
    execute(party, statement.format(now + later_ms), owner="coordinator")
    found = await row(f"parties.{name}", look(party, "coordinator"))
    assert found.verdict in {Verdict.FAILED, Verdict.WARNING}
    assert words in " ".join(found.found)
