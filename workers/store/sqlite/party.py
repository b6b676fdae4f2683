# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""A party's store in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.requests import MAX_TRIES
from contracts.results import Status

from ..database import RefusedError
from ..interface import StoreUnavailableError
from ..records import (
    AnswerRecord,
    CancellationRecord,
    EpochRecord,
    KeyShareRecord,
    NonceRecord,
    Outcome,
    Parked,
    PartyChange,
    PresignatureRecord,
    SigningMaterial,
    TenantRecord,
    WordRecord,
)
from ..rows import party as rows
from ..rows.party import (
    ANSWER_COLUMNS,
    BAN_COLUMNS,
    CANCELLATION_COLUMNS,
    KEY_SHARE_COLUMNS,
    NONCE_COLUMNS,
    PRESIGNATURE_COLUMNS,
    PartyRows,
)
from ..shared.party import (
    INCARNATION,
    KEY_SHARE,
    NAME_TAKEN,
    OUTDATED,
    UNPARK,
    SharedPartyStore,
)
from . import key_epochs
from .database import SqliteDatabase, change, now, select
from .fence import SqliteFence
from .sessions import SqliteStore, advance, load

NONCE = f"SELECT {NONCE_COLUMNS} FROM nonces WHERE nonce_id = $1"

TAKE_NONCE = "DELETE FROM nonces WHERE nonce_id = $1"

ADD_NONCE = f"INSERT INTO nonces ({NONCE_COLUMNS}, made_at) VALUES ($1, $2, $3, $4, $5, $6)"

PRESIGNATURE = f"""
    SELECT {PRESIGNATURE_COLUMNS} FROM presignatures WHERE batch = $1 AND position = $2
"""

TAKE_PRESIGNATURE = "DELETE FROM presignatures WHERE batch = $1 AND position = $2"

ADD_PRESIGNATURE = f"""
    INSERT INTO presignatures ({PRESIGNATURE_COLUMNS}, made_at) VALUES ($1, $2, $3, $4, $5, $6)
"""

# Megabytes that nobody asks for again.
FORGET_SENT_BY_BATCH = """
    DELETE FROM outbox WHERE session_id = $1
        AND EXISTS (SELECT 1 FROM sessions WHERE session_id = $1 AND protocol = 'presign')
"""

FORGET_BATCH = "DELETE FROM presignatures WHERE batch = $1"

BAN = f"INSERT INTO bans ({BAN_COLUMNS}) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"

SAVE_KEY_SHARE = f"""
    INSERT INTO key_shares ({KEY_SHARE_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (key_session, epoch) DO UPDATE
    SET owner = excluded.owner, key_id = excluded.key_id, facts = excluded.facts,
        certificates = excluded.certificates, secret = excluded.secret, active = excluded.active
    WHERE NOT key_shares.active
"""

ADD_KEY_SHARE = f"""
    INSERT INTO key_shares ({KEY_SHARE_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

CLAIM_NAME = """
    INSERT INTO certified_names (owner, key_id, key_session) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""

NAME = "SELECT key_session FROM certified_names WHERE owner = $1 AND key_id = $2"

KEY_ID = "SELECT key_id FROM key_shares WHERE key_session = $1"

GIVE_TENANT = """
    INSERT INTO tenants (key_session, tenant, given_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

SET_OWNER = "UPDATE key_shares SET owner = $2 WHERE key_session = $1"

ANY_EPOCH = "SELECT 1 FROM key_shares WHERE key_session = $1"

FORGET_SENT = "DELETE FROM outbox WHERE session_id = $1 AND cause <> $2"

FORGET_INBOX = "DELETE FROM inbox WHERE session_id = $1"

CANCELLED = "SELECT 1 FROM cancellations WHERE owner = $1 AND request_id = $2"

ANSWERS = "SELECT session_id, digest, committed FROM answers WHERE owner = $1 AND request_id = $2"

ANSWER = f"""
    INSERT INTO answers ({ANSWER_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (owner, request_id, session_id) DO UPDATE
    SET committed = committed OR excluded.committed, at = excluded.at
"""

LIVE_CANCELLATIONS = """
    SELECT count(*) AS count FROM cancellations WHERE owner = $1 AND forbidden_until >= $2
"""

FORBID = f"""
    INSERT INTO cancellations ({CANCELLATION_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (owner, request_id) DO UPDATE
    SET issued_until = max(issued_until, excluded.issued_until),
        forbidden_until = max(forbidden_until, excluded.forbidden_until),
        statement = CASE
            WHEN excluded.issued_until >= issued_until THEN coalesce(excluded.statement, statement)
            ELSE coalesce(statement, excluded.statement)
        END
"""

# What stands against parking a message, and what its sender has parked already.
PARKING = """
    SELECT count(*) AS count, coalesce(sum(length(body)), 0) AS bytes,
        EXISTS (SELECT 1 FROM sessions WHERE session_id = $1) AS begun,
        EXISTS (
            SELECT 1 FROM parked WHERE session_id = $1 AND slot = $2 AND sender = $3
        ) AS repeated
    FROM parked
    WHERE sender = $3
"""

PARK = "INSERT INTO parked (session_id, slot, sender, body, parked_at) VALUES ($1, $2, $3, $4, $5)"

# Over from now on, even if it was never here.
END = """
    INSERT INTO sessions
        (session_id, version, protocol, status, deadline, state, created_at, ended_at)
    VALUES ($1, 1, '', $2, $3, x'', $3, $3)
    ON CONFLICT (session_id) DO UPDATE
    SET version = version + 1, status = excluded.status, state = x'', ended_at = excluded.ended_at
    WHERE sessions.ended_at IS NULL
"""


class SqlitePartyStore(SharedPartyStore, SqliteStore):
    """Each method is one function in the connection's thread, fenced."""

    tables = ("inbox", "outbox", "parked", "sessions")

    def __init__(self, path: Path, rows: PartyRows, *, witness: Path | None) -> None:
        self._fence = None if witness is None else SqliteFence(witness, rows.enter)
        self._database = SqliteDatabase(path, self._fence)
        super().__init__(self._database, rows, witness)

    async def _commit(self, change: PartyChange) -> Outcome:
        if self._fence is None:
            raise rows.NoIncarnationError
        await self._database.write(lambda connection: self._change(connection, change))
        return Outcome.COMMITTED

    def _change(self, connection: sqlite3.Connection, wanted: PartyChange) -> None:
        # The session first: whoever loses that race must hear so, and not that the nonce is gone.
        advance(connection, self._rows, wanted, wanted.outgoing)
        if wanted.take_nonce is not None and not change(connection, TAKE_NONCE, wanted.take_nonce):
            raise RefusedError(Outcome.NONCE_GONE)
        for place in wanted.take_presignatures:
            if not change(connection, TAKE_PRESIGNATURE, *place):
                raise RefusedError(Outcome.PRESIGNATURE_GONE)
        self._add(connection, wanted)
        if wanted.forget_sent:
            change(connection, FORGET_SENT, wanted.session_id, wanted.cause)
        if Status(wanted.status).final:
            change(connection, FORGET_INBOX, wanted.session_id)
        if wanted.answers is not None:
            _answer(connection, wanted, wanted.answers)
        if wanted.forbids is not None:
            _forbid(connection, wanted, wanted.forbids)

    def _add(self, connection: sqlite3.Connection, wanted: PartyChange) -> None:
        at = now()
        for nonce in wanted.nonces:
            change(connection, ADD_NONCE, *self._rows.nonce_values(nonce), at)
        for made in wanted.presignatures:
            change(connection, ADD_PRESIGNATURE, *self._rows.presignature_values(made), at)
        for ban in wanted.bans:
            change(connection, BAN, *rows.ban_values(ban))
        if wanted.epoch is not None:
            key_epochs.move(connection, wanted, wanted.epoch)
        if wanted.key_share is not None:
            save = SAVE_KEY_SHARE if wanted.epoch is None else ADD_KEY_SHARE
            self._certify(connection, wanted.key_share, save)

    def _certify(self, connection: sqlite3.Connection, share: KeyShareRecord, save: str) -> None:
        name = (share.owner, share.key_id, share.key_session)
        if select(connection, NAME_TAKEN, *name):
            raise RefusedError(Outcome.KEY_EXISTS)
        change(connection, CLAIM_NAME, *name)
        change(connection, save, *self._rows.key_share_values(share))

    async def certify_epoch(
        self,
        record: EpochRecord,
        certificates: Mapping[str, bytes] | None,
        *,
        before: WordRecord | None = None,
    ) -> bool:
        return await self._database.write(
            lambda connection: key_epochs.certify(connection, record, certificates, before)
        )

    async def activate_epoch(self, key_session: bytes, epoch: int, now: int, due_at: int) -> bool:
        return await self._database.write(
            lambda connection: key_epochs.activate(connection, key_session, epoch, now, due_at)
        )

    async def retire_epochs(
        self, key_session: bytes, below: int, sessions: Sequence[bytes], now: int, retirement: str
    ) -> bool:
        if not await self._leave_behind(key_session, below):
            return False

        def work(connection: sqlite3.Connection) -> bool:
            for session_id in sessions:
                _end(connection, session_id, Status.FAILED.value, now)
            key_epochs.retire(connection, key_session, below, now, retirement)
            return True

        done = await self._database.write(work)
        await self._erase_below(key_session, below)
        await self._database.forget_log()
        return done

    async def signing_material(
        self,
        session_id: bytes,
        *,
        key_session: bytes,
        epoch: int,
        nonce_id: bytes | None = None,
        presignatures: Sequence[tuple[bytes, int]] = (),
    ) -> SigningMaterial:
        def work(connection: sqlite3.Connection) -> SigningMaterial:
            shares = select(connection, KEY_SHARE, key_session, epoch)
            return SigningMaterial(
                session=load(connection, self._rows, session_id),
                key_share=self._key_share(shares[0]) if shares else None,
                nonce=None if nonce_id is None else self._nonce(connection, nonce_id),
                presignatures=tuple(
                    self._presignature(connection, *place) for place in presignatures
                ),
            )

        return await self._database.read(work)

    def _nonce(self, connection: sqlite3.Connection, nonce_id: bytes) -> NonceRecord | None:
        found = select(connection, NONCE, nonce_id)
        return self._unless_over(self._rows.nonce, found[0]) if found else None

    def _presignature(
        self, connection: sqlite3.Connection, batch: bytes, position: int
    ) -> PresignatureRecord | None:
        found = select(connection, PRESIGNATURE, batch, position)
        return self._unless_over(self._rows.presignature, found[0]) if found else None

    async def begin_incarnation(self, reason: str) -> None:
        if self._fence is None:
            raise rows.NoIncarnationError
        await self._database.begin_incarnation(self._fence, reason)

    async def add_sealed_key_shares(
        self, shares: Sequence[KeyShareRecord], *, suspended_at: int | None = None
    ) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            for share in shares:
                if select(connection, ANY_EPOCH, share.key_session):
                    return False
                if select(connection, OUTDATED, share.key_session, share.epoch):
                    return False
            for share in shares:
                stored = replace(share, active=share.active and suspended_at is None)
                change(connection, SAVE_KEY_SHARE, *rows.sealed_key_share_values(stored))
                if (word := rows.word_values(share)) is not None:
                    change(connection, key_epochs.GIVE_WORD, *word)
                if share.active and suspended_at is not None:
                    key_epochs.suspend(connection, share, suspended_at)
            return True

        return await self._database.write(work)

    async def resume_epoch(self, key_session: bytes, epoch: int, now: int) -> bool:
        return await self._database.write(
            lambda connection: key_epochs.resume(connection, key_session, epoch, now)
        )

    async def give_tenant(self, given: TenantRecord) -> Outcome:
        def work(connection: sqlite3.Connection) -> Outcome:
            found = select(connection, KEY_ID, given.key_session)
            if not found:
                return Outcome.LOST_RACE
            values = (given.key_session, given.tenant, given.given_at)
            if not change(connection, GIVE_TENANT, *values):
                return Outcome.LOST_RACE
            name = (given.owner, found[0]["key_id"])
            change(connection, CLAIM_NAME, *name, given.key_session)
            if select(connection, NAME, *name)[0]["key_session"] != given.key_session:
                raise RefusedError(Outcome.KEY_EXISTS)
            change(connection, SET_OWNER, given.key_session, given.owner)
            return Outcome.COMMITTED

        try:
            return await self._database.write(work)
        except RefusedError as refused:
            return refused.outcome

    async def park(self, parked: Parked, *, max_count: int, max_bytes: int, now: int) -> bool:
        if self._fence is None:
            raise rows.NoIncarnationError
        place = (parked.session_id, parked.slot, parked.sender)

        def work(connection: sqlite3.Connection) -> bool:
            (found,) = select(connection, PARKING, *place)
            if found["begun"] or found["repeated"]:
                return not found["begun"]
            if found["count"] >= max_count or found["bytes"] + len(parked.body) > max_bytes:
                return False
            change(connection, PARK, *place, parked.body, now)
            return True

        return await self._database.write(work)

    async def end(self, session_id: bytes, status: str, now: int) -> bool:
        return await self._database.write(
            lambda connection: _end(connection, session_id, status, now)
        )


def _end(connection: sqlite3.Connection, session_id: bytes, status: str, now: int) -> bool:
    change(connection, FORGET_BATCH, session_id)
    change(connection, FORGET_SENT_BY_BATCH, session_id)
    if not change(connection, END, session_id, status, now):
        return False
    change(connection, FORGET_INBOX, session_id)
    change(connection, UNPARK, session_id)
    return True


def _answer(connection: sqlite3.Connection, wanted: PartyChange, answers: AnswerRecord) -> None:
    """Raises RefusedError."""
    request = (answers.owner, answers.request_id)
    if select(connection, CANCELLED, *request):
        raise RefusedError(Outcome.CANCELLED)
    # After that look: a cancellation is purged by this clock, and not before what it forbids counts
    # no more.
    if now() > answers.counts_until:
        raise RefusedError(Outcome.EXPIRED)
    known = select(connection, ANSWERS, *request)
    if any(row["digest"] != answers.digest for row in known):
        raise RefusedError(Outcome.OTHER_REQUEST)
    others = [row for row in known if row["session_id"] != wanted.session_id]
    if sum(row["committed"] for row in others) >= MAX_TRIES:
        raise RefusedError(Outcome.TOO_MANY_TRIES)
    change(connection, ANSWER, *rows.answer_values(wanted, answers))


def _forbid(
    connection: sqlite3.Connection, wanted: PartyChange, forbids: CancellationRecord
) -> None:
    """Raises RefusedError, or StoreUnavailableError in another incarnation."""
    if select(connection, INCARNATION)[0]["id"] != forbids.incarnation:
        raise StoreUnavailableError("SQLite: the database is in another incarnation")
    request = (forbids.owner, forbids.request_id)
    known = select(connection, ANSWERS, *request)
    if forbids.statement is not None and any(row["committed"] for row in known):
        raise RefusedError(Outcome.ALREADY_SIGNED)
    if not select(connection, CANCELLED, *request):
        (live,) = select(connection, LIVE_CANCELLATIONS, forbids.owner, wanted.at)
        if live["count"] >= forbids.limit:
            raise RefusedError(Outcome.OVERLOADED)
    change(connection, FORBID, *rows.cancellation_values(forbids))
    if (promise := forbids.promise) is not None:
        key_epochs.promise(connection, promise, forbids, wanted.at)
    for row in known:
        _end(connection, row["session_id"], Status.CANCELLED.value, wanted.at)
