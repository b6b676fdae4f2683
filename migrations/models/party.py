"""A party's tables.

Key shares, what decides whose they are and how old, bans, evidence and cancellations are all that
may outlive a crash of the database. Everything else is UNLOGGED on PostgreSQL: round state, a nonce
or a presignature that came back from a backup or on a promoted replica could be answered from
twice.
"""

from sqlalchemy import Boolean, Index, text
from sqlmodel import Field, SQLModel

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


class PartyTable(SQLModel):
    """The tables of a party's database."""

    metadata = METADATA


class KeyShare(PartyTable, table=True):
    """`secret` is sealed under a data key of its own, wrapped by the master key."""

    __tablename__ = "key_shares"
    __table_args__ = (Index("key_shares_owner_idx", "owner", "key_id"),)

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    owner: str = Words()
    key_id: str = Words()
    facts: str = Words()
    certificates: str = Words()
    secret: bytes = Bytes()
    active: bool = Field(sa_type=Boolean)


class CertifiedName(PartyTable, table=True):
    """Which key an owner's key id stands for, for ever: written with this party's certificate,
    also where the others' never came."""

    __tablename__ = "certified_names"

    owner: str = Words(primary_key=True)
    key_id: str = Words(primary_key=True)
    key_session: bytes = Bytes()


class Tenant(PartyTable, table=True):
    """Whose a key is that was made before certificates said it, by the operators' list; null where
    it is no tenant's."""

    __tablename__ = "tenants"

    key_session: bytes = Bytes(primary_key=True)
    tenant: str | None = Words(nullable=True)
    given_at: int = Number()


class Epoch(PartyTable, table=True):
    """A later epoch of a key that began here or came with a bundle, and how far it is; kept for
    good, for none begins twice, and a retired one must not come back.

    `session_id` made it. `bundle` proves it to anyone, and is null before there is one; `due_at` is
    null where nothing more happens to it by itself. `request_digest` is of the request that it was
    begun for here, and until `open_until` anybody may give a word for it.
    """

    __tablename__ = "epochs"
    __table_args__ = (Index("epochs_due_at_idx", "due_at", postgresql_where=DUE, sqlite_where=DUE),)

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    session_id: bytes = Bytes()
    status: str = Words()
    bundle: str | None = Words(nullable=True)
    at: int = Number()
    due_at: int | None = Number(nullable=True)
    request_digest: bytes | None = Bytes(nullable=True)
    open_until: int | None = Number(nullable=True)


class Retirement(PartyTable, table=True):
    """What we say of the lower epochs of a key, since they are deleted here; the latest of each
    key. `due_at` is null once the broker has it."""

    __tablename__ = "retirements"
    __table_args__ = (
        Index("retirements_due_at_idx", "due_at", postgresql_where=DUE, sqlite_where=DUE),
    )

    key_session: bytes = Bytes(primary_key=True)
    below: int = Number()
    retirement: str = Words()
    due_at: int | None = Number(nullable=True)


class BackedUp(PartyTable, table=True):
    """When a share last went into a backup. Stays when the share is deleted: the backup does."""

    __tablename__ = "backed_up"

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    at: int = Number()


class KeptBackup(PartyTable, table=True):
    """A share that stands in a backup which was written to its end."""

    __tablename__ = "kept_backups"

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    at: int = Number()


class Word(PartyTable, table=True):
    """An epoch for which what this party has signed may be out, whatever became of it, or that was
    proven here.

    `session_id` made it, for two may have one number; empty where that was not kept. `implied` is
    one from which another that was proven here comes: whoever knows that one knows it.
    """

    __tablename__ = "words"

    key_session: bytes = Bytes(primary_key=True)
    epoch: int = Number(primary_key=True)
    session_id: bytes = Bytes(primary_key=True)
    implied: bool = Field(sa_type=Boolean)


class Promise(PartyTable, table=True):
    """Until when nothing is dealt of a key for this owner: statements say which of its epochs there
    are. Whose it is, a party that has no share yet cannot tell."""

    __tablename__ = "promises"
    __table_args__ = (Index("promises_owner_idx", "owner", "until"),)

    key_session: bytes = Bytes(primary_key=True)
    owner: str = Words(primary_key=True)
    until: int = Number()


class PartySession(SessionColumns, PartyTable, table=True):
    """`state` is sealed, and empty as soon as the session is over."""

    __tablename__ = "sessions"
    __table_args__ = (*session_indexes(), {"info": UNLOGGED})


class PartyInbox(InboxColumns, PartyTable, table=True):
    """`body` is sealed. No rows of a session that is over."""

    __tablename__ = "inbox"
    __table_args__ = ({"info": UNLOGGED},)


class PartyOutbox(OutboxColumns, PartyTable, table=True):
    """What was sent stays until the session is forgotten, to be sent again byte for byte."""

    __tablename__ = "outbox"
    __table_args__ = ({"info": UNLOGGED},)


class Nonce(PartyTable, table=True):
    """Taken once: taking deletes. `secret` is sealed."""

    __tablename__ = "nonces"
    __table_args__ = (
        Index("nonces_made_at_idx", "key_session", "epoch", "scheme", "made_at"),
        {"info": UNLOGGED},
    )

    nonce_id: bytes = Bytes(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    scheme: str = Words()
    secret: bytes = Bytes()
    made_at: int = Number()


class Presignature(PartyTable, table=True):
    """Taken once: taking deletes. `secret` is sealed; `batch` is the session that made it."""

    __tablename__ = "presignatures"
    __table_args__ = (
        Index("presignatures_made_at_idx", "made_at", "batch", "position"),
        Index(
            "presignatures_key_session_idx", "key_session", "epoch", "made_at", "batch", "position"
        ),
        {"info": UNLOGGED},
    )

    batch: bytes = Bytes(primary_key=True)
    position: int = Number(primary_key=True)
    key_session: bytes = Bytes()
    epoch: int = Number()
    secret: bytes = Bytes()
    made_at: int = Number()


class Ban(PartyTable, table=True):
    """A party with which no presignatures are made, and what it failed in which session."""

    __tablename__ = "bans"

    party_id: str = Words(primary_key=True)
    session_id: bytes = Bytes()
    failed_check: str = Words()
    at: int = Number()


class Evidence(PartyTable, table=True):
    """Two different messages of one sender for one place of a session, as they came: signed, and
    what was secret in them sealed. Outlives the session, whose inbox does not."""

    __tablename__ = "evidence"

    session_id: bytes = Bytes(primary_key=True)
    slot: str = Words(primary_key=True)
    sender: str = Words(primary_key=True)
    first_body: bytes = Bytes()
    second_body: bytes = Bytes()
    at: int = Number()


class Answer(PartyTable, table=True):
    """A session for an owner's request. `committed` as soon as it was answered there with what
    makes a signature or a key."""

    __tablename__ = "answers"
    __table_args__ = (Index("answers_at_idx", "at"), {"info": UNLOGGED})

    owner: str = Words(primary_key=True)
    request_id: str = Words(primary_key=True)
    session_id: bytes = Bytes(primary_key=True)
    digest: bytes = Bytes()
    committed: bool = Field(sa_type=Boolean)
    at: int = Number()


class Cancellation(PartyTable, table=True):
    """A request for which nothing is committed any more; `statement` is null where something was,
    or may have been."""

    __tablename__ = "cancellations"
    __table_args__ = (Index("cancellations_forbidden_until_idx", "forbidden_until"),)

    owner: str = Words(primary_key=True)
    request_id: str = Words(primary_key=True)
    issued_until: int = Number()
    forbidden_until: int = Number()
    statement: str | None = Words()


class Incarnation(PartyTable, table=True):
    """One row: what vouches that the other UNLOGGED tables are the latest.

    `progress` rises with what a witness outside of the database remembers of it. `origin` and
    `relations` say where the database was when the incarnation began.
    """

    __tablename__ = "incarnation"
    __table_args__ = ({"info": UNLOGGED},)

    id: bytes = Bytes(primary_key=True)
    progress: int = Number()
    origin: str = Words()
    relations: str = Words()
    begun_at: int = Number()
    reason: str = Words()


class ParkedEnvelope(PartyTable, table=True):
    """A message that came before its session; `parked_at` bounds how long it waits."""

    __tablename__ = "parked"
    __table_args__ = (
        Index("parked_sender_idx", "sender"),
        Index("parked_parked_at_idx", "parked_at"),
        {"info": UNLOGGED},
    )

    session_id: bytes = Bytes(primary_key=True)
    slot: str = Words(primary_key=True)
    sender: str = Words(primary_key=True)
    body: bytes = Bytes()
    parked_at: int = Number()


class PartyListEntry(ListEntryColumns, PartyTable, table=True):
    """What operators have signed, kept for good: an old list must not come back."""

    __tablename__ = "list_entries"
