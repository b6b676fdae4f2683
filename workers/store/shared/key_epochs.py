# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's questions about the epochs of keys, in words that both databases understand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..records import CoordinatorChange, KeyEpoch, Outcome, RetirementRecord
from ..rows import coordinator as rows
from ..rows.coordinator import KEY_EPOCH_COLUMNS
from .pools import SharedPools
from .retirements import EXPECT, SharedRetirements

EPOCHS = f"SELECT {KEY_EPOCH_COLUMNS} FROM epochs WHERE key_session = $1 ORDER BY epoch"

DUE = f"""
    SELECT {KEY_EPOCH_COLUMNS} FROM epochs WHERE due_at <= $1 ORDER BY due_at LIMIT $2
"""

PUT_OFF = "UPDATE epochs SET due_at = $3 WHERE key_session = $1 AND epoch = $2"

# A request has no result as long as it may have another try.
UNDER_WAY = """
    SELECT 1 FROM epochs JOIN requests ON requests.session_id = epochs.session_id
    WHERE epochs.key_session = $1 AND bundle IS NULL AND result_position IS NULL
"""

# Not while one is under way; it may have another try itself.
BEGIN = f"""
    INSERT INTO epochs (key_session, epoch, session_id)
    SELECT $1, $2, $3
    WHERE NOT EXISTS (SELECT 1 FROM epochs WHERE key_session = $1 AND epoch >= $2)
        AND (CAST($4 AS boolean) OR NOT EXISTS ({UNDER_WAY}))
    ON CONFLICT DO NOTHING
"""

MAKE = """
    UPDATE epochs SET bundle = $4, signs_from = $5, due_at = $6
    WHERE key_session = $1 AND epoch = $2 AND session_id = $3 AND bundle IS NULL
"""

MOVE_ON = "UPDATE keys SET epoch = $2, certified = $3 WHERE key_session = $1 AND epoch < $2"

FORGET_BELOW = tuple(
    f"DELETE FROM {table} WHERE key_session = $1 AND epoch < $2"
    for table in ("commitments", "presignatures", "pools")
)

Step: TypeAlias = tuple[str, tuple[object, ...], Outcome | None]
"""A statement, what it takes, and what the change ends with if it changes nothing."""


def steps(change: CoordinatorChange) -> Sequence[Step]:
    """What a change does to an epoch, besides the rest."""
    epoch = change.epoch
    if epoch is None:
        return ()
    name = epoch.key_session, epoch.epoch
    if epoch.bundle is None:
        begun = *name, epoch.session_id, change.succeeds is not None
        return ((BEGIN, begun, Outcome.EPOCH_TAKEN),)
    made = *name, epoch.session_id, epoch.bundle, epoch.signs_from, epoch.due_at
    return (
        (MAKE, made, Outcome.LOST_RACE),
        # Not if a later one was made meanwhile.
        (MOVE_ON, (*name, change.made), None),
        *((EXPECT, _expected(each), None) for each in change.retirements),
    )


def _expected(each: RetirementRecord) -> tuple[object, ...]:
    return each.key_session, each.epoch, each.party_id, each.shown, each.due_at


class SharedKeyEpochs(SharedPools, SharedRetirements):
    """What a coordinator's store knows of the epochs of keys."""

    async def key_epochs(self, key_session: bytes) -> list[KeyEpoch]:
        return [rows.key_epoch(row) for row in await self._database.fetch(EPOCHS, key_session)]

    async def reshare_under_way(self, key_session: bytes) -> bool:
        return bool(await self._database.fetch(UNDER_WAY, key_session))

    async def key_epochs_due(self, now: int, limit: int) -> list[KeyEpoch]:
        return [rows.key_epoch(row) for row in await self._database.fetch(DUE, now, limit)]

    async def put_off_key_epoch(self, key_session: bytes, epoch: int, due_at: int | None) -> None:
        await self._database.execute(PUT_OFF, key_session, epoch, due_at)

    async def forget_epochs_below(self, key_session: bytes, epoch: int) -> None:
        for statement in FORGET_BELOW:
            await self._database.execute(statement, key_session, epoch)
