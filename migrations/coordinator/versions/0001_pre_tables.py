"""Requests, sessions, events, keys, commitments, parties."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, unlogged
from migrations.steps.session_tables_v1 import create_session_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("request_body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("result_cause", sa.Text),
        sa.Column("result_position", sa.BigInteger),
        sa.PrimaryKeyConstraint("owner", "request_id", name="requests_pkey"),
    )
    op.create_index("requests_session_id_idx", "requests", ["session_id"])
    create_session_tables([])
    op.create_table(
        "events",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("party_id", sa.Text),
        sa.Column("details", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "sequence", name="events_pkey"),
    )
    op.create_table(
        "keys",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("curve", sa.Text, nullable=False),
        sa.Column("certified", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key_id", name="keys_pkey"),
    )
    op.create_table(
        "key_reservations",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key_id", name="key_reservations_pkey"),
    )
    op.create_index("key_reservations_session_id_idx", "key_reservations", ["session_id"])
    op.create_table(
        "commitments",
        sa.Column("party_id", sa.Text, nullable=False),
        sa.Column("nonce_id", sa.LargeBinary, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("scheme", sa.Text, nullable=False),
        sa.Column("commitment", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("party_id", "nonce_id", name="commitments_pkey"),
        prefixes=unlogged(),
    )
    op.create_index(
        "commitments_made_at_idx",
        "commitments",
        ["key_session", "epoch", "scheme", "party_id", "made_at"],
    )
    op.create_table(
        "parties",
        sa.Column("party_id", sa.Text, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("party_id", name="parties_pkey"),
    )
    create_functions("advance_session_v1", "commit_coordinator_v1")
