"""The incarnation that the database is in. UNLOGGED: what vouches for the rows dies with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import unlogged

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "incarnation",
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("progress", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("relations", sa.Text, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="incarnation_pkey"),
        prefixes=unlogged(),
    )
