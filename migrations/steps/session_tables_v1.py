"""Sessions, inbox and outbox, as both histories begin with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create_session_tables(prefixes: list[str]) -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("key_session", sa.LargeBinary),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("owed_since", sa.BigInteger),
        sa.PrimaryKeyConstraint("session_id", name="sessions_pkey"),
        prefixes=prefixes,
    )
    unfinished = sa.text("ended_at IS NULL")
    op.create_index(
        "sessions_deadline_idx",
        "sessions",
        ["deadline"],
        postgresql_where=unfinished,
        sqlite_where=unfinished,
    )
    op.create_index("sessions_ended_at_idx", "sessions", ["ended_at"])
    owed = sa.text("owed_since IS NOT NULL")
    op.create_index(
        "sessions_owed_since_idx",
        "sessions",
        ["owed_since"],
        postgresql_where=owed,
        sqlite_where=owed,
    )
    op.create_table(
        "inbox",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "slot", "sender", name="inbox_pkey"),
        prefixes=prefixes,
    )
    op.create_table(
        "outbox",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "cause", "position", name="outbox_pkey"),
        prefixes=prefixes,
    )
