"""A party's shares: what is sealed opens, what opens it is kept, and a backup has each of them."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from ops.configurations import Role
from ops.doctor.checks import Check, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import Subject, Surroundings
from workers import holdings
from workers.holdings import Standing
from workers.resealing.resealing import PAGE
from workers.store.database import Row
from workers.store.interface import PartyStore
from workers.store.rows.party import PartyRows
from workers.store.rows.sealed import SHAPES, Sealed, check_opens, is_as_it_should_be
from workers.store.sealing import ErasedError, Sealer, SealError
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones
from workers.store.witness import look

MOST = 2_000
"""Of nonces, and of presignatures: `warren party reseal --check` opens all."""
AGE_S = 48 * 3600
"""A backup a day is asked for; one may fail."""


async def opens(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """With any of the master keys that are given."""
    sealer = subject.party.sealer()  # raises SealError
    store = await surroundings.sealed_store(subject)
    opening = await _opening(store, subject, sealer)
    closed: Counter[Sealed] = Counter()
    first = ""
    async for kind, row in _rows(store):
        try:
            check_opens(opening, kind, row)
        except ErasedError:
            continue  # its epoch is over
        except SealError as error:
            closed[kind] += 1
            first = first or str(error)
    troubles = [Trouble(f"{count} {kind} do not open") for kind, count in closed.items()]
    return [*troubles, Trouble(f"the first: {first}")] if troubles else []


async def newest(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """What does not, needs a version of the master key that is about to retire."""
    keys = subject.party.master_keys()
    if len(keys.versions) == 1:
        return []
    store = await surroundings.party_store(subject)
    alone = await _opening(store, subject, subject.party.sealer().newest_alone())
    older: Counter[Sealed] = Counter()
    async for kind, row in _rows(store):
        older[kind] += not is_as_it_should_be(alone, kind, row)
    return [
        warning(f"{count} {kind} need a version before {keys.newest}")
        for kind, count in older.items()
        if count
    ]


async def folder(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Half of each share's key is there. Before the first start there is none."""
    path = subject.party.share_keys_folder
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        store = await surroundings.party_store(subject)
        if not await store.key_shares():
            return []
        return [Trouble(f"{path} is not there: is its volume mounted?")]
    if not stat.S_ISDIR(mode):
        return [Trouble(f"{path} is no folder")]
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [Trouble(f"{path} is open to others", todo=f"chmod 700 {path}")]
    return []


async def witness(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """What the party remembers of its database outside of it. The file is read first: the database
    is ahead of it, or has gone back."""
    path = subject.party.incarnation_file
    seen = look(path)
    found = await (await surroundings.party_store(subject)).incarnation()
    if seen is None or found is None:
        return [] if found is None else [warning(f"{path} is not there")]
    if seen.incarnation != found.incarnation:
        return [Trouble(f"the database is in another incarnation than {path} knows")]
    if found.progress < seen.progress:
        return [Trouble(f"the database has gone back from {seen.progress} to {found.progress}")]
    return []


async def of_today(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Old shares came from a backup or a database of before."""
    troubles = []
    for row in await _holdings(surroundings, subject):
        name = f"{_key(row)}, epoch {row['epoch']}"
        if row["status"] == Standing.RETIRED and row["kept"]:
            troubles.append(Trouble(f"{name} is over, and its share is here: an old database"))
        elif row["status"] == Standing.SUSPENDED:
            troubles.append(
                warning(
                    f"{name} came from a backup, and waits for the other holders' word",
                    todo="see that they run, and a coordinator",
                )
            )
    return troubles


async def backed_up(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Each usable share, by its epoch."""
    store = await surroundings.party_store(subject)
    missing = []
    for row in await _holdings(surroundings, subject):
        if row["usable"]:
            session, epoch = bytes.fromhex(row["session"]), int(row["epoch"])
            if not await store.is_backed_up(session, epoch):
                missing.append(f"{_key(row)}, epoch {epoch}")
    if len(missing) > 3:
        missing = [*missing[:3], f"and {len(missing) - 3} more"]
    return [warning(f"in no backup: {name}") for name in missing]


async def backup_age(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Of the last one; that there is none for a share, `backed_up` says."""
    store = await surroundings.party_store(subject)
    latest = 0
    for share in await store.key_shares():
        at = await store.backed_up_at(share.key_session, share.epoch + 1)
        latest = max(latest, at or 0)
    age_s = surroundings.clock() - latest / 1000
    if not latest or age_s <= AGE_S:
        return []
    return [warning(f"the last one is {age_s / 86_400:.0f} days old")]


async def _holdings(surroundings: Surroundings, subject: Subject) -> list[dict[str, Any]]:
    party = subject.party
    tombstones = Tombstones(tombstones_beside(party.incarnation_file))
    keep_ms = int(party.limits.backup_wait_seconds * 1000)
    return await holdings.told(await surroundings.party_store(subject), tombstones, keep_ms)


def _key(row: dict[str, Any]) -> str:
    owner = "/".join(str(row[name]) for name in ("client", "tenant") if row[name])
    return f"key {row['key']}" + (f" of {owner}" if owner else "")


async def _opening(store: PartyStore, subject: Subject, sealer: Sealer) -> PartyRows:
    rows = PartyRows(subject.party.party_id, sealer)
    found = await store.incarnation()
    if found is not None:
        rows.enter(found.incarnation)
    return rows


async def _rows(store: PartyStore) -> AsyncIterator[tuple[Sealed, Row]]:
    """All key shares, and the first of the others."""
    for kind in Sealed:
        after, count = None, 0
        while page := await store.sealed_page(kind, after, PAGE):
            for row in page:
                yield kind, row
            after = SHAPES[kind].place(page[-1])
            count += len(page)
            if kind is not Sealed.KEY_SHARES and count >= MOST:
                break


PARTIES = frozenset({Role.PARTY})

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.KEYS,
        name="opens",
        must="All that is sealed opens under the master keys given",
        todo="put back the master key file that was there before",
        runbook="lost-master-key.md",
        roles=PARTIES,
        look=opens,
    ),
    OfFile(
        group=Group.KEYS,
        name="newest",
        must="Nothing needs a master key of before",
        todo="`warren party reseal -c FILE`; until then keep the older versions",
        runbook="new-master-key.md",
        roles=PARTIES,
        look=newest,
    ),
    OfFile(
        group=Group.KEYS,
        name="folder",
        must="The folder of share keys is there, and nobody else's to read",
        todo="mount it, or set share_keys_folder under [party]",
        runbook="lost-database.md",
        roles=PARTIES,
        look=folder,
    ),
    OfFile(
        group=Group.KEYS,
        name="witness",
        must="The database is where its witness saw it last",
        todo="start the party, which begins a new incarnation; then `warren backup restore`",
        runbook="lost-database.md",
        roles=PARTIES,
        look=witness,
    ),
    OfFile(
        group=Group.KEYS,
        name="of_today",
        must="No share is of an epoch that is over, or waits for others",
        todo="use a newer backup, in an empty database: `warren backup restore`",
        runbook="restore.md",
        roles=PARTIES,
        look=of_today,
    ),
    OfFile(
        group=Group.KEYS,
        name="backed_up",
        must="Each share that signs stands in a backup",
        todo="`warren backup create -c FILE --out FILE`",
        runbook="restore.md",
        roles=PARTIES,
        look=backed_up,
    ),
    OfFile(
        group=Group.KEYS,
        name="backup_age",
        must="The last backup is not older than two days",
        todo="`warren backup create -c FILE --out FILE`, daily",
        runbook="restore.md",
        roles=PARTIES,
        look=backup_age,
    ),
)
