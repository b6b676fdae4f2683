"""Which epochs of a key were begun, and what proves those that were made. Logged: no number of an
epoch is used twice, and who comes back late is shown the bundles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("bundle", sa.Text, nullable=True),
        sa.Column("signs_from", sa.BigInteger, nullable=True),
        sa.Column("due_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("key_session", "epoch", name="epochs_pkey"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "epochs_due_at_idx", "epochs", ["due_at"], postgresql_where=due, sqlite_where=due
    )
