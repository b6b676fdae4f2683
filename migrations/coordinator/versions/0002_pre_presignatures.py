"""Pools of presignatures with batches and waiters, quarrels; keys by their session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, unlogged

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "presignatures",
        sa.Column("batch", sa.LargeBinary, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("signers", sa.Text, nullable=False),
        sa.Column("point", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch", "position", name="presignatures_pkey"),
        prefixes=unlogged(),
    )
    op.create_index(
        "presignatures_made_at_idx",
        "presignatures",
        ["key_session", "epoch", "signers", "made_at", "batch", "position"],
    )
    op.create_table(
        "pools",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("signers", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_session", "epoch", "signers", name="pools_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("pools_used_at_idx", "pools", ["used_at"])
    op.create_table(
        "presign_batches",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("signers", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="presign_batches_pkey"),
        prefixes=unlogged(),
    )
    op.create_index(
        "presign_batches_key_session_idx", "presign_batches", ["key_session", "epoch", "signers"]
    )
    op.create_table(
        "waiters",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("signers", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="waiters_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("waiters_place_idx", "waiters", ["key_session", "epoch", "signers", "place"])
    op.create_table(
        "quarrels",
        sa.Column("accuser", sa.Text, nullable=False),
        sa.Column("accused", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("accuser", "accused", name="quarrels_pkey"),
    )
    op.create_index("keys_key_session_idx", "keys", ["key_session"])
    create_functions(
        "commit_coordinator_v2", "commit_coordinator_and_pools_v1", "claim_presignatures_v1"
    )
