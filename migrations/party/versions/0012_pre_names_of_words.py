"""Which session made an epoch for which this party's word may be out: two may have the same number.
What is proven here has its row from now on, too; one is `implied` where a proven one comes from it.

And which request an epoch was begun for, and until when others may give their word for it: as long
as it may still be made, none is begun for another request.

Of before, the session is known where the epoch never came further, where our share of it is here,
and where a bundle proves it. Elsewhere it is not, and stays empty: of such a key nothing is stated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.steps.postgres import create_functions, on_postgres

revision = "0012"
down_revision = "0011"

_EPOCHS = "key_session, epoch, session_id, status, bundle, at, due_at"

_BEGUN_HERE = """
    SELECT words.key_session, words.epoch, epochs.session_id
    FROM words LEFT JOIN epochs
        ON epochs.key_session = words.key_session AND epochs.epoch = words.epoch
            AND epochs.status IN ('begun', 'pending')
"""
_SHARES = "SELECT key_session, epoch, facts FROM key_shares WHERE epoch > 0"
_PROVEN = "SELECT key_session, epoch, bundle FROM epochs WHERE bundle IS NOT NULL"


def upgrade() -> None:
    rows = _named()
    op.drop_table("words")
    words = op.create_table(
        "words",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False, server_default=_given("''")),
        sa.Column("implied", sa.Boolean, nullable=False, server_default=_given("false")),
        sa.PrimaryKeyConstraint("key_session", "epoch", "session_id", name="words_pkey"),
    )
    op.bulk_insert(words, rows)
    _add_to_epochs(
        sa.Column("request_digest", sa.LargeBinary, nullable=True),
        sa.Column("open_until", sa.BigInteger, nullable=True),
    )
    op.create_index("promises_owner_idx", "promises", ["owner", "until"])
    create_functions("commit_party_and_epoch_v3", "certify_epoch_v2", "forbid_and_promise_v2")


def _add_to_epochs(*columns: sa.Column[Any]) -> None:
    if on_postgres():
        for column in columns:
            op.add_column("epochs", column)
        return
    # SQLite would keep the words in which they were added.
    op.drop_index("epochs_due_at_idx", "epochs")
    op.rename_table("epochs", "epochs_before")
    op.create_table(
        "epochs",
        sa.Column("key_session", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=True),
        *columns,
        sa.PrimaryKeyConstraint("key_session", "epoch", name="epochs_pkey"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("epochs_due_at_idx", "epochs", ["due_at"], sqlite_where=due)
    op.execute(f"INSERT INTO epochs ({_EPOCHS}) SELECT {_EPOCHS} FROM epochs_before")  # noqa: S608
    op.drop_table("epochs_before")


def _given(value: str) -> sa.TextClause | None:
    """For the function of before, which a worker may still call where workers share a database."""
    return sa.text(value) if on_postgres() else None


def _named() -> list[dict[str, object]]:
    """The rows that there are to be."""
    connection = op.get_bind()
    names: dict[tuple[bytes, int], set[bytes]] = {}
    implied: set[tuple[bytes, int, bytes]] = set()
    for key_session, epoch, session_id in connection.execute(sa.text(_BEGUN_HERE)):
        names[bytes(key_session), epoch] = {bytes(session_id or b"")}
    for key_session, epoch, text in connection.execute(sa.text(_SHARES)):
        # A share comes with the word for it, and whoever gave one for a number gives no other.
        names[bytes(key_session), epoch] = {_made_by(json.loads(text))}
    for key_session, epoch, text in connection.execute(sa.text(_PROVEN)):
        bundle = json.loads(text)
        names.setdefault((bytes(key_session), epoch), set()).add(_made_by(bundle["key"]["facts"]))
        before = bundle["predecessor"]["facts"]
        implied.add((bytes(key_session), before["epoch"], _made_by(before)))
    return list(_rows(names, implied))


def _made_by(facts: dict[str, dict[str, str]]) -> bytes:
    """Empty of a key's first epoch."""
    reshared = facts.get("reshared")
    return b"" if reshared is None else bytes.fromhex(reshared["session_id"])


def _rows(
    names: dict[tuple[bytes, int], set[bytes]], implied: set[tuple[bytes, int, bytes]]
) -> Iterator[dict[str, object]]:
    for (key_session, epoch), sessions in names.items():
        for session_id in sessions:
            yield {
                "key_session": key_session,
                "epoch": epoch,
                "session_id": session_id,
                "implied": session_id != b"" and (key_session, epoch, session_id) in implied,
            }
