# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A party's store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contracts.requests import MAX_TRIES

from ..database import RefusedError, Row
from ..records import (
    EpochRecord,
    KeyShareRecord,
    Outcome,
    Parked,
    PartyChange,
    PresignatureRecord,
    SigningMaterial,
    TenantRecord,
    WordRecord,
)
from ..rows import party
from ..rows.party import KEY_SHARE_COLUMNS, NONCE_COLUMNS, PartyRows
from ..shared.party import RESUME_EPOCH, SharedPartyStore
from ..shared.retirements import KEEP_OWN
from .database import PostgresDatabase
from .fence import PostgresFence
from .groups import Question
from .sessions import INBOX, PostgresStore, advance_values, arrays, inbox, purge_statement


def _prefixed(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column} AS {table}_{column}" for column in columns.split(", "))


# The session, the key share and the nonce, each null if it is not there.
_MATERIAL = f"""
    SELECT sessions.session_id, version, protocol, sessions.key_session, status, deadline, state,
        received.*,
        {_prefixed("key_shares", KEY_SHARE_COLUMNS)},
        {_prefixed("nonces", NONCE_COLUMNS)}
    FROM ({INBOX}) AS received
    LEFT JOIN sessions ON sessions.session_id = $1
    LEFT JOIN key_shares ON key_shares.key_session = $2 AND key_shares.epoch = $3
    LEFT JOIN nonces ON nonces.nonce_id = $4
"""

SIGNING_MATERIAL = Question(f"SELECT $5::bigint AS place, * FROM ({_MATERIAL}) AS material")

# The same with presignatures, as one row of arrays in the order in which they were asked for.
#
# The inner SELECTs hide how many there are: a plan made for one would be made anew for each.
PRESIGNING_MATERIAL = Question(
    f"""
    SELECT $7::bigint AS place, * FROM ({_MATERIAL}) AS material, (
        SELECT array_agg(key_session ORDER BY place) AS presignature_keys,
            array_agg(epoch ORDER BY place) AS presignature_epochs,
            array_agg(secret ORDER BY place) AS presignature_secrets
        FROM unnest((SELECT $5::bytea[]), (SELECT $6::bigint[])) WITH ORDINALITY
            AS asked (batch, position, place)
            LEFT JOIN presignatures USING (batch, position)
    ) AS asked
"""
)

# All or none.
ADD_KEY_SHARES = f"""
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest(
            $1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
            $8::boolean[]
        ) AS wanted ({KEY_SHARE_COLUMNS})
    )
    , added AS (
        INSERT INTO key_shares ({KEY_SHARE_COLUMNS})
        SELECT {KEY_SHARE_COLUMNS} FROM wanted
        WHERE NOT EXISTS (SELECT FROM key_shares JOIN wanted USING (key_session))
            AND NOT EXISTS (
                SELECT FROM epochs JOIN wanted USING (key_session)
                WHERE epochs.epoch > wanted.epoch AND bundle IS NOT NULL
                    OR epochs.epoch = wanted.epoch AND status = 'retired'
            )
        RETURNING key_session
    ), suspended AS (
        INSERT INTO epochs (key_session, epoch, session_id, status, at, due_at)
        SELECT key_session, epoch, session_id, 'suspended', at, at
        FROM unnest($9::bytea[], $10::bigint[], $11::bytea[], $12::bigint[])
            AS suspended (key_session, epoch, session_id, at)
        WHERE EXISTS (SELECT FROM added)
        ON CONFLICT (key_session, epoch) DO UPDATE
        SET session_id = excluded.session_id, status = excluded.status, at = excluded.at,
            due_at = excluded.due_at
    ), named AS (
        INSERT INTO words (key_session, epoch, session_id)
        SELECT key_session, epoch, session_id
        FROM unnest($13::bytea[], $14::bigint[], $15::bytea[])
            AS named (key_session, epoch, session_id)
        WHERE EXISTS (SELECT FROM added)
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) AS count FROM added
"""

RESUME = f"""
    WITH resumed AS ({RESUME_EPOCH} RETURNING key_session, epoch)
    UPDATE key_shares SET active = true FROM resumed
    WHERE key_shares.key_session = resumed.key_session AND key_shares.epoch = resumed.epoch
"""

_NO_SHARE = (None,) * 8


class PostgresPartyStore(SharedPartyStore, PostgresStore):
    """Each method is one statement, fenced where it writes what is ephemeral."""

    purging = purge_statement("inbox", "outbox", "parked")

    def __init__(
        self, url: str, rows: PartyRows, *, witness: Path | None, max_connections: int
    ) -> None:
        self._fence = None if witness is None else PostgresFence(witness, rows.enter)
        self._database = PostgresDatabase(url, max_connections=max_connections, fence=self._fence)
        super().__init__(self._database, rows, witness)

    async def _commit(self, change: PartyChange) -> Outcome:
        rows, share = self._rows, change.key_share
        presigning = self._presigning_values(change)
        then, about = _about_request(change)
        function = "commit_party_v1"
        if presigning:
            function = "commit_party_and_presignatures_v1"
        elif change.epoch is not None:
            function = "commit_party_and_epoch_v3"
        elif share is not None:
            function = "commit_party_and_key_v1"
        committed = await self._database.call_in(
            rows.incarnation if change.forbids is None else change.forbids.incarnation,
            function,
            *advance_values(rows, change, change.outgoing),
            change.take_nonce,
            *arrays([rows.nonce_values(nonce) for nonce in change.nonces], 5),
            *(_NO_SHARE if share is None else rows.key_share_values(share)),
            *presigning,
            *_epoch_values(change),
            then=then,
            about=about,
        )
        return Outcome.COMMITTED if committed else Outcome.LOST_RACE

    async def signing_material(
        self,
        session_id: bytes,
        *,
        key_session: bytes,
        epoch: int,
        nonce_id: bytes | None = None,
        presignatures: Sequence[tuple[bytes, int]] = (),
    ) -> SigningMaterial:
        values = (session_id, key_session, epoch, nonce_id)
        if presignatures:
            (row,) = await self._database.ask(
                PRESIGNING_MATERIAL, *values, *arrays(presignatures, 2)
            )
        else:
            (row,) = await self._database.ask(SIGNING_MATERIAL, *values)
        share, nonce = _Part(row, "key_shares_"), _Part(row, "nonces_")
        return SigningMaterial(
            session=None if row["session_id"] is None else self._rows.session(row, inbox(row)),
            key_share=None if share["key_session"] is None else self._key_share(share),
            nonce=None if nonce["nonce_id"] is None else self._unless_over(self._rows.nonce, nonce),
            presignatures=tuple(self._presignatures(row, presignatures)),
        )

    def _presigning_values(self, change: PartyChange) -> tuple[object, ...]:
        """What only some changes say; nothing if this one does not."""
        taken, made, bans = change.take_presignatures, change.presignatures, change.bans
        if not (taken or made or bans or change.forget_sent):
            return ()
        return (
            *arrays(taken, 2),
            *arrays([self._rows.presignature_values(presignature) for presignature in made], 5),
            *arrays([party.ban_values(ban) for ban in bans], 4),
            change.forget_sent,
        )

    def _presignatures(
        self, row: Row, asked: Sequence[tuple[bytes, int]]
    ) -> Iterator[PresignatureRecord | None]:
        if not asked:
            return
        found = zip(
            row["presignature_keys"],
            row["presignature_epochs"],
            row["presignature_secrets"],
            strict=True,
        )
        for place, values in zip(asked, found, strict=True):
            columns = zip(party.PRESIGNATURE_NAMES, (*place, *values), strict=True)
            yield (
                None
                if None in values
                else self._unless_over(self._rows.presignature, dict(columns))
            )

    async def begin_incarnation(self, reason: str) -> None:
        if self._fence is None:
            raise party.NoIncarnationError
        await self._database.begin_incarnation(self._fence, reason)

    async def add_sealed_key_shares(
        self, shares: Sequence[KeyShareRecord], *, suspended_at: int | None = None
    ) -> bool:
        asks = suspended_at is not None
        values = [
            party.sealed_key_share_values(replace(share, active=share.active and not asks))
            for share in shares
        ]
        suspended = [
            party.suspended_values(share, suspended_at) for share in shares if share.active and asks
        ]
        words = [word for share in shares if (word := party.word_values(share)) is not None]
        (row,) = await self._database.fetch(
            ADD_KEY_SHARES, *arrays(values, 8), *arrays(suspended, 4), *arrays(words, 3)
        )
        return bool(row["count"] == len(shares))

    async def resume_epoch(self, key_session: bytes, epoch: int, now: int) -> bool:
        return bool(await self._database.execute(RESUME, key_session, epoch, now))

    async def give_tenant(self, given: TenantRecord) -> Outcome:
        values = (given.key_session, given.owner, given.tenant, given.given_at)
        try:
            done = await self._database.call("give_tenant_v1", *values)
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED if done else Outcome.LOST_RACE

    async def certify_epoch(
        self,
        record: EpochRecord,
        certificates: Mapping[str, bytes] | None,
        *,
        before: WordRecord | None = None,
    ) -> bool:
        values = party.certified_values(record, certificates)
        came = (None, None) if before is None else (before.epoch, before.session_id)
        return await self._database.call("certify_epoch_v2", *values, *came)

    async def activate_epoch(self, key_session: bytes, epoch: int, now: int, due_at: int) -> bool:
        return await self._database.call("activate_epoch_v1", key_session, epoch, now, due_at)

    async def retire_epochs(
        self, key_session: bytes, below: int, sessions: Sequence[bytes], now: int, retirement: str
    ) -> bool:
        if not await self._leave_behind(key_session, below):
            return False
        try:
            done = await self._database.call_and(
                KEEP_OWN,
                (key_session, below, retirement, now),
                "retire_epochs_v1",
                *(key_session, below, list(sessions), now),
            )
        except RefusedError:
            return False
        await self._erase_below(key_session, below)
        return done

    async def park(self, parked: Parked, *, max_count: int, max_bytes: int, now: int) -> bool:
        return await self._database.call_in(
            self._rows.incarnation,
            "park_v1",
            parked.session_id,
            parked.slot,
            parked.sender,
            parked.body,
            max_count,
            max_bytes,
            now,
        )

    async def end(self, session_id: bytes, status: str, now: int) -> bool:
        return await self._database.call("end_session_v2", session_id, status, now)


def _epoch_values(change: PartyChange) -> tuple[object, ...]:
    """What only a reshare says."""
    if change.epoch is None:
        return ()
    step = change.epoch
    name = step.key_session, step.epoch, step.status.value
    return *name, change.at, step.owner, step.digest, step.open_until


def _about_request(change: PartyChange) -> tuple[str, tuple[object, ...]]:
    """The function for what few changes say, with what it takes; nothing if this one does not."""
    if change.answers is not None:
        values = party.answer_values(change, change.answers)
        return "answer_request_v1", (*values, change.answers.counts_until, MAX_TRIES)
    if change.forbids is not None:
        values = (*party.cancellation_values(change.forbids), change.at, change.forbids.limit)
        promise = change.forbids.promise
        if promise is not None:
            named = arrays([(each.epoch, each.session_id) for each in promise.epochs], 2)
            return "forbid_and_promise_v2", (*values, promise.key_session, *named)
        return "forbid_request_v1", values
    return "", ()


class _Part:
    """The columns of a joined row that belong to one of its tables."""

    def __init__(self, row: Row, prefix: str) -> None:
        self._row = row
        self._prefix = prefix

    def __getitem__(self, column: str, /) -> Any:
        return self._row[self._prefix + column]
