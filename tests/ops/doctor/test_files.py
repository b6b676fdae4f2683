"""Checks of what stands in files, and of the machine: each verdict."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.identity import Identity
from ops.doctor.report import Verdict
from ops.doctor.surroundings import Surroundings
from ops.stack.certificates import TestingCa

from .samples import PARTIES, PASSWORD, Office, is_right, row, rows

Spoil = Callable[[Office], object]


def look(files: Office, *names: str) -> Surroundings:
    return Surroundings(subjects=files.subjects(*names))


FILES = [
    ("usable", lambda files: (files.folder / "party-1.key").unlink(), "party-1.key"),
    ("usable", lambda files: files.change("party-1.toml", PASSWORD, "..."), "placeholder"),
    ("usable", lambda files: files.change("party-1.toml", "index = 1", "index = 0"), "index"),
    ("private", lambda files: (files.folder / "party-1.key").chmod(0o644), "party-1.key"),
    ("private", lambda files: (files.folder / "party-1.master").chmod(0o604), "party-1.master"),
    ("private", lambda files: (files.folder / "party-1.toml").chmod(0o622), "party-1.toml"),
    ("secrets", lambda files: files.change("party-1.toml", PASSWORD, "..."), "placeholder"),
    ("secrets", lambda files: files.change("party-1.toml", PASSWORD, "party-1"), "own name"),
    ("secrets", lambda files: files.change("party-1.toml", PASSWORD, "guest"), "everybody"),
    ("secrets", lambda files: files.change("party-1.toml", PASSWORD, "x7$kq"), "fewer than 12"),
    ("secrets", lambda files: files.secret("party-1.master", f'1 = "{"00" * 32}"'), "random"),
]


@pytest.mark.parametrize("name", ["usable", "private", "secrets"])
async def test_files_that_are_as_they_must_be_have_no_finding(files: Office, name: str) -> None:
    found = await rows(f"configuration.{name}", look(files, *PARTIES, "coordinator", "svcA"))
    assert found.keys() == {*PARTIES, "coordinator", "svcA"}
    assert all(map(is_right, found.values()))


@pytest.mark.parametrize(("name", "spoil", "words"), FILES)
async def test_a_file_that_is_not_is_told_with_what_to_do(
    files: Office, name: str, spoil: Spoil, words: str
) -> None:
    spoil(files)
    found = await row(f"configuration.{name}", look(files, "party-1"))
    assert found.verdict in {Verdict.FAILED, Verdict.WARNING}
    assert words in found.found[0]
    assert found.todo
    assert PASSWORD not in found.model_dump_json()


PINS = [
    ("coordinator", "coordinator", "does not believe the identity"),
    ("party-2", "party-2", "another public key of party-2"),
    ("svcA", "svcA", "another public key of svcA"),
]


async def test_files_that_agree_have_no_finding(files: Office) -> None:
    surroundings = look(files, *PARTIES, "coordinator", "svcA")
    assert is_right(await row("configuration.pins", surroundings))


@pytest.mark.parametrize(("owner", "file", "words"), PINS)
async def test_a_key_that_another_file_has_otherwise_is_told(
    files: Office, owner: str, file: str, words: str
) -> None:
    other = Identity.generate()
    files.secret(f"{file}.key", other.to_base64())
    if owner == "party-2":
        files.change("party-2.toml", files.public(owner), other.public.to_base64())
    found = await row("configuration.pins", look(files, "party-1", owner))
    assert found.verdict is Verdict.FAILED
    assert words in found.found[0]


async def test_an_index_that_another_file_has_otherwise_is_told(files: Office) -> None:
    files.change("coordinator.toml", '"party-2"\nindex = 2', '"party-2"\nindex = 7')
    found = await row("configuration.pins", look(files, "party-2", "coordinator"))
    assert found.found == ["coordinator has index 7 for party-2, its own file 2"]


async def test_a_client_that_nobody_lets_in_is_told_where_no_list_may_have_it(
    files: Office,
) -> None:
    files.change("coordinator.toml", 'client_id = "svcA"', 'client_id = "svcB"')
    found = await row("configuration.pins", look(files, "svcA", "coordinator"))
    assert found.found == ["coordinator has no client svcA"]


async def test_one_file_alone_agrees_with_nothing(files: Office) -> None:
    found = await row("configuration.pins", look(files, "party-1"))
    assert found.verdict is Verdict.NOT_LOOKED_AT


DAYS = [(0, None), (22, Verdict.WARNING), (31, Verdict.FAILED)]


@pytest.mark.parametrize(("days", "verdict"), DAYS)
async def test_a_certificate_is_told_before_and_after_its_end(
    files: Office, days: int, verdict: Verdict | None
) -> None:
    pair = TestingCa.make(files.folder / "tls").for_user("party-1", days=29)
    named = f'amqp_certificate_file = "{pair.certificate}"\namqp_key_file = "{pair.key}"\n'
    files.change("party-1.toml", "[party]\n", f"[party]\n{named}")
    files.change("party-1.toml", "amqp://", "amqps://")
    surroundings = look(files, "party-1")
    surroundings.clock = lambda: time.time() + days * 86_400
    found = await row("certificates.own", surroundings)
    assert found.verdict is (verdict or Verdict.OK)
    assert not found.found or str(pair.certificate) in found.found[0]


async def test_a_certificate_that_has_expired_keeps_the_file_from_use_and_is_told_all_the_same(
    files: Office,
) -> None:
    pair = TestingCa.make(files.folder / "tls").for_user("party-1", days=-2)
    named = f'amqp_certificate_file = "{pair.certificate}"\namqp_key_file = "{pair.key}"\n'
    files.change("party-1.toml", "[party]\n", f"[party]\n{named}")
    files.change("party-1.toml", "amqp://", "amqps://")
    surroundings = look(files, "party-1")
    assert "has expired" in (await row("configuration.usable", surroundings)).found[0]
    assert "has expired 2 days ago" in (await row("certificates.own", surroundings)).found[0]


async def test_who_shows_no_certificate_has_none_that_ends(files: Office) -> None:
    found = await row("certificates.own", look(files, "party-1"))
    assert found.verdict is Verdict.NOT_LOOKED_AT


def disk(*, free: int, files_free: int) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, 1000, free, free, 1000, files_free, files_free, 0, 255))


@pytest.mark.parametrize(
    ("free", "files_free", "words"),
    [(51, 51, None), (50, 500, "95% of its space"), (500, 9, "99% of its room for files")],
)
async def test_a_disk_is_told_from_95_per_cent_on(
    files: Office, free: int, files_free: int, words: str | None
) -> None:
    surroundings = look(files, "party-1")
    surroundings.statvfs = lambda _: disk(free=free, files_free=files_free)
    found = await row("disk.space", surroundings)
    assert is_right(found) if words is None else words in found.found[0]


async def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(
    files: Office,
) -> None:
    seen: list[Path] = []

    def statvfs(path: Path) -> os.statvfs_result:
        seen.append(path)
        return disk(free=500, files_free=500)

    surroundings = look(files, "party-1")
    surroundings.statvfs = statvfs
    await row("disk.space", surroundings)
    assert seen == [files.folder]


async def test_a_file_that_cannot_be_used_leaves_the_rest_not_looked_at(files: Office) -> None:
    shutil.move(files.folder / "party-1.key", files.folder / "moved.key")
    found = await row("store.reachable", look(files, "party-1"))
    assert found.verdict is Verdict.NOT_LOOKED_AT
    assert "configuration.usable" in found.found[0]


async def test_the_files_clock_is_this_machines(files: Office) -> None:
    found = await row("clocks.database", look(files, "party-1"))
    assert found.verdict is Verdict.NOT_LOOKED_AT
    assert Surroundings().clock is time.time
