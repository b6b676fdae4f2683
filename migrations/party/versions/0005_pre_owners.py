"""Which names of keys were certified, and which tenants keys of before were given. Logged: both
hold for ever."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "certified_names",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key_id", name="certified_names_pkey"),
    )
    op.create_table(
        "tenants",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("tenant", sa.Text, nullable=True),
        sa.Column("given_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_session", name="tenants_pkey"),
    )
    op.create_index("key_shares_owner_idx", "key_shares", ["owner", "key_id"])
    create_functions("claim_name_v1", "commit_party_and_key_v1", "give_tenant_v1")
