"""Cancels, which a request that arrives later is refused by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "cancels",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="cancels_pkey"),
    )
    op.create_index("cancels_target_idx", "cancels", ["owner", "target"])
    create_functions("commit_coordinator_v3", "commit_coordinator_and_pools_v2")
