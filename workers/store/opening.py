"""From a URL to a store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from contracts.hosts import AddressError, check_host, check_login, with_own_password
from contracts.tls import TlsFileError, TlsFiles

from .interface import CoordinatorStore, PartyStore
from .rows.party import PartyRows
from .sealing import Sealer

POOL_SIZE = 8

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TARGETS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")

_HOST = r"(\[[0-9a-fA-F:.]+\]|[^/?#@:,\[\]]+)(:(?P<port>[0-9]+))?"
_HOSTS = re.compile(_HOST)
_POSTGRES = re.compile(
    r"postgres(ql)?://((?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)/[^?#@]+(\?(?P<query>.*))?"
)
MOST_PORTS = 65_535
_FILES = {"ca": "sslrootcert", "certificate": "sslcert", "key": "sslkey"}
"""As PostgreSQL's addresses name them."""
_VERIFIED = ("verify-full", "verify-ca")
ADDRESS_IN_WORDS = "postgresql://user:password@host/database or sqlite:///path"


def check(url: str) -> str:
    """The URL itself. Raises AddressError, with nothing of the URL in its text, if it is of no use:
    what asyncpg, or Python's own reading of URLs, would say of it quotes it."""
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return url
    found = _POSTGRES.fullmatch(url)
    if found is None:
        raise AddressError(
            f"not like {ADDRESS_IN_WORDS}, or its password has a character that has to be "
            "percent-encoded, such as / or #"
        )
    if found["login"]:
        check_login(found["login"], forbidden="@[]")
    _check_hosts(found["hosts"])
    _check_query(found["query"])
    try:
        if files := files_of(url):
            files.context()
    except TlsFileError as error:
        raise AddressError(str(error)) from None
    return with_own_password(url)


def with_files(url: str, files: TlsFiles) -> str:
    """The URL, with files for TLS that stand elsewhere. Raises AddressError.

    Whoever names a CA means its server, and no other: without a word about it, that is
    ``sslmode=verify-full``. A file of SQLite needs none.
    """
    if not files or url.startswith("sqlite:"):
        return url
    given = _query(url)
    named = {_FILES[name]: str(path) for name in _FILES if (path := getattr(files, name))}
    if any(given.get(name, path) != path for name, path in named.items()):
        raise AddressError("names other files for TLS than are given beside it")
    if given.get("sslmode", "verify-full") not in _VERIFIED:
        raise AddressError(
            f"sslmode={given['sslmode']} believes any server, and files for TLS are given: let it "
            "be verify-full"
        )
    named |= {} if "sslmode" in given else {"sslmode": "verify-full"}
    added = "&".join(f"{name}={quote(value, safe='/')}" for name, value in named.items())
    return f"{url}{'&' if '?' in url else '?'}{added}"


def files_of(url: str) -> TlsFiles:
    """The files for TLS that a URL names."""
    given = _query(url)
    return TlsFiles(**{name: Path(given[told]) for name, told in _FILES.items() if told in given})


def _query(url: str) -> dict[str, str]:
    """The last of each name counts, as for asyncpg."""
    return {name: told[-1] for name, told in parse_qs(url.partition("?")[2]).items()}


def _check_hosts(hosts: str) -> None:
    for host in hosts.split(",") if hosts else ():
        place = _HOSTS.fullmatch(host)
        if place is None or not 0 < int(place["port"] or MOST_PORTS) <= MOST_PORTS:
            raise AddressError(
                f"not like {ADDRESS_IN_WORDS}: a host's name, or a port from 1 to {MOST_PORTS}, "
                "is wrong"
            )
        if not unquote(place[1]).startswith("/"):  # where the server's socket is
            check_host(place[1])


def _check_query(query: str | None) -> None:
    if query is None:
        return
    try:
        given = parse_qs(query, strict_parsing=True)
        ssl = given.get("sslmode", ["prefer"])[-1]
        target = given.get("target_session_attrs", ["any"])[-1]
    except ValueError:  # quotes what it does not understand
        raise AddressError("what follows the ? is not like name=value&name=value") from None
    for name, value, known in (
        ("sslmode", ssl, _SSL_MODES),
        ("target_session_attrs", target, _TARGETS),
    ):
        if value not in known:
            raise AddressError(f"{name} is none of {', '.join(known)}")


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
