"""The coordinator's tables. Nothing in them is secret."""

from sqlalchemy import Index
from sqlmodel import SQLModel

from .columns import (
    UNLOGGED,
    Bytes,
    InboxColumns,
    Number,
    OutboxColumns,
    SessionColumns,
    Words,
    metadata,
    session_indexes,
)

METADATA = metadata()


class CoordinatorTable(SQLModel):
    metadata = METADATA


class Request(CoordinatorTable, table=True):
    """`result_cause` and `result_position` lead to the result in the outbox, once there is one."""

    __tablename__ = "requests"
    __table_args__ = (Index("requests_session_id_idx", "session_id"),)

    owner: str = Words(primary_key=True)
    request_id: str = Words(primary_key=True)
    operation: str = Words()
    digest: bytes = Bytes()
    request_body: bytes = Bytes()
    signature: bytes = Bytes()
    session_id: bytes = Bytes()
    result_cause: str | None = Words()
    result_position: int | None = Number()


class CoordinatorSession(SessionColumns, CoordinatorTable, table=True):
    __tablename__ = "sessions"
    __table_args__ = session_indexes()


class CoordinatorInbox(InboxColumns, CoordinatorTable, table=True):
    __tablename__ = "inbox"


class CoordinatorOutbox(OutboxColumns, CoordinatorTable, table=True):
    __tablename__ = "outbox"


class SessionEvent(CoordinatorTable, table=True):
    """Append-only; `sequence` counts from 1 in each session."""

    __tablename__ = "events"

    session_id: bytes = Bytes(primary_key=True)
    sequence: int = Number(primary_key=True)
    at: int = Number()
    event: str = Words()
    party_id: str | None = Words()
    details: str = Words()


class Key(CoordinatorTable, table=True):
    __tablename__ = "keys"

    owner: str = Words(primary_key=True)
    key_id: str = Words(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    curve: str = Words()
    certified: str = Words()


class KeyReservation(CoordinatorTable, table=True):
    """A key's name that an unfinished session is to make a key for."""

    __tablename__ = "key_reservations"
    __table_args__ = (Index("key_reservations_session_id_idx", "session_id"),)

    owner: str = Words(primary_key=True)
    key_id: str = Words(primary_key=True)
    session_id: bytes = Bytes()


class Commitment(CoordinatorTable, table=True):
    """Claimed once: claiming deletes. UNLOGGED, for the party's nonces are no better."""

    __tablename__ = "commitments"
    __table_args__ = (
        Index("commitments_made_at_idx", "key_session", "epoch", "scheme", "party_id", "made_at"),
        {"info": UNLOGGED},
    )

    party_id: str = Words(primary_key=True)
    nonce_id: bytes = Bytes(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    scheme: str = Words()
    commitment: bytes = Bytes()
    made_at: int = Number()


class Party(CoordinatorTable, table=True):
    __tablename__ = "parties"

    party_id: str = Words(primary_key=True)
    last_seen: int = Number()
