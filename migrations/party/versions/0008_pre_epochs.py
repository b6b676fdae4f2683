"""Which epochs of a key began here, and how far each is. Logged: a crash must not let one begin
again, nor bring back one that was retired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("key_session", "epoch", name="epochs_pkey"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "epochs_due_at_idx", "epochs", ["due_at"], postgresql_where=due, sqlite_where=due
    )
    create_functions(
        "commit_party_and_epoch_v1", "certify_epoch_v1", "activate_epoch_v1", "retire_epochs_v1"
    )
