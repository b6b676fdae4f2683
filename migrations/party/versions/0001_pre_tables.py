"""Key shares, sessions, nonces, parking."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, unlogged
from migrations.steps.session_tables_v1 import create_session_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "key_shares",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("certificates", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("key_session", "epoch", name="key_shares_pkey"),
    )
    create_session_tables(unlogged())
    op.create_table(
        "nonces",
        sa.Column("nonce_id", sa.LargeBinary, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("scheme", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("nonce_id", name="nonces_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("nonces_made_at_idx", "nonces", ["key_session", "epoch", "scheme", "made_at"])
    op.create_table(
        "parked",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("parked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "slot", "sender", name="parked_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("parked_sender_idx", "parked", ["sender"])
    op.create_index("parked_parked_at_idx", "parked", ["parked_at"])
    create_functions("advance_session_v1", "commit_party_v1", "park_v1", "end_session_v1")
