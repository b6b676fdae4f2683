"""What the party has said of epochs that are deleted here, as long as it is to be told; and which
shares went into a backup. Logged: who has deleted must not forget that it did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "retirements",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("below", sa.BigInteger, nullable=False),
        sa.Column("retirement", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("key_session", name="retirements_pkey"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "retirements_due_at_idx", "retirements", ["due_at"], postgresql_where=due, sqlite_where=due
    )
    op.create_table(
        "backed_up",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_session", "epoch", name="backed_up_pkey"),
    )
