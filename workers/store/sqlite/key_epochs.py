# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""What happens to a key's epochs in a party's file: each function is part of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ..database import RefusedError
from ..records import (
    CancellationRecord,
    EpochRecord,
    EpochStatus,
    EpochStep,
    KeyShareRecord,
    Outcome,
    PartyChange,
    PromiseRecord,
    WordRecord,
)
from ..rows import party as rows
from ..shared.party import BUSY, PROMISED, RESUME_EPOCH, RESUME_SHARE, SIGNING_EPOCHS
from ..shared.retirements import KEEP_OWN
from .database import change, now, select

NOT_BELOW = "SELECT 1 FROM epochs WHERE key_session = $1 AND epoch >= $2"

BEGIN_EPOCH = """
    INSERT INTO epochs (key_session, epoch, session_id, status, at, request_digest, open_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

MOVE_EPOCH = """
    UPDATE epochs SET status = $4, at = $5
    WHERE key_session = $1 AND epoch = $2 AND session_id = $3 AND status = 'begun'
"""

GIVE_WORD = """
    INSERT INTO words (key_session, epoch, session_id, implied) VALUES ($1, $2, $3, false)
    ON CONFLICT DO NOTHING
"""

IMPLY = """
    UPDATE words SET implied = true WHERE key_session = $1 AND epoch = $2 AND session_id = $3
"""

PROMISED_ONCE = "SELECT 1 FROM promises WHERE key_session = $1 AND owner = $2"

LIVE_PROMISES = "SELECT count(*) AS count FROM promises WHERE owner = $1 AND until >= $2"

PROMISE = """
    INSERT INTO promises (key_session, owner, until) VALUES ($1, $2, $3)
    ON CONFLICT (key_session, owner) DO UPDATE SET until = max(until, excluded.until)
"""

CERTIFY_EPOCH = """
    INSERT INTO epochs (key_session, epoch, session_id, status, bundle, at, due_at)
    VALUES ($1, $2, $3, 'certified', $4, $5, $6)
    ON CONFLICT (key_session, epoch) DO UPDATE
    SET session_id = excluded.session_id, status = excluded.status, bundle = excluded.bundle,
        at = excluded.at, due_at = excluded.due_at
    WHERE epochs.status IN ('begun', 'pending')
"""

PROVE_SHARE = """
    UPDATE key_shares SET certificates = $3, active = true
    WHERE key_session = $1 AND epoch = $2 AND NOT active
"""

DROP_SHARE = "DELETE FROM key_shares WHERE key_session = $1 AND epoch = $2 AND NOT active"

SUSPEND_EPOCH = """
    INSERT INTO epochs (key_session, epoch, session_id, status, at, due_at)
    VALUES ($1, $2, $3, 'suspended', $4, $4)
    ON CONFLICT (key_session, epoch) DO UPDATE
    SET session_id = excluded.session_id, status = excluded.status, at = excluded.at,
        due_at = excluded.due_at
"""

ACTIVATE_EPOCH = """
    UPDATE epochs SET status = 'active', at = $3, due_at = $4
    WHERE key_session = $1 AND epoch = $2 AND status = 'certified'
        AND NOT EXISTS (
            SELECT 1 FROM epochs WHERE key_session = $1 AND epoch > $2 AND status = 'active'
        )
"""

LEAVE_SHARES = "UPDATE key_shares SET active = false WHERE key_session = $1 AND epoch < $2"

REMEMBER_RETIRED = """
    INSERT INTO epochs (key_session, epoch, session_id, status, at)
    SELECT key_session, epoch, x'', 'retired', $3 FROM key_shares
    WHERE key_session = $1 AND epoch < $2
    ON CONFLICT DO NOTHING
"""

NOTHING_DUE = "UPDATE epochs SET due_at = NULL WHERE key_session = $1 AND epoch = $2"

RETIRE_EPOCHS = """
    UPDATE epochs SET status = 'retired', at = $3, due_at = NULL
    WHERE key_session = $1 AND epoch < $2 AND status <> 'retired'
"""

RETIRED_TABLES = ("nonces", "presignatures", "key_shares")


def move(connection: sqlite3.Connection, wanted: PartyChange, step: EpochStep) -> None:
    """What a session does to the epoch that it makes. Raises RefusedError."""
    # By the clock that lets promises end.
    at = now()
    if select(connection, PROMISED, step.key_session, step.owner, at):
        raise RefusedError(Outcome.PROMISED)
    key = (step.key_session, step.epoch)
    values = (*key, wanted.session_id, step.status.value, wanted.at)
    if step.status is not EpochStatus.BEGUN:
        moved = change(connection, MOVE_EPOCH, *values)
    elif moved := not select(connection, NOT_BELOW, *key):
        if select(connection, BUSY, step.key_session, step.digest, at):
            raise RefusedError(Outcome.KEY_BUSY)
        change(connection, BEGIN_EPOCH, *values, step.digest, step.open_until)
    if not moved:
        raise RefusedError(Outcome.EPOCH_TAKEN)
    if step.status is not EpochStatus.BEGUN:
        change(connection, GIVE_WORD, *key, wanted.session_id)


def promise(
    connection: sqlite3.Connection, promised: PromiseRecord, forbids: CancellationRecord, at: int
) -> None:
    """Raises RefusedError if the key has an epoch that is not named, or one of which the session is
    not known; or if its owner has as many promises as it may."""
    signing = [rows.word(row) for row in select(connection, SIGNING_EPOCHS, promised.key_session)]
    if any(each.session_id is None for each in signing) or not set(promised.epochs) >= {*signing}:
        raise RefusedError(Outcome.EPOCH_TAKEN)
    if not select(connection, PROMISED_ONCE, promised.key_session, forbids.owner):
        (live,) = select(connection, LIVE_PROMISES, forbids.owner, at)
        if live["count"] >= forbids.limit:
            raise RefusedError(Outcome.OVERLOADED)
    change(connection, PROMISE, promised.key_session, forbids.owner, forbids.forbidden_until)


def certify(
    connection: sqlite3.Connection,
    record: EpochRecord,
    certificates: Mapping[str, bytes] | None,
    before: WordRecord | None,
) -> bool:
    *key, session_id, bundle, proof, at, due_at = rows.certified_values(record, certificates)
    if not change(connection, CERTIFY_EPOCH, *key, session_id, bundle, at, due_at):
        return False
    change(connection, GIVE_WORD, *key, session_id)
    if before is not None:
        change(connection, IMPLY, record.key_session, before.epoch, before.session_id)
    if proof is None:
        change(connection, DROP_SHARE, *key)
    else:
        change(connection, PROVE_SHARE, *key, proof)
    return True


def activate(
    connection: sqlite3.Connection, key_session: bytes, epoch: int, at: int, due_at: int
) -> bool:
    if not change(connection, ACTIVATE_EPOCH, key_session, epoch, at, due_at):
        return False
    change(connection, LEAVE_SHARES, key_session, epoch)
    return True


def retire(
    connection: sqlite3.Connection, key_session: bytes, below: int, at: int, retirement: str
) -> None:
    change(connection, REMEMBER_RETIRED, key_session, below, at)
    change(connection, NOTHING_DUE, key_session, below)
    change(connection, RETIRE_EPOCHS, key_session, below, at)
    change(connection, KEEP_OWN, key_session, below, retirement, at)
    for table in RETIRED_TABLES:
        statement = f"DELETE FROM {table} WHERE key_session = $1 AND epoch < $2"
        change(connection, statement, key_session, below)


def suspend(connection: sqlite3.Connection, share: KeyShareRecord, at: int) -> None:
    change(connection, SUSPEND_EPOCH, *rows.suspended_values(share, at))


def resume(connection: sqlite3.Connection, key_session: bytes, epoch: int, at: int) -> bool:
    if not change(connection, RESUME_EPOCH, key_session, epoch, at):
        return False
    change(connection, RESUME_SHARE, key_session, epoch)
    return True
