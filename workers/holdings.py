"""What a party tells of its key shares: what they are for and how far their epochs are, never what
they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from .party import switching
from .store.interface import PartyStore
from .store.records import EpochRecord, EpochStatus, KeyShareRecord
from .store.tombstones import Tombstones


class Standing(StrEnum):
    """How far an epoch is, as people ask for it."""

    PENDING = "pending"
    """Its holders' certificates are not all here: it may come to nothing."""
    CERTIFIED = "certified"
    """It is proven, and the one before still signs, too."""
    ACTIVE = "active"
    LEAVING = "leaving"
    """A later one signs; what is here of it is about to be deleted."""
    SUSPENDED = "suspended"
    """It came from a backup, and other holders have not said yet that there is no later one."""
    RETIRED = "retired"

    @property
    def over(self) -> bool:
        """Whether it never signs again."""
        return self in {Standing.LEAVING, Standing.RETIRED}


async def told(store: PartyStore, tombstones: Tombstones, keep_ms: int = 0) -> list[dict[str, Any]]:
    """Of each key with a share here, each epoch that was more than begun, or has a share.

    Arguments:
        tombstones: Those of the party: a database that went back knows nothing of them.
        keep_ms: How long a share waits at most for a backup of the one that replaces it.

    Raises:
        WitnessError: The tombstones cannot be read.
    """
    keys: dict[bytes, list[KeyShareRecord]] = {}
    for share in await store.key_shares():
        keys.setdefault(share.key_session, []).append(share)
    return [
        row
        for key_session, shares in keys.items()
        for row in _key(
            shares,
            await store.epochs(key_session),
            tombstones.below(key_session),
            await switching.kept_until(store, key_session, keep_ms),
        )
    ]


def _key(
    shares: list[KeyShareRecord],
    records: Iterable[EpochRecord],
    below: int,
    kept_until: int | None,
) -> Iterable[dict[str, Any]]:
    known = {each.epoch: each for each in records}
    kept = {share.epoch: share for share in shares}
    active = max((e for e, each in known.items() if each.status is EpochStatus.ACTIVE), default=0)
    shown = [e for e, each in known.items() if each.status is not EpochStatus.BEGUN]
    client, _, tenant = shares[0].owner.partition("/")
    for epoch in sorted({*kept, *shown}):
        record, share = known.get(epoch), kept.get(epoch)
        standing = _standing(epoch, record, share, active=active, below=below)
        yield {
            "client": client or None,
            "tenant": tenant or None,
            "key": shares[0].key_id,
            "epoch": epoch,
            "status": standing.value,
            "since": None if record is None else _moment(record.at),
            "kept": share is not None,
            "usable": share is not None and share.active and not standing.over,
            "over": standing.over,
            "kept_until": (
                _moment(kept_until)
                if standing is Standing.LEAVING and kept_until is not None
                else None
            ),
            "session": shares[0].key_session.hex(),
        }


def _standing(
    epoch: int,
    record: EpochRecord | None,
    share: KeyShareRecord | None,
    *,
    active: int,
    below: int,
) -> Standing:
    if epoch < below:
        return Standing.RETIRED
    if epoch < active and (record is None or record.status is not EpochStatus.RETIRED):
        return Standing.LEAVING
    if record is None or record.status is EpochStatus.BEGUN:
        # The epoch that a key was made with, which none before had to be gone over from.
        usable = share is not None and share.active
        return Standing.ACTIVE if usable else Standing.PENDING
    return Standing(record.status.value)


def usable_in_words(row: dict[str, Any]) -> str:
    """Why not, if not."""
    match row["status"], row["kept"]:
        case _ if row["usable"]:
            return "yes"
        case Standing.RETIRED, True:
            return "no, and it should be gone: this database is one of before"
        case Standing.RETIRED, False:
            return "no, deleted"
        case Standing.LEAVING, True if row["kept_until"] is not None:
            return (
                "no, a later epoch signs; deleted when that is in a backup, or at "
                f"{row['kept_until']}"
            )
        case Standing.LEAVING, True:
            return "no, a later epoch signs; to be deleted"
        case Standing.SUSPENDED, True:
            return "no, it came from a backup, and the other holders are asked"
        case Standing.PENDING, True:
            return "no, certificates are missing"
        case _:
            return "no, this party has no share of it"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
