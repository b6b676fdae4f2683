"""The databases' schemas, as two histories that do not know each other: `party` and `coordinator`.

A migration is `NNNN_pre_what.py` or `NNNN_post_what.py`. *pre* runs before the code that needs it
and leaves a schema on which the code before it still works; *post* runs when that code is gone.
There is no way down: a restore is a backup's business, and a step that loses data is a `post`.

`migrations.models` declares what a history ends in; each upgrade compares the two.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Role = Literal["party", "coordinator"]

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"(\d{4})_(pre|post)_\w+\.py")


class DriftError(Exception):
    """The migrations did not end in the schema that the models declare; nothing of them remains."""


class AddressError(Exception):
    """A database's address cannot be read. Says nothing of it: there is a password in it."""


class UnavailableError(Exception):
    """The database cannot be reached, or would not be migrated."""


class PoolerError(Exception):
    """A pooler before the database leaves us no session of its server: says what to do."""


def head(role: Role) -> str:
    """The newest revision."""
    return _revisions(role)[-1][0]


def required(role: Role) -> str:
    """The revision that this code cannot do without: the newest one that comes before its code."""
    return [revision for revision, when in _revisions(role) if when == "pre"][-1]


def version_table(role: Role) -> str:
    """Where a database keeps its revision. The name tells one role's database from the other's."""
    return f"warren_{role}_version"


async def upgrade(role: Role, url: str) -> None:
    """Bring the database at `postgresql://...` or `sqlite:///path` to the head. Idempotent.

    Raises DriftError, AddressError, PoolerError or UnavailableError.
    """
    # Workers only ask for revisions; they need not carry alembic and SQLAlchemy in memory.
    from .runner import run

    await run(role, url, _FOLDER / role)


def _revisions(role: Role) -> list[tuple[str, str]]:
    names = sorted(path.name for path in (_FOLDER / role / "versions").glob("*.py"))
    found = [_NAME.fullmatch(name) for name in names]
    return [(match[1], match[2]) for match in found if match is not None]
