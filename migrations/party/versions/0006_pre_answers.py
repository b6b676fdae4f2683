"""Which requests were answered, and which were cancelled before. The first are UNLOGGED: a party
that has lost them says that it has forgotten. The second hold whatever happens to the server.

What was answered before there was such a memory nobody knows: a new incarnation begins.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, unlogged

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("committed", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "request_id", "session_id", name="answers_pkey"),
        prefixes=unlogged(),
    )
    op.create_index("answers_at_idx", "answers", ["at"])
    op.create_table(
        "cancellations",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("issued_until", sa.BigInteger, nullable=False),
        sa.Column("forbidden_until", sa.BigInteger, nullable=False),
        sa.Column("statement", sa.Text),
        sa.PrimaryKeyConstraint("owner", "request_id", name="cancellations_pkey"),
    )
    op.create_index("cancellations_forbidden_until_idx", "cancellations", ["forbidden_until"])
    op.execute("DELETE FROM incarnation")
    create_functions("lock_request_v1", "answer_request_v1", "forbid_request_v1")
