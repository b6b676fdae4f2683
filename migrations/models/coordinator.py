"""The coordinator's tables. Nothing in them is secret."""

from sqlalchemy import Index, text
from sqlmodel import SQLModel

from .columns import (
    UNLOGGED,
    Bytes,
    InboxColumns,
    ListEntryColumns,
    Number,
    OutboxColumns,
    SessionColumns,
    Words,
    metadata,
    session_indexes,
)

METADATA = metadata()
DUE = text("due_at IS NOT NULL")


class CoordinatorTable(SQLModel):
    """The tables of a coordinator's database."""

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


class Cancel(CoordinatorTable, table=True):
    """A wish that a request shall not be served, whether it is here or not. `session_id` is of the
    session that gathers the parties' statements; the row is forgotten with it."""

    __tablename__ = "cancels"
    __table_args__ = (Index("cancels_target_idx", "owner", "target"),)

    session_id: bytes = Bytes(primary_key=True)
    owner: str = Words()
    target: str = Words()


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
    """A key with its certificates, as everybody may know it."""

    __tablename__ = "keys"
    __table_args__ = (Index("keys_key_session_idx", "key_session"),)

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


class KeyEpoch(CoordinatorTable, table=True):
    """A later epoch of a key that one of our sessions has begun, for good: no number comes twice.

    `bundle` proves it, and is null as long as it is not made, as is `signs_from`: when requests
    begin to go to its holders. `due_at` is null where nothing more happens to it by itself.
    """

    __tablename__ = "epochs"
    __table_args__ = (Index("epochs_due_at_idx", "due_at", postgresql_where=DUE, sqlite_where=DUE),)

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    session_id: bytes = Bytes()
    bundle: str | None = Words(nullable=True)
    signs_from: int | None = Number(nullable=True)
    due_at: int | None = Number(nullable=True)


class Retirement(CoordinatorTable, table=True):
    """A holder that an epoch of a key concerns, and what it has said of those below. Until it has,
    `due_at` says when it is shown again what proves the epoch, and `shown` how often it was."""

    __tablename__ = "retirements"
    __table_args__ = (
        Index("retirements_due_at_idx", "due_at", postgresql_where=DUE, sqlite_where=DUE),
        Index(
            "retirements_party_id_idx",
            "party_id",
            "due_at",
            postgresql_where=DUE,
            sqlite_where=DUE,
        ),
    )

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    party_id: str = Words(primary_key=True)
    shown: int = Number()
    due_at: int | None = Number(nullable=True)
    retirement: str | None = Words(nullable=True)


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
    """When a party last gave a sign of life."""

    __tablename__ = "parties"

    party_id: str = Words(primary_key=True)
    last_seen: int = Number()


class PooledPresignature(CoordinatorTable, table=True):
    """Claimed once, like a commitment, and UNLOGGED for the same reason."""

    __tablename__ = "presignatures"
    __table_args__ = (
        Index(
            "presignatures_made_at_idx",
            "key_session",
            "epoch",
            "signers",
            "made_at",
            "batch",
            "position",
        ),
        {"info": UNLOGGED},
    )

    batch: bytes = Bytes(primary_key=True)
    position: int = Number(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    signers: str = Words()
    point: bytes = Bytes()
    made_at: int = Number()


class Pool(CoordinatorTable, table=True):
    """One key's in one epoch and for one signer set, since somebody first signed with it."""

    __tablename__ = "pools"
    __table_args__ = (Index("pools_used_at_idx", "used_at"), {"info": UNLOGGED})

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    signers: str = Words(primary_key=True)
    owner: str = Words()
    key_id: str = Words()
    used_at: int = Number()


class PresignBatch(CoordinatorTable, table=True):
    """An unfinished session that is to add `count` presignatures to a pool."""

    __tablename__ = "presign_batches"
    __table_args__ = (
        Index("presign_batches_key_session_idx", "key_session", "epoch", "signers"),
        {"info": UNLOGGED},
    )

    session_id: bytes = Bytes(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    signers: str = Words()
    count: int = Number()


class Waiter(CoordinatorTable, table=True):
    """An unfinished session that wants `count` presignatures; `place` orders those of a pool."""

    __tablename__ = "waiters"
    __table_args__ = (
        Index("waiters_place_idx", "key_session", "epoch", "signers", "place"),
        {"info": UNLOGGED},
    )

    session_id: bytes = Bytes(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    signers: str = Words()
    count: int = Number()
    place: int = Number()


class Quarrel(CoordinatorTable, table=True):
    """When one party last would not finish a batch with another."""

    __tablename__ = "quarrels"

    accuser: str = Words(primary_key=True)
    accused: str = Words(primary_key=True)
    at: int = Number()


class Account(CoordinatorTable, table=True):
    """What a session to make a key for a user is about; the session's own rows are forgotten
    earlier. `parties` and `signers` are words, `configured_at` is when the owner wrote these."""

    __tablename__ = "accounts"

    owner: str = Words(primary_key=True)
    account_id: str = Words(primary_key=True)
    user_id: str = Words()
    session_id: bytes = Bytes()
    curve: str = Words()
    threshold: int = Number()
    parties: str = Words()
    created_at: int = Number()
    signers: str | None = Words()
    configured_at: int | None = Number()


class ApiKey(CoordinatorTable, table=True):
    """From before there was an authority. Nothing is written here any more; what is there can be
    adopted by one."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_key_digest_idx", "owner", "key_digest", unique=True),)

    owner: str = Words(primary_key=True)
    api_key_id: str = Words(primary_key=True)
    holder: str = Words()
    key_digest: bytes = Bytes()
    scopes: str = Words()
    created_at: int = Number()
    asked_at: int = Number()
    valid_until: int | None = Number()
    revoked_at: int | None = Number()


class ApiKeyEntry(CoordinatorTable, table=True):
    """One link of the chain of an API-key authority, as it signed it."""

    __tablename__ = "api_key_entries"
    __table_args__ = (Index("api_key_entries_api_key_id_idx", "owner", "api_key_id"),)

    owner: str = Words(primary_key=True)
    authority: bytes = Bytes(primary_key=True)
    number: int = Number(primary_key=True)
    digest: bytes = Bytes()
    api_key_id: str | None = Words()
    body: bytes = Bytes()
    signature: bytes = Bytes()


class CoordinatorListEntry(ListEntryColumns, CoordinatorTable, table=True):
    """What operators have signed, kept for good: an old list must not come back."""

    __tablename__ = "list_entries"
