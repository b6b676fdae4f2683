# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A party's questions, in words that both databases understand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from ..database import Database, Row
from ..incarnation import COLUMNS as INCARNATION_COLUMNS
from ..incarnation import record
from ..interface import StoreUnavailableError
from ..records import (
    BanRecord,
    EpochRecord,
    EvidenceRecord,
    IncarnationRecord,
    KeyShareRecord,
    Parked,
    TenantRecord,
    WordRecord,
)
from ..rows import party as rows
from ..rows.party import (
    BAN_COLUMNS,
    EPOCH_COLUMNS,
    EVIDENCE_COLUMNS,
    KEY_SHARE_COLUMNS,
    PartyRows,
)
from ..rows.sealed import Sealed
from ..sealing import ERASABLE_END
from ..tombstones import Tombstones
from . import sealed
from .erasing import ErasingStore
from .sessions import PURGED_AT_ONCE

INCARNATION = f"SELECT {INCARNATION_COLUMNS} FROM incarnation"

KEY_SHARE = f"SELECT {KEY_SHARE_COLUMNS} FROM key_shares WHERE key_session = $1 AND epoch = $2"

KEY_SHARES = f"SELECT {KEY_SHARE_COLUMNS} FROM key_shares ORDER BY owner, key_id, epoch"

ANY_KEY_SHARE = f"SELECT {KEY_SHARE_COLUMNS} FROM key_shares LIMIT 1"

# Of each version of the master key, which stands behind the first length (see `sealing`), one that
# needs an erasable key and one that does not. Where a key that is kept elsewhere says something
# else in the version's place, these are some of many.
KEY_SHARE_OF_EACH_VERSION = f"""
    SELECT {KEY_SHARE_COLUMNS} FROM key_shares
    WHERE (key_session, epoch) IN (
        SELECT key_session, epoch FROM (
            SELECT key_session, epoch,
                row_number() OVER (
                    PARTITION BY substr(secret, 5, 4), substr(secret, length(secret) - $1) = $2
                ) AS place
            FROM key_shares
        ) AS placed
        WHERE place = 1
        LIMIT 20
    )
"""

ERASABLE = len(ERASABLE_END) - 1, ERASABLE_END
ANY_ERASABLE = "SELECT 1 FROM key_shares WHERE substr(secret, length(secret) - $1) = $2 LIMIT 1"

KEY_SHARES_OF = f"""
    SELECT {KEY_SHARE_COLUMNS} FROM key_shares
    WHERE owner = $1
    ORDER BY key_id, epoch
"""

# A share without a certified name is one of before there were any, or was restored.
NAME_TAKEN = """
    SELECT 1 FROM certified_names WHERE owner = $1 AND key_id = $2 AND key_session <> $3
    UNION ALL
    SELECT 1 FROM key_shares WHERE owner = $1 AND key_id = $2 AND key_session <> $3
"""

TENANTS = """
    SELECT DISTINCT tenants.key_session, owner, tenant, given_at
    FROM tenants JOIN key_shares USING (key_session)
    ORDER BY tenants.key_session
"""

EPOCHS = f"SELECT {EPOCH_COLUMNS} FROM epochs WHERE key_session = $1 ORDER BY epoch"

KEYS_DUE = """
    SELECT key_session FROM epochs
    WHERE due_at <= $1
    GROUP BY key_session
    ORDER BY min(due_at)
    LIMIT $2
"""

PUT_OFF_EPOCH = "UPDATE epochs SET due_at = $3 WHERE key_session = $1 AND epoch = $2"

# What is below it was not retired by whoever has just restored it.
RESUME_EPOCH = """
    UPDATE epochs
    SET status = 'active', at = $3, due_at = CASE WHEN epoch > 0 THEN CAST($3 AS bigint) END
    WHERE key_session = $1 AND epoch = $2 AND status = 'suspended'
        AND NOT EXISTS (
            SELECT 1 FROM epochs WHERE key_session = $1 AND epoch > $2 AND bundle IS NOT NULL
        )
"""

RESUME_SHARE = "UPDATE key_shares SET active = true WHERE key_session = $1 AND epoch = $2"

# The one that makes the key is about none.
SESSIONS_UNDER_WAY = """
    SELECT session_id FROM sessions
    WHERE (key_session = $1 OR session_id = $1) AND ended_at IS NULL
"""

# A newer epoch than the share's was proven here, or the share's own was retired.
OUTDATED = """
    SELECT 1 FROM epochs
    WHERE key_session = $1
        AND (epoch > $2 AND bundle IS NOT NULL OR epoch = $2 AND status = 'retired')
"""

RETIRED_SINCE = "SELECT key_session, epoch FROM epochs WHERE status = 'retired' AND at >= $1"

PURGE_RETIRED = tuple(
    f"DELETE FROM {table} WHERE (key_session, epoch) IN ({RETIRED_SINCE})"
    for table in ("nonces", "presignatures")
)

# The oldest nonces go: nobody has asked for them the longest.
TRIM_NONCES = """
    DELETE FROM nonces WHERE nonce_id IN (
        SELECT nonce_id FROM nonces
        WHERE key_session = $1 AND epoch = $2 AND scheme = $3
        ORDER BY made_at DESC, nonce_id
        LIMIT 1000000 OFFSET $4
    )
"""

# The oldest go here as well, for the coordinator asks for the newest ones first.
TRIM_PRESIGNATURES = """
    DELETE FROM presignatures WHERE (batch, position) IN (
        SELECT batch, position FROM presignatures
        WHERE key_session = $1 AND epoch = $2
        ORDER BY made_at DESC, batch DESC, position DESC
        LIMIT 1000000 OFFSET $3
    )
"""

TRIM_ALL_PRESIGNATURES = """
    DELETE FROM presignatures WHERE (batch, position) IN (
        SELECT batch, position FROM presignatures
        ORDER BY made_at DESC, batch DESC, position DESC
        LIMIT 1000000 OFFSET $1
    )
"""

BANS = f"SELECT {BAN_COLUMNS} FROM bans ORDER BY party_id"

LIFT_BAN = "DELETE FROM bans WHERE party_id = $1"

# Two workers may each add one at the same time; one more does no harm.
KEEP_EVIDENCE = f"""
    INSERT INTO evidence ({EVIDENCE_COLUMNS})
    SELECT $1, $2, $3, $4, $5, $6
    WHERE (SELECT count(*) FROM evidence WHERE sender = $3) < $7
    ON CONFLICT DO NOTHING
"""

EVIDENCE = f"SELECT {EVIDENCE_COLUMNS} FROM evidence ORDER BY at DESC, session_id, slot, sender"

DISCARD_EVIDENCE = "DELETE FROM evidence WHERE session_id = $1"

# In the order in which they came.
PARKED = """
    SELECT session_id, sender, slot, body FROM parked
    WHERE session_id = $1
    ORDER BY parked_at, slot, sender
"""

UNPARK = "DELETE FROM parked WHERE session_id = $1"

# What was parked for sessions that never began.
PURGE_PARKED = "DELETE FROM parked WHERE parked_at < $1"


STATEMENT = "SELECT statement FROM cancellations WHERE owner = $1 AND request_id = $2"

SESSIONS_OF = """
    SELECT session_id FROM answers WHERE owner = $1 AND request_id = $2 ORDER BY session_id
"""

PURGE_ANSWERS = f"""
    DELETE FROM answers WHERE (owner, request_id, session_id) IN (
        SELECT owner, request_id, session_id FROM answers
        WHERE at < $1
        ORDER BY at
        LIMIT {PURGED_AT_ONCE}
    )
"""

PURGE_CANCELLATIONS = "DELETE FROM cancellations WHERE forbidden_until < $1"

PROMISED = "SELECT 1 FROM promises WHERE key_session = $1 AND owner = $2 AND until >= $3"

# None begins as long as one that another request asked for may still be made: its session is under
# way here, or our word is out and others may give theirs.
BUSY = """
    SELECT 1 FROM epochs AS other
    WHERE key_session = $1 AND request_digest <> $2 AND open_until >= $3 AND (
        status = 'pending' OR status = 'begun' AND EXISTS (
            SELECT 1 FROM sessions WHERE sessions.session_id = other.session_id AND ended_at IS NULL
        )
    ) AND NOT EXISTS (
        SELECT 1 FROM epochs WHERE key_session = $1 AND epoch > other.epoch AND bundle IS NOT NULL
    )
"""

PURGE_PROMISES = "DELETE FROM promises WHERE until < $1"

# What was proven or held before there were sessions here is there without one.
SIGNING_EPOCHS = """
    SELECT epoch, session_id FROM words WHERE key_session = $1 AND NOT implied
    UNION
    SELECT epoch, NULL FROM epochs WHERE key_session = $1 AND bundle IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM words
            WHERE words.key_session = epochs.key_session AND words.epoch = epochs.epoch
        )
    UNION
    SELECT epoch, NULL FROM key_shares WHERE key_session = $1 AND epoch > 0
        AND NOT EXISTS (
            SELECT 1 FROM words
            WHERE words.key_session = key_shares.key_session AND words.epoch = key_shares.epoch
        )
    ORDER BY epoch, session_id
"""

OWNERS = "SELECT DISTINCT owner FROM key_shares WHERE key_session = $1"


def tombstones_beside(witness: Path) -> Path:
    return witness.with_name(f"{witness.name}.epochs")


class SharedPartyStore(ErasingStore):
    """The half of a party's store that both databases share."""

    def __init__(self, database: Database, rows: PartyRows, witness: Path | None) -> None:
        beside = None if witness is None else Tombstones(tombstones_beside(witness))
        super().__init__(database, rows, beside)
        self._fenced = witness is not None
        self._memory: IncarnationRecord | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            if self._fenced and not await self._database.fetch(ANY_ERASABLE, *ERASABLE):
                await asyncio.to_thread(self._rows.halves.begin)
            await self._open_one_of_each_version()
            await self.attest()
        except BaseException:
            await self._database.close()
            raise
        return self

    async def _open_one_of_each_version(self) -> None:
        """Raises SealError: where some are sealed again, another version may still be needed."""
        for row in await self._database.fetch(KEY_SHARE_OF_EACH_VERSION, *ERASABLE):
            self._key_share(row)

    async def ping(self) -> None:
        """Raises SealError, too: better now than with the first signature."""
        await super().ping()
        for row in await self._database.fetch(ANY_KEY_SHARE):
            self._key_share(row)

    async def key_share(self, key_session: bytes, epoch: int) -> KeyShareRecord | None:
        found = await self._database.fetch(KEY_SHARE, key_session, epoch)
        return self._key_share(found[0]) if found else None

    async def key_shares(self, owner: str | None = None) -> list[KeyShareRecord]:
        if owner is None:
            found = await self._database.fetch(KEY_SHARES)
        else:
            found = await self._database.fetch(KEY_SHARES_OF, owner)
        shares = [rows.public_key_share(row) for row in found]
        return [replace(share, active=share.active and not self._over(share)) for share in shares]

    async def outdated(self, shares: Sequence[KeyShareRecord]) -> list[KeyShareRecord]:
        found = []
        for share in shares:
            key = (share.key_session, share.epoch)
            if self._is_over(share) or await self._database.fetch(OUTDATED, *key):
                found.append(share)
        return found

    async def name_taken(self, owner: str, key_id: str, key_session: bytes) -> bool:
        return bool(await self._database.fetch(NAME_TAKEN, owner, key_id, key_session))

    async def epochs(self, key_session: bytes) -> list[EpochRecord]:
        return [rows.epoch(row) for row in await self._database.fetch(EPOCHS, key_session)]

    async def owners(self, key_session: bytes) -> list[str]:
        return [row["owner"] for row in await self._database.fetch(OWNERS, key_session)]

    async def signing_epochs(self, key_session: bytes) -> list[WordRecord]:
        found = await self._database.fetch(SIGNING_EPOCHS, key_session)
        return [rows.word(row) for row in found]

    async def promised(self, key_session: bytes, owner: str, now: int) -> bool:
        return bool(await self._database.fetch(PROMISED, key_session, owner, now))

    async def is_busy(self, key_session: bytes, digest: bytes, now: int) -> bool:
        return bool(await self._database.fetch(BUSY, key_session, digest, now))

    async def keys_due(self, now: int, limit: int) -> list[bytes]:
        return [row["key_session"] for row in await self._database.fetch(KEYS_DUE, now, limit)]

    async def put_off_epoch(self, key_session: bytes, epoch: int, due_at: int | None) -> None:
        await self._database.execute(PUT_OFF_EPOCH, key_session, epoch, due_at)

    async def sessions_under_way(self, key_session: bytes) -> list[bytes]:
        found = await self._database.fetch(SESSIONS_UNDER_WAY, key_session)
        return [row["session_id"] for row in found]

    async def purge_retired(self, *, since: int) -> int:
        return sum([await self._database.execute(each, since) for each in PURGE_RETIRED])

    async def tenants(self) -> list[TenantRecord]:
        return [rows.tenant(row) for row in await self._database.fetch(TENANTS)]

    async def trim_nonces(self, key_session: bytes, epoch: int, scheme: str, keep: int) -> int:
        return await self._database.execute(TRIM_NONCES, key_session, epoch, scheme, keep)

    async def trim_presignatures(
        self, key_session: bytes, epoch: int, *, keep: int, keep_in_all: int
    ) -> int:
        # Two transactions: if it is only the first, the next trimming does the rest.
        trimmed = await self._database.execute(TRIM_PRESIGNATURES, key_session, epoch, keep)
        return trimmed + await self._database.execute(TRIM_ALL_PRESIGNATURES, keep_in_all)

    async def attest(self) -> None:
        self._rows.halves.let_go()
        await self._database.attest()

    async def incarnation(self) -> IncarnationRecord | None:
        found = await self._database.fetch(INCARNATION)
        return record(found[0]) if found else None

    async def memory(self) -> IncarnationRecord:
        if self._memory is None or self._memory.incarnation != self._rows.incarnation:
            found = await self.incarnation()
            if found is None:
                await self.attest()
                raise StoreUnavailableError("the database has lost its incarnation just now")
            self._memory = found
        return self._memory

    async def statement(self, owner: str, request_id: str) -> str | None:
        found = await self._database.fetch(STATEMENT, owner, request_id)
        return found[0]["statement"] if found else None

    async def sessions_of(self, owner: str, request_id: str) -> list[bytes]:
        found = await self._database.fetch(SESSIONS_OF, owner, request_id)
        return [row["session_id"] for row in found]

    async def purge_answers(self, *, before: int) -> int:
        return await self._database.execute(PURGE_ANSWERS, before)

    async def purge_cancellations(self, *, before: int) -> int:
        await self._database.execute(PURGE_PROMISES, before)
        return await self._database.execute(PURGE_CANCELLATIONS, before)

    async def sealed_key_shares(self) -> list[KeyShareRecord]:
        return [rows.sealed_key_share(row) for row in await self._database.fetch(KEY_SHARES)]

    async def count_sealed(self, kind: Sealed) -> int:
        return await sealed.count(self._database, kind)

    async def sealed_page(
        self, kind: Sealed, after: tuple[object, ...] | None, limit: int
    ) -> Sequence[Row]:
        return await sealed.page(self._database, kind, after, limit)

    async def replace_sealed(self, kind: Sealed, row: Row, secret: bytes) -> bool:
        return await sealed.replace(self._database, kind, row, secret)

    async def states_under_way(self) -> list[bytes]:
        found = await self._database.fetch(sealed.SESSIONS_UNDER_WAY)
        return [row["state"] for row in found]

    async def bans(self) -> list[BanRecord]:
        return [rows.ban(row) for row in await self._database.fetch(BANS)]

    async def lift_ban(self, party_id: str) -> bool:
        return bool(await self._database.execute(LIFT_BAN, party_id))

    async def keep_evidence(self, evidence: EvidenceRecord, *, max_count: int) -> bool:
        values = rows.evidence_values(evidence)
        return bool(await self._database.execute(KEEP_EVIDENCE, *values, max_count))

    async def evidence(self) -> list[EvidenceRecord]:
        return [rows.evidence(row) for row in await self._database.fetch(EVIDENCE)]

    async def discard_evidence(self, session_id: bytes) -> int:
        return await self._database.execute(DISCARD_EVIDENCE, session_id)

    async def parked(self, session_id: bytes) -> list[Parked]:
        return [rows.parked(row) for row in await self._database.fetch(PARKED, session_id)]

    async def unpark(self, session_id: bytes) -> None:
        await self._database.execute(UNPARK, session_id)

    async def purge_parked(self, *, before: int) -> int:
        return await self._database.execute(PURGE_PARKED, before)
