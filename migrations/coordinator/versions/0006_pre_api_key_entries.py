"""The chain of API-key entries that an authority signs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "api_key_entries",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("authority", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("api_key_id", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("owner", "authority", "number", name="api_key_entries_pkey"),
    )
    op.create_index("api_key_entries_api_key_id_idx", "api_key_entries", ["owner", "api_key_id"])
