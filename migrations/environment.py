"""What every history's `env.py` does: migrate on the connection that the runner opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import MetaData


def migrate(declared: MetaData) -> None:
    """Run what alembic was asked for; it compares the database with the `declared` tables."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes["version_table"],
        target_metadata=declared,
        include_object=_is_ours,
        # SQLite can do it, once the runner has taken the transaction out of the driver's hands.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _is_ours(
    _object: object, _name: str | None, _kind: str, reflected: bool, declared: object | None
) -> bool:
    """An index that an operator added is not missed by anybody."""
    return not reflected or declared is not None
