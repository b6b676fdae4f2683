"""The lists that operators sign. Logged: a crash must not bring back whom they have removed."""

from __future__ import annotations

from migrations.steps.list_tables_v1 import make_list_entries

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    make_list_entries()
