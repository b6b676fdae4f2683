"""Room on the disks of this machine that its processes write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.settings import GatewaySettings
from ops.configurations import Role
from ops.doctor.checks import Check, OfFile, Trouble
from ops.doctor.report import Group
from ops.doctor.surroundings import Subject, Surroundings, sqlite_path

MOST = 0.95


async def space(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Bytes and files, as whoever is not root has them; each disk once."""
    troubles, seen = [], set()
    for folder in _folders(subject):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        found = surroundings.statvfs(there)
        for used, of in ((_bytes(found), "space"), (_files(found), "room for files")):
            if used >= MOST:
                troubles.append(Trouble(f"the disk of {there} has used {used:.0%} of its {of}"))
    return troubles


def _bytes(found: os.statvfs_result) -> float:
    used = found.f_blocks - found.f_bfree
    return used / max(used + found.f_bavail, 1)


def _files(found: os.statvfs_result) -> float:
    """Some file systems do not count them."""
    return (found.f_files - found.f_ffree) / found.f_files if found.f_files else 0.0


def _folders(subject: Subject) -> Iterator[Path]:
    folder = subject.path.absolute().parent
    yield folder
    if subject.role in (Role.PARTY, Role.COORDINATOR):
        database = sqlite_path(subject.worker.database_url)
        if database is not None:
            yield database.absolute().parent
    if subject.role is Role.PARTY:
        yield subject.party.incarnation_file.absolute().parent
        yield subject.party.share_keys_folder.absolute()
    if isinstance(subject.settings, GatewaySettings):
        door = subject.settings.door
        for file in (door.api_keys_file, door.client_list_file):
            if file is not None:
                yield file.absolute().parent


CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.DISK,
        name="space",
        must="The disks that it writes to have room",
        todo="make room: `df -h`, `df -i`; the database's and the broker's own machines have "
        "disks that are not seen from here",
        roles=frozenset(Role),
        look=space,
    ),
)
