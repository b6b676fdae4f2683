"""The table of signed lists' entries, alike in both roles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def make_list_entries() -> None:
    op.create_table(
        "list_entries",
        sa.Column("list_name", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("list_name", "number", name="list_entries_pkey"),
    )
