"""Until when nothing is dealt of a key, because parties have stated which of its epochs there are;
and for which epochs this party's word may be out. Logged: a crash must not let it forget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "promises",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_session", "owner", name="promises_pkey"),
    )
    op.create_table(
        "words",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_session", "epoch", name="words_pkey"),
    )
    # Of those that were begun before, ours may be out.
    op.execute("INSERT INTO words SELECT key_session, epoch FROM epochs WHERE epoch > 0")
    create_functions("commit_party_and_epoch_v2", "forbid_and_promise_v1")
