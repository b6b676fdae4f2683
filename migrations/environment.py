"""What every history's `env.py` does: migrate on the connection that the runner opened."""

from __future__ import annotations

from alembic import context


def migrate() -> None:
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes["version_table"],
        # SQLite can do it, once the runner has taken the transaction out of the driver's hands.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
