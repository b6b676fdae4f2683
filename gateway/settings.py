"""What a gateway needs to know. One file, read once but for the two lists of networks, which are
read again when it changes:

[gateway]
host = "127.0.0.1"
port = 8080
api_key_authority = "MFkwEwYHKoZ..."    # `warren gateway api-keys authority new` makes it
api_keys_file = "api-keys"              # what is known of API keys, kept over a restart
list_operators = ["MFkwEwYHKoZ..."]     # who signs the lists of clients and parties, if they are
                                        # to be followed
client_list_file = "clients.list"       # what is known of the one
party_list_file = "parties.list"        # and of the other
allowed_ips = ["127.0.0.0/8", "::1"]    # or WARREN_ALLOWED_IPS, which wins; else loopback only
trusted_proxies = ["10.0.0.5"]          # whose X-Forwarded-For is believed; nobody's unless given

[limits]                                # see `Limits`; of each process
requests = 200

[party_names]                           # callers' names for parties, where they have their own
server-party-1 = "party-1"

[client]                                # as any producer's: `contracts.client.ClientSettings`
client_id = "gateway"
...
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contracts.api_keys import Chain
from contracts.client import ClientSettings, SettingsError
from contracts.client.settings import read_toml
from contracts.client_list import ClientList
from contracts.hosts import Hosts, files_of
from contracts.identity import PublicIdentity
from contracts.numbered_lists import ListOperator
from contracts.primitives import Id, Words
from contracts.requests import MAX_JOIN_WINDOW_MS
from contracts.signing import explain

from .entry.networks import LOOPBACK, Network, parse_networks
from .ledger import Ledger
from .turns import AT_ONCE

JOIN_WINDOW_MS = 1000
ALLOWED_IPS = "WARREN_ALLOWED_IPS"
"""Environment variable: addresses and networks, separated by commas. Empty: loopback only."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Door(_Section):
    """Where the gateway listens, and to whom."""

    api_key_authority: str = ""
    """The public key of whoever says which API keys there are. Nobody else is believed."""
    api_keys_file: Path | None = None
    """Keeps what was verified of API keys, so that nobody can take it back by a restart. Of one
    machine; its processes and gateways may share it."""
    list_operators: list[str] = []
    """The public keys of operators who sign the lists of clients and parties. With none, they are
    not followed."""
    client_list_file: Path | None = None
    """Keeps what was verified of that list. Of one machine; its processes may share it."""
    party_list_file: Path | None = None
    """The same of the parties."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, lt=2**16)
    allowed_ips: list[str] = Field(default=list(LOOPBACK))
    trusted_proxies: list[str] = []
    health_from_anywhere: bool = False
    """Whether /health and /health/ready answer addresses that are not allowed."""
    cors_origins: list[str] = []
    """Origins of pages that browsers may let call this gateway, such as ``https://a.example``."""
    tls_certificate_file: Path | None = None
    """PEM, with its chain. Without, a proxy that ends TLS has to stand before any address but
    loopback: API keys travel in the clear."""
    tls_key_file: Path | None = None
    """PEM; nobody else may read it."""
    access_log: bool = True
    """One line for each request: method, route, status, time, address, API key's id and holder,
    and which session, account and request it was about."""
    join_window_ms: int = Field(default=JOIN_WINDOW_MS, ge=1, le=MAX_JOIN_WINDOW_MS)
    """How long a session of the generic dialect waits for its parties to be joined before it begins
    without. Callers that join nobody wait as long for their result."""
    shutdown_seconds: int = Field(default=10, ge=0)
    """How long requests in flight may take after SIGTERM."""

    @field_validator("allowed_ips", "trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        parse_networks(value)
        return value

    @field_validator("list_operators")
    @classmethod
    def _operators(cls, value: list[str]) -> list[str]:
        for each in value:
            PublicIdentity.from_base64(each)
        return value

    @field_validator("api_key_authority")
    @classmethod
    def _authority(cls, value: str) -> str:
        if value:
            PublicIdentity.from_base64(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            scheme, found, host = origin.partition("://")
            if scheme not in {"http", "https"} or not found or not host or "/" in host:
                raise ValueError(f"{origin!r} is not an origin such as https://a.example")
        return value

    @model_validator(mode="after")
    def _tls(self) -> Door:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("give both tls_certificate_file and tls_key_file, or neither")
        return self

    @property
    def allowed(self) -> tuple[Network, ...]:
        """`allowed_ips`, parsed."""
        return parse_networks(self.allowed_ips)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """`trusted_proxies`, parsed."""
        return parse_networks(self.trusted_proxies)


class Limits(_Section):
    """What one caller may take from the others. Each process of a gateway counts for itself."""

    requests: int = Field(default=200, ge=1)
    """Of one API key in any `window_seconds`: so many at once, and no more a second on average
    than what one divided by the other gives."""
    window_seconds: int = Field(default=2, ge=1, le=3600)
    failed_keys: int = Field(default=20, ge=1)
    """Requests without a valid key, of one address (IPv6: of one /64), in
    `failed_keys_window_seconds`; after that they are not even looked at."""
    failed_keys_window_seconds: int = Field(default=10, ge=1, le=3600)
    in_flight_per_key: int = Field(default=64, ge=1)
    """Requests of one API key at the same time, those that wait for a result included."""
    in_flight_per_holder: int = Field(default=256, ge=1)
    """The same for all keys of one holder."""
    in_flight: int = Field(default=1024, ge=1)
    """The same for all keys together."""
    questions_at_once_per_holder: int = Field(default=AT_ONCE, ge=1)
    """To the coordinator, four while others ask too; the next one waits for its turn."""
    event_streams_per_key: int = Field(default=16, ge=1)
    """Of the requests in flight, how many may be streams of a session's events."""
    event_streams_per_holder: int = Field(default=64, ge=1)
    """The same for all keys of one holder."""
    body_bytes: int = Field(default=262_144, ge=1024)
    body_seconds: float = Field(default=10, gt=0)
    """How long a body may take to arrive."""
    header_bytes: int = Field(default=32_768, ge=1024)
    """Of one request's line and headers."""
    header_seconds: float = Field(default=10, gt=0)
    """How long they may take, from the connection or the request's first byte."""
    idle_seconds: int = Field(default=15, ge=1)
    """How long a connection is kept after an answer."""
    read_seconds: float = Field(default=30, gt=0)
    """How long a caller may not read what it is sent."""
    connections: int = Field(default=4096, ge=16)


_CLIENTS_TABLES = ("client", "coordinators", "parties")
"""Of the same file, as `ClientSettings` reads them."""


class _File(_Section):
    gateway: Door = Door()
    limits: Limits = Limits()
    party_names: dict[Words, Id] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """
    Attributes:
        party_names: Caller's name -> party id.
        path: Of the file that it was read from, if any.
    """

    client: ClientSettings
    door: Door = field(default_factory=Door)
    limits: Limits = field(default_factory=Limits)
    party_names: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def load(cls, path: Path, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read a file as above. Raises SettingsError."""
        tables = read_toml(path)
        theirs: dict[str, Any] = {
            name: tables.pop(name) for name in _CLIENTS_TABLES if name in tables
        }
        file = _own(tables, path)
        door = _from_environment(file.gateway, environ)
        client = ClientSettings.of(theirs, path, environ)
        if client.client_id is None:
            raise SettingsError(f"{path}: client: a gateway needs a client_id of its own")
        if not door.api_key_authority:
            raise SettingsError(
                f"{path}: gateway: no api_key_authority: set the public key that `warren gateway "
                "api-keys authority new FILE` prints, on a machine that is no gateway"
            )
        door = _absolute(door, path.parent)
        if not client.list_operators:
            operators = [PublicIdentity.from_base64(each) for each in door.list_operators]
            client = replace(
                client,
                list_operators=tuple(map(ListOperator, operators)),
                party_list_file=door.party_list_file,
            )
        return cls(
            client=client,
            door=door,
            limits=file.limits,
            party_names=file.party_names,
            path=path,
        )

    def ledger(self) -> Ledger:
        """Of API keys. Raises ContractError without an authority."""
        authority = PublicIdentity.from_base64(self.door.api_key_authority)
        assert self.client.client_id is not None  # by `load`
        return Ledger(Chain(authority, self.client.client_id), self.door.api_keys_file)

    def certificates(self) -> dict[str, Path]:
        """The files of those that we show, by whom they are shown to."""
        files = {
            "broker": files_of(Hosts(self.client.amqp_url, first=0).current).certificate,
            "callers": self.door.tls_certificate_file,
        }
        return {name: file for name, file in files.items() if file is not None}

    def client_list(self) -> ClientList | None:
        """The empty list, to be followed; None where nobody is pinned who could sign it."""
        operators = [PublicIdentity.from_base64(each) for each in self.door.list_operators]
        return ClientList(map(ListOperator, operators)) if operators else None

    def keeping_api_keys(self, path: Path) -> GatewaySettings:
        """The same, with a file for what is known of API keys if it has none."""
        kept = self.door.api_keys_file or path
        return replace(self, door=self.door.model_copy(update={"api_keys_file": kept}))

    def listening(self, *, host: str | None, port: int | None) -> GatewaySettings:
        """The same, at another address where one is given."""
        update = {"host": host, "port": port}
        given = {name: value for name, value in update.items() if value is not None}
        return replace(self, door=self.door.model_copy(update=given))


def read_door(path: Path, environ: Mapping[str, str] = os.environ) -> Door:
    """The door alone, as the file says by now. Raises SettingsError."""
    tables = read_toml(path)
    own = {name: told for name, told in tables.items() if name not in _CLIENTS_TABLES}
    return _from_environment(_own(own, path).gateway, environ)


def _own(tables: Mapping[str, Any], path: Path) -> _File:
    try:
        return _File.model_validate(tables)
    except ValidationError as error:
        raise SettingsError(f"{path}: {explain(error)}") from None


def _from_environment(door: Door, environ: Mapping[str, str]) -> Door:
    if ALLOWED_IPS not in environ:
        return door
    listed = [part.strip() for part in environ[ALLOWED_IPS].split(",") if part.strip()]
    try:
        parse_networks(listed)
    except ValueError as error:
        raise SettingsError(f"{ALLOWED_IPS}: {error}") from None
    return door.model_copy(update={"allowed_ips": listed or list(LOOPBACK)})


def _absolute(door: Door, folder: Path) -> Door:
    """Files are named relative to the configuration."""
    named = {
        "api_keys_file": door.api_keys_file,
        "client_list_file": door.client_list_file,
        "party_list_file": door.party_list_file,
        "tls_certificate_file": door.tls_certificate_file,
        "tls_key_file": door.tls_key_file,
    }
    return door.model_copy(
        update={name: folder / path for name, path in named.items() if path is not None}
    )
