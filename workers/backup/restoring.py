"""What a restore may do to a database: add what is not there, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..store.interface import PartyStore
from ..store.records import KeyShareRecord
from ..store.rows.party import PartyRows
from .checking import latest, name
from .errors import BackupError

REASON = "key shares were restored from a backup"


def missing(
    backup: Iterable[KeyShareRecord], present: Iterable[KeyShareRecord], rows: PartyRows
) -> list[KeyShareRecord]:
    """Those that are to be added. Raises BackupError where backup and database do not go together.

    Arguments:
        backup: Checked, and sealed, as those that are `present`.
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
        if share.active and not there[share.epoch].active:
            raise BackupError(
                f"{name(share)}: in the database its key generation has not ended, in the backup "
                "it has. The database is an old one: restore into an empty one"
            )
    return added


async def restore(store: PartyStore, shares: Sequence[KeyShareRecord]) -> None:
    """Add them all, or none, in a new incarnation. Raises BackupError."""
    for share in await store.outdated(shares):
        raise BackupError(
            f"{name(share)}: the backup has epoch {share.epoch}, which is over: this party has had "
            "a later one since, and has deleted it. Use a newer backup"
        )
    await store.begin_incarnation(REASON)
    if not await store.add_sealed_key_shares(shares):
        raise BackupError("somebody else added one of these keys just now: restore again")


def _same(ours: KeyShareRecord, theirs: KeyShareRecord) -> bool:
    # Certificates are added as they come, and ECDSA's are not the same twice.
    return (ours.facts, ours.secret) == (theirs.facts, theirs.secret)
