"""What a restore may do to a database: add what is not there, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from ..store.interface import PartyStore
from ..store.records import EpochStatus, KeyShareRecord
from ..store.rows.party import PartyRows
from .checking import latest, name
from .errors import BackupError

REASON = "key shares were restored from a backup"


Name: TypeAlias = tuple[bytes, int]
"""A key's session and an epoch."""


def name_of(share: KeyShareRecord) -> Name:
    return share.key_session, share.epoch


async def suspended(store: PartyStore, shares: Iterable[KeyShareRecord]) -> set[Name]:
    """Which of these wait for other holders' word."""
    return {
        (share.key_session, each.epoch)
        for share in shares
        for each in await store.epochs(share.key_session)
        if each.status is EpochStatus.SUSPENDED
    }


def missing(
    backup: Iterable[KeyShareRecord],
    present: Iterable[KeyShareRecord],
    rows: PartyRows,
    suspended: Collection[Name] = (),
) -> list[KeyShareRecord]:
    """Those that are to be added. Raises BackupError where backup and database do not go together.

    Arguments:
        backup: Checked, and sealed, as those that are `present`.
        suspended: Of those that are present, which wait for other holders' word.
    """
    epochs: dict[bytes, dict[int, KeyShareRecord]] = {}
    for share in present:
        epochs.setdefault(share.key_session, {})[share.epoch] = share
    added = []
    for share in backup:
        there = epochs.get(share.key_session, {})
        if not there:
            added.append(share)
            continue
        newest = latest(there.values()).epoch
        if share.epoch < newest:
            raise BackupError(
                f"{name(share)}: the backup has epoch {share.epoch}, and the database epoch "
                f"{newest}: a share of a past epoch is good for nothing. Use a newer backup"
            )
        if share.epoch > newest:
            raise BackupError(
                f"{name(share)}: the backup has epoch {share.epoch}, and the database only epoch "
                f"{newest}: restored, two epochs of one key would be mixed. The database is an "
                "old one: restore into an empty one"
            )
        if not _same(rows.opened(share), rows.opened(there[share.epoch])):
            raise BackupError(
                f"{name(share)}: the database has another share of this key and epoch. Leave it "
                "as it is, and find out which of the two the other parties know"
            )
        if share.active and not (there[share.epoch].active or name_of(share) in suspended):
            raise BackupError(
                f"{name(share)}: in the database its key generation has not ended, in the backup "
                "it has. The database is an old one: restore into an empty one"
            )
    return added


async def restore(
    store: PartyStore,
    shares: Sequence[KeyShareRecord],
    rows: PartyRows,
    *,
    suspended_at: int,
) -> None:
    """Add them all, or none, in a new incarnation. Raises BackupError.

    Arguments:
        suspended_at: See `PartyStore.add_sealed_key_shares`.
    """
    for share in await store.outdated(shares):
        raise BackupError(
            f"{name(share)}: the backup has epoch {share.epoch}, which is over: this party has had "
            "a later one since, and has deleted it. Use a newer backup"
        )
    await store.begin_incarnation(REASON)
    sealed = [rows.sealed(rows.opened(each)) for each in shares]
    if not await store.add_sealed_key_shares(sealed, suspended_at=suspended_at):
        raise BackupError("somebody else added one of these keys just now: restore again")


def _same(ours: KeyShareRecord, theirs: KeyShareRecord) -> bool:
    # Certificates are added as they come, and ECDSA's are not the same twice.
    return (ours.facts, ours.secret) == (theirs.facts, theirs.secret)
