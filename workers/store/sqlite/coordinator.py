# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's store in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from contracts.results import Status

from ..database import RefusedError
from ..pools import GoOn
from ..records import (
    REFUSED,
    Admission,
    CommitmentRecord,
    CoordinatorChange,
    KeyRecord,
    Outcome,
    PooledPresignature,
    PoolName,
    RequestRecord,
)
from ..rows import coordinator as rows
from ..rows.accounts import account_values
from ..rows.coordinator import COMMITMENT_COLUMNS, EVENT_COLUMNS, KEY_COLUMNS, REQUEST_COLUMNS
from ..shared import key_epochs
from ..shared.accounts import KEEP_ACCOUNT
from ..shared.coordinator import STANDING, SUPERSEDE, TAKE_OVER, SharedCoordinatorStore
from . import pools as in_pools
from .database import SqliteDatabase, change, now, select
from .sessions import SqliteStore, advance

ADD_REQUEST = f"""
    INSERT INTO requests ({REQUEST_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
"""

# Nothing if the name is another session's or a key's.
RESERVE_KEY = """
    INSERT INTO key_reservations (owner, key_id, session_id)
    SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM keys WHERE owner = $1 AND key_id = $2)
    ON CONFLICT DO NOTHING
"""

ADD_CANCEL = "INSERT INTO cancels (session_id, owner, target) VALUES ($1, $2, $3)"

IS_CANCELLED = "SELECT 1 FROM cancels WHERE owner = $1 AND target = $2 LIMIT 1"

FREE_KEY = "DELETE FROM key_reservations WHERE session_id = $1"

# The same key again is a new epoch of it; nothing if the name is another key's.
SAVE_KEY = f"""
    INSERT INTO keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (owner, key_id) DO UPDATE
    SET epoch = excluded.epoch, certified = excluded.certified
    WHERE keys.key_session = excluded.key_session
"""

ADD_EVENT = f"""
    INSERT INTO events (session_id, sequence, at, {EVENT_COLUMNS})
    SELECT $1, count(*) + 1, $2, $3, $4, $5 FROM events WHERE session_id = $1
"""

ADD_COMMITMENT = f"""
    INSERT INTO commitments ({COMMITMENT_COLUMNS}, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
"""

IS_UNFINISHED = "SELECT 1 FROM sessions WHERE session_id = $1 AND ended_at IS NULL"

RESULT = "UPDATE requests SET result_cause = $2, result_position = $3 WHERE session_id = $1"

# The newest: a party that has too many nonces forgets the oldest ones.
CLAIM = f"""
    DELETE FROM commitments WHERE (party_id, nonce_id) IN (
        SELECT party_id, nonce_id FROM commitments
        WHERE key_session = $1 AND epoch = $2 AND scheme = $3 AND party_id = $4
        ORDER BY made_at DESC, nonce_id
        LIMIT 1
    )
    RETURNING {COMMITMENT_COLUMNS}
"""


class SqliteCoordinatorStore(SharedCoordinatorStore, SqliteStore):
    """Each method is one function in the connection's thread."""

    tables = (
        "inbox",
        "outbox",
        "events",
        "requests",
        "cancels",
        "presign_batches",
        "waiters",
        "sessions",
    )

    def __init__(self, path: Path) -> None:
        self._database = SqliteDatabase(path)
        super().__init__(self._database)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        try:
            await self._database.write(lambda connection: self._commit(connection, change))
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED

    def _commit(self, connection: sqlite3.Connection, wanted: CoordinatorChange) -> None:
        session_id = wanted.session_id
        results = () if wanted.result is None else (wanted.result,)
        advance(connection, self._rows, wanted, (*wanted.outgoing, *results))
        _cancel(connection, wanted)
        if wanted.request is not None:
            _add_request(connection, wanted.request)
        if wanted.reserve_key is not None and not change(
            connection, RESERVE_KEY, *wanted.reserve_key, session_id
        ):
            raise RefusedError(Outcome.KEY_EXISTS)
        if wanted.account is not None:
            change(connection, KEEP_ACCOUNT, *account_values(wanted.account))
        if wanted.key is not None:
            _save_key(connection, wanted.key)
        for statement, given, otherwise in key_epochs.steps(wanted):
            if not change(connection, statement, *given) and otherwise is not None:
                raise RefusedError(otherwise)
        for event in wanted.events:
            change(connection, ADD_EVENT, session_id, now(), *rows.event_values(event))
        for commitment in wanted.commitments:
            change(connection, ADD_COMMITMENT, *rows.commitment_values(commitment), now())
        in_pools.keep(connection, wanted)
        if wanted.succeeds is not None and not change(
            connection, TAKE_OVER, wanted.succeeds, session_id
        ):
            raise RefusedError(Outcome.LOST_RACE)
        if results:
            change(connection, RESULT, session_id, wanted.cause, len(wanted.outgoing))
        if Status(wanted.status).final:
            change(connection, FREE_KEY, session_id)

    async def admit(
        self,
        owner: str,
        request_id: str,
        digest: bytes,
        *,
        key_session: bytes | None = None,
        epoch: int = 0,
        scheme: str = "",
        parties: Sequence[str] = (),
        pools: Sequence[str] = (),
        presignatures: int = 0,
    ) -> Admission:
        names = [
            PoolName(key_session=key_session or b"", epoch=epoch, signers=signers)
            for signers in pools
        ]

        def work(connection: sqlite3.Connection) -> Admission:
            found = select(connection, STANDING, owner, request_id, digest)
            if found:
                return Admission(request=rows.request(found[0]), claimed={})
            if names:
                taken = in_pools.claim_in_turn(connection, names, presignatures)
                return Admission(request=None, claimed={}, presignatures=taken)
            claimed = _claim(connection, key_session, epoch, scheme, parties)
            return Admission(request=None, claimed=claimed)

        # A transaction that only reads need not wait for those that write.
        claims = bool(parties or names)
        return await (self._database.write(work) if claims else self._database.read(work))

    async def claim_presignatures(
        self, pool: PoolName, count: int
    ) -> tuple[PooledPresignature, ...]:
        return await self._database.write(
            lambda connection: in_pools.claim(connection, pool, count)
        )

    async def serve(self, pool: PoolName, limit: int, go_on: GoOn) -> list[CoordinatorChange]:
        def work(connection: sqlite3.Connection) -> list[CoordinatorChange]:
            changes = [
                go_on(waiting, in_pools.claim(connection, pool, waiting.count))
                for waiting in in_pools.line(connection, pool, limit)
            ]
            for each in changes:
                self._commit(connection, each)
            return changes

        return await self._database.write(work)

    async def finished(self, session_ids: Sequence[bytes]) -> list[bytes]:
        def work(connection: sqlite3.Connection) -> list[bytes]:
            return [each for each in session_ids if not select(connection, IS_UNFINISHED, each)]

        return await self._database.read(work)

    async def stop_waiting(self, session_ids: Sequence[bytes]) -> None:
        await self._database.write(
            lambda connection: in_pools.stop_waiting(connection, session_ids)
        )


def _cancel(connection: sqlite3.Connection, wanted: CoordinatorChange) -> None:
    """Note what is cancelled, or refuse what was: writers take turns, so one sees the other."""
    request = wanted.request
    if wanted.cancels is not None:
        change(connection, ADD_CANCEL, wanted.session_id, *wanted.cancels)
    elif (
        request is not None
        and wanted.protocol != REFUSED
        and select(connection, IS_CANCELLED, request.owner, request.request_id)
    ):
        raise RefusedError(Outcome.CANCELLED)


def _add_request(connection: sqlite3.Connection, request: RequestRecord) -> None:
    change(connection, SUPERSEDE, request.owner, request.request_id, request.digest)
    if not change(connection, ADD_REQUEST, *rows.request_values(request)):
        raise RefusedError(Outcome.DUPLICATE_REQUEST)


def _save_key(connection: sqlite3.Connection, key: KeyRecord) -> None:
    if not change(connection, SAVE_KEY, *rows.key_values(key)):
        raise RefusedError(Outcome.KEY_EXISTS)


def _claim(
    connection: sqlite3.Connection,
    key_session: bytes | None,
    epoch: int,
    scheme: str,
    parties: Sequence[str],
) -> dict[str, CommitmentRecord]:
    found = [
        row
        for party in dict.fromkeys(parties)
        for row in select(connection, CLAIM, key_session, epoch, scheme, party)
    ]
    return {row["party_id"]: rows.commitment(row) for row in found}
