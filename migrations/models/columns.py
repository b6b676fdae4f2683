"""What both roles' tables are made of.

Times are Unix milliseconds. Constraints are named alike on every database, so that one can be
recognised when it refuses a row.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, Text, text
from sqlmodel import Field, SQLModel

UNLOGGED = {"unlogged": True}
"""Marks a table that PostgreSQL keeps out of its log, and so out of replicas and base backups."""

UNFINISHED = text("ended_at IS NULL")
OWED = text("owed_since IS NOT NULL")


def metadata() -> MetaData:
    """A role's own collection of tables: those of the two roles have the same names."""
    return MetaData(naming_convention={"pk": "%(table_name)s_pkey"})


def Words(**options: Any) -> Any:  # noqa: N802  # stands where Field stands
    """A column of text."""
    return Field(sa_type=Text, **options)


def Bytes(**options: Any) -> Any:  # noqa: N802
    """A column of bytes."""
    return Field(sa_type=LargeBinary, **options)


def Number(**options: Any) -> Any:  # noqa: N802
    """A column of whole numbers, 64 bits of them."""
    return Field(sa_type=BigInteger, **options)


class SessionColumns(SQLModel):
    """`ended_at` is null as long as anything may change the session; `owed_since` is null but for
    one that ended by a sweep and whose last messages may not have left."""

    session_id: bytes = Bytes(primary_key=True)
    version: int = Number()
    protocol: str = Words()
    key_session: bytes | None = Bytes()
    status: str = Words()
    deadline: int = Number()
    state: bytes = Bytes()
    created_at: int = Number()
    ended_at: int | None = Number()
    owed_since: int | None = Number()


def session_indexes() -> tuple[Index, ...]:
    """New ones for each role, for an index belongs to one table."""
    return (
        Index(
            "sessions_deadline_idx",
            "deadline",
            postgresql_where=UNFINISHED,
            sqlite_where=UNFINISHED,
        ),
        Index("sessions_ended_at_idx", "ended_at"),
        Index(
            "sessions_owed_since_idx",
            "owed_since",
            postgresql_where=OWED,
            sqlite_where=OWED,
        ),
    )


class InboxColumns(SQLModel):
    """What came in, once for each place of a session and sender; `digest` tells a repetition from a
    lie."""

    session_id: bytes = Bytes(primary_key=True)
    slot: str = Words(primary_key=True)
    sender: str = Words(primary_key=True)
    digest: bytes = Bytes()
    body: bytes = Bytes()


class ListEntryColumns(SQLModel):
    """One entry of a list that operators sign, as one of them signed it."""

    list_name: str = Words(primary_key=True)
    number: int = Number(primary_key=True)
    digest: bytes = Bytes()
    body: bytes = Bytes()
    signature: bytes = Bytes()


class OutboxColumns(SQLModel):
    """`position` orders the messages of one cause."""

    session_id: bytes = Bytes(primary_key=True)
    cause: str = Words(primary_key=True)
    position: int = Number(primary_key=True)
    exchange: str = Words()
    routing_key: str = Words()
    kind: str = Words()
    content_type: str = Words()
    message_id: str = Words()
    headers: str = Words()
    body: bytes = Bytes()
