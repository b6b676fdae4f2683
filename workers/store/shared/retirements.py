"""What parties say of a key's earlier epochs, in words that both databases understand."""

from __future__ import annotations

from collections.abc import Iterable

from ..records import RetirementRecord
from ..rows.coordinator import retirement
from .sessions import SharedStore

KEEP_OWN = """
    INSERT INTO retirements (key_session, below, retirement, due_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (key_session) DO UPDATE
    SET below = excluded.below, retirement = excluded.retirement, due_at = excluded.due_at
    WHERE retirements.below < excluded.below
"""

OWN = "SELECT retirement FROM retirements WHERE key_session = $1"

OWN_DUE = "SELECT key_session FROM retirements WHERE due_at <= $1 ORDER BY due_at LIMIT $2"

TOLD = "UPDATE retirements SET due_at = NULL WHERE key_session = $1 AND below = $2"

# As a backup takes them, see `workers.backup`.
NOTE_BACKUP = """
    INSERT INTO backed_up (key_session, epoch, at)
    SELECT key_session, max(epoch), $1 FROM key_shares WHERE true GROUP BY key_session
    ON CONFLICT (key_session, epoch) DO UPDATE SET at = excluded.at
"""

BACKED_UP_AT = "SELECT max(at) AS at FROM backed_up WHERE key_session = $1 AND epoch < $2"

KEEP_BACKUP = """
    INSERT INTO kept_backups (key_session, epoch, at) VALUES ($1, $2, $3)
    ON CONFLICT (key_session, epoch) DO UPDATE SET at = excluded.at
"""

KEPT_BACKUP = "SELECT 1 FROM kept_backups WHERE key_session = $1 AND epoch = $2"

# Those that wait for a backup, not those whose sessions have some seconds to end.
LOOK_AGAIN = """
    UPDATE epochs SET due_at = $3
    WHERE key_session = $1 AND epoch = $2 AND status = 'active' AND due_at > $4
"""

KEPT_EPOCHS = "SELECT epoch FROM key_shares WHERE key_session = $1 ORDER BY epoch"

DROP_NONCES = "DELETE FROM nonces WHERE key_session = $1 AND epoch < $2"

DROP_PRESIGNATURES = "DELETE FROM presignatures WHERE key_session = $1 AND epoch < $2"

EXPECT = """
    INSERT INTO retirements (key_session, epoch, party_id, shown, due_at)
    VALUES ($1, $2, $3, $4, $5)
"""

OF_KEY = """
    SELECT key_session, epoch, party_id, shown, due_at, retirement FROM retirements
    WHERE key_session = $1
    ORDER BY epoch, party_id
"""

# Of epochs that are due together the lower first: a party believes in none before those below it.
DUE = """
    SELECT key_session, epoch, party_id, shown, due_at, retirement FROM retirements
    WHERE due_at <= $1
    ORDER BY due_at, epoch
    LIMIT $2
"""

PUT_OFF = """
    UPDATE retirements SET shown = shown + 1, due_at = $5
    WHERE key_session = $1 AND epoch = $2 AND party_id = $3 AND shown = $4 AND due_at IS NOT NULL
"""

HASTEN = "UPDATE retirements SET due_at = $2 WHERE party_id = $1 AND due_at > $2"

KEEP = """
    UPDATE retirements SET retirement = $4, due_at = NULL
    WHERE key_session = $1 AND party_id = $2 AND epoch <= $3 AND retirement IS NULL
"""

EXPECTED = "SELECT 1 FROM retirements WHERE key_session = $1 AND party_id = $2 LIMIT 1"


class SharedPartyRetirements(SharedStore):
    """What a party's store keeps of its own word."""

    async def retirement(self, key_session: bytes) -> str | None:
        found = await self._database.fetch(OWN, key_session)
        return found[0]["retirement"] if found else None

    async def retirements_due(self, now: int, limit: int) -> list[bytes]:
        return [row["key_session"] for row in await self._database.fetch(OWN_DUE, now, limit)]

    async def retirement_told(self, key_session: bytes, below: int) -> None:
        await self._database.execute(TOLD, key_session, below)

    async def note_backup(self, at: int) -> None:
        await self._database.execute(NOTE_BACKUP, at)

    async def backed_up_at(self, key_session: bytes, below: int) -> int | None:
        (found,) = await self._database.fetch(BACKED_UP_AT, key_session, below)
        at: int | None = found["at"]
        return at

    async def backup_kept(
        self, shares: Iterable[tuple[bytes, int]], at: int, *, unless_due_by: int
    ) -> None:
        for key_session, epoch in shares:
            await self._database.execute(KEEP_BACKUP, key_session, epoch, at)
            await self._database.execute(LOOK_AGAIN, key_session, epoch, at, unless_due_by)

    async def is_backed_up(self, key_session: bytes, epoch: int) -> bool:
        return bool(await self._database.fetch(KEPT_BACKUP, key_session, epoch))

    async def kept_epochs(self, key_session: bytes) -> list[int]:
        return [row["epoch"] for row in await self._database.fetch(KEPT_EPOCHS, key_session)]

    async def drop_prepared(self, key_session: bytes, below: int) -> None:
        await self._database.execute(DROP_NONCES, key_session, below)
        await self._database.execute(DROP_PRESIGNATURES, key_session, below)


class SharedRetirements(SharedStore):
    """What a coordinator's store keeps of the parties' words."""

    async def retirements(self, key_session: bytes) -> list[RetirementRecord]:
        return [retirement(row) for row in await self._database.fetch(OF_KEY, key_session)]

    async def retirements_due(self, now: int, limit: int) -> list[RetirementRecord]:
        return [retirement(row) for row in await self._database.fetch(DUE, now, limit)]

    async def put_off_retirement(self, record: RetirementRecord, due_at: int) -> bool:
        place = record.key_session, record.epoch, record.party_id, record.shown
        return bool(await self._database.execute(PUT_OFF, *place, due_at))

    async def hasten_retirements(self, party_id: str, now: int) -> int:
        return await self._database.execute(HASTEN, party_id, now)

    async def keep_retirement(
        self, key_session: bytes, party_id: str, below: int, retirement: str
    ) -> bool:
        if await self._database.execute(KEEP, key_session, party_id, below, retirement):
            return True
        return bool(await self._database.fetch(EXPECTED, key_session, party_id))
