"""Presignatures, bans. Sealed values are not compressed in vain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, store_uncompressed, unlogged

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "presignatures",
        sa.Column("batch", sa.LargeBinary, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch", "position", name="presignatures_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("presignatures_made_at_idx", "presignatures", ["made_at", "batch", "position"])
    op.create_index(
        "presignatures_key_session_idx",
        "presignatures",
        ["key_session", "epoch", "made_at", "batch", "position"],
    )
    op.create_table(
        "bans",
        sa.Column("party_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("failed_check", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("party_id", name="bans_pkey"),
    )
    store_uncompressed("presignatures", "secret")
    store_uncompressed("nonces", "secret")
    store_uncompressed("sessions", "state")
    store_uncompressed("inbox", "body")
    store_uncompressed("outbox", "body")
    store_uncompressed("parked", "body")
    create_functions("commit_party_and_presignatures_v1", "end_session_v2")
