"""What proves that a party lied. Logged, unlike the inbox that the half of it came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("first_body", sa.LargeBinary, nullable=False),
        sa.Column("second_body", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "slot", "sender", name="evidence_pkey"),
    )
