"""From a URL to a store."""

from __future__ import annotations

from pathlib import Path

from .interface import CoordinatorStore, PartyStore
from .rows.party import PartyRows
from .sealing import Sealer

POOL_SIZE = 8

_HOST = r"(\[[0-9a-fA-F:.]+\]|[^/?#@:,]+)(:[0-9]+)?"
ADDRESS = rf"postgres(ql)?://([^/?#]*@)?({_HOST}(,{_HOST})*)?/.+|sqlite:///.+"
"""What a store's URL has to match in full."""
ADDRESS_IN_WORDS = "postgresql://user:password@host/database or sqlite:///path"


def open_party_store(
    url: str,
    *,
    party_id: str,
    sealer: Sealer,
    witness: Path | None = None,
    max_connections: int = POOL_SIZE,
) -> PartyStore:
    """The store at `postgresql://...` or `sqlite:///path`; open while its `async with` lasts.

    Entering raises StoreUnavailableError, SchemaError, SealError or WitnessError.

    Arguments:
        witness: The file that tells whether the database has gone back. Without one, the store is
            for key shares, bans and evidence only.
        max_connections: For PostgreSQL.
    """
    rows = PartyRows(party_id, sealer)
    # A process needs one backend's driver, not both.
    if (path := _sqlite_path(url)) is not None:
        from .sqlite.party import SqlitePartyStore

        return SqlitePartyStore(path, rows, witness=witness)
    from .postgres.party import PostgresPartyStore

    return PostgresPartyStore(url, rows, witness=witness, max_connections=max_connections)


def open_coordinator_store(url: str, *, max_connections: int = POOL_SIZE) -> CoordinatorStore:
    """The coordinator's store, like `open_party_store`."""
    if (path := _sqlite_path(url)) is not None:
        from .sqlite.coordinator import SqliteCoordinatorStore

        return SqliteCoordinatorStore(path)
    from .postgres.coordinator import PostgresCoordinatorStore

    return PostgresCoordinatorStore(url, max_connections=max_connections)


def _sqlite_path(url: str) -> Path | None:
    """The path of `sqlite:///relative` or `sqlite:////absolute`; None for PostgreSQL."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:])
    if scheme in {"postgresql", "postgres"}:
        return None
    raise ValueError(f"a store's URL is like {ADDRESS_IN_WORDS}")
