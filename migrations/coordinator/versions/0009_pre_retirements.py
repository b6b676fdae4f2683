"""What the holders of a key have said of its earlier epochs, and who is still to be shown what
proves the later one. Logged: an owner asks for it long afterwards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "retirements",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("party_id", sa.Text, nullable=False),
        sa.Column("shown", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=True),
        sa.Column("retirement", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("key_session", "epoch", "party_id", name="retirements_pkey"),
    )
    due = sa.text("due_at IS NOT NULL")
    for name, columns in (
        ("retirements_due_at_idx", ["due_at"]),
        ("retirements_party_id_idx", ["party_id", "due_at"]),
    ):
        op.create_index(name, "retirements", columns, postgresql_where=due, sqlite_where=due)
