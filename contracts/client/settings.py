"""What a producer needs to know: where the broker is, who it is itself, whom it trusts.

[client]
client_id = "svcA"                      # leave out for a producer of the old kind
amqp_url = "amqps://svcA:...@broker/warren"     # or WARREN_AMQP_URL; host1,host2 for a cluster
amqp_ca_file = "ca.pem"                 # for amqps://; or WARREN_AMQP_CA_FILE, else the system's
amqp_certificate_file = "svcA.pem"      # where it is wanted; without user and password in amqp_url
amqp_key_file = "svcA.tls.key"          # it is the login
private_key_file = "svcA.key"           # or private_key, or WARREN_PRIVATE_KEY
bundles = true                          # results may come several in one message; see `bundles`
liars = 1                               # of parties, that `final` withstands; see `Settlement`
list_operators = ["MFkwEwYHKoZ..."]     # who signs the list of parties, if it is to be followed
party_list_file = "parties.list"        # what is known of it

[[coordinators]]                        # whose results are believed; see `coordinators`
public_key = "MFkwEwYHKoZIzj0CAQYIKoZI..."

[[parties]]                             # every party whose certificates are to be believed; one
                                        # that changes its key may stand here twice
party_id = "p1"
public_key = "MFkwEwYHKoZIzj0CAQYIKoZI..."
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .. import hosts
from ..coordinators import Coordinators, PinSection
from ..errors import ContractError
from ..identity import Identity, PublicIdentity
from ..numbered_lists import ListOperator
from ..peers import Pinned
from ..primitives import MAX_PARTIES, Id
from ..requests import MAX_LIFETIME_MS
from ..signer import Signer
from ..signing import explain
from ..tls import TlsFiles
from .errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """
    Attributes:
        amqp_url: With the files for TLS. May hold a password; not in the repr.
        client_id: None for a producer of the old kind, on the queue that those share.
        identity: Who signs requests: an `Identity`, whose key is here, or a key management
            service's key, see `signer`.
        coordinators: The identities that count when a result is believed.
        parties: The identities that count when a key's certificates are verified.
        speaking: Those that count for what a party says now; None: the same.
        list_operators: Whose entries of the list of parties count; none: it is not followed.
        party_list_file: Keeps what was verified of that list. Of one machine.
        timeout_s: Lifetime of requests that begin a session, unless the call says otherwise.
        query_timeout_s: Lifetime of all other requests.
        margin_s: How much longer than the deadline a call waits: the coordinator's last word
            about an expired session comes after it.
        ask_again_s: After so long without a result the request is published again, the same
            bytes under the same id; then after twice as long, and so on.
        bundles: Whether signatures may come several in one message of AMQP, while no other process
            reads the queue. False where a program that knows nothing of that may begin to.
        liars: How many parties that state that they have not signed a cancelled request may lie,
            until `Settlement.final` is false. None: one less than the key's threshold, for which
            all its holders have to state it. With 0, one liar breaks it.
    """

    amqp_url: str = field(repr=False)
    client_id: str | None
    identity: Signer
    coordinators: Coordinators
    parties: Mapping[str, Pinned]
    speaking: Mapping[str, Pinned] | None = None
    list_operators: tuple[ListOperator, ...] = ()
    party_list_file: Path | None = None
    timeout_s: float = 60.0
    query_timeout_s: float = 15.0
    margin_s: float = 5.0
    ask_again_s: float = 5.0
    confirm_timeout_s: float = 10.0
    heartbeat_s: int = 8
    bundles: bool = True
    liars: int | None = None

    @property
    def speakers(self) -> Mapping[str, Pinned]:
        """By which keys the parties speak now."""
        return self.parties if self.speaking is None else self.speaking

    @property
    def private_identity(self) -> Identity:
        """The key, where it is here. Raises SettingsError where another signer has it."""
        if not isinstance(self.identity, Identity):
            raise SettingsError("the client's key is not in this process: its signer has it")
        return self.identity

    @classmethod
    def load(
        cls,
        path: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        signer: Signer | None = None,
    ) -> ClientSettings:
        """Read a file as above.

        Arguments:
            signer: In place of the private key, which need not be there then.

        Raises SettingsError.
        """
        return cls.of(read_toml(path), path, environ, signer=signer)

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Any],
        path: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        signer: Signer | None = None,
    ) -> ClientSettings:
        """From the tables of a file that was read.

        Arguments:
            path: Of the file, for errors and for what it names relative to itself.
            signer: As in `load`.

        Raises SettingsError.
        """
        file = _validated(tables, path)
        client = file.client
        try:
            return cls(
                amqp_url=_amqp_url(path, client, environ),
                client_id=client.client_id,
                identity=signer or Identity.from_base64(_private_key(path, client, environ)),
                coordinators=Coordinators.pinned(file.coordinators),
                parties=_pinned(file.parties),
                list_operators=tuple(
                    ListOperator(PublicIdentity.from_base64(each)) for each in client.list_operators
                ),
                party_list_file=None
                if client.party_list_file is None
                else path.parent / client.party_list_file,
                timeout_s=client.timeout_s,
                liars=client.liars,
                bundles=client.bundles,
            )
        except ContractError as error:
            raise SettingsError(f"{path}: {error}") from None


def _amqp_url(path: Path, client: _ClientSection, environ: Mapping[str, str]) -> str:
    if client.amqp_url is not None:
        source, url = f"{path}: amqp_url", client.amqp_url.get_secret_value()
    elif "WARREN_AMQP_URL" in environ:
        source, url = "WARREN_AMQP_URL", environ["WARREN_AMQP_URL"]
    else:
        raise SettingsError(
            f"{path}: no amqp_url: set it under [client], or WARREN_AMQP_URL in the environment"
        )
    try:
        return hosts.check(hosts.with_files(url, _tls_files(path, client, environ)))
    except hosts.AddressError as error:
        raise SettingsError(f"{source}: {error}") from None


def _tls_files(path: Path, client: _ClientSection, environ: Mapping[str, str]) -> TlsFiles:
    return TlsFiles.named(
        path.parent,
        "WARREN_AMQP",
        environ,
        ca=client.amqp_ca_file,
        certificate=client.amqp_certificate_file,
        key=client.amqp_key_file,
    )


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ClientSection(_Section):
    client_id: Id | None = None
    amqp_url: SecretStr | None = None
    amqp_ca_file: Path | None = None
    amqp_certificate_file: Path | None = None
    amqp_key_file: Path | None = None
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    list_operators: list[str] = Field(default_factory=list)
    party_list_file: Path | None = None
    timeout_s: float = Field(default=60.0, gt=0, le=MAX_LIFETIME_MS / 1000)
    liars: int | None = Field(default=None, ge=0, lt=MAX_PARTIES)
    bundles: bool = True


class _PartySection(_Section):
    party_id: Id
    public_key: str
    index: int | None = None
    """Means nothing here; so that the workers' lists of parties can be used as they are."""


def _pinned(sections: list[_PartySection]) -> dict[str, Pinned]:
    """Raises ContractError."""
    found: dict[str, tuple[PublicIdentity, ...]] = {}
    for each in sections:
        key = PublicIdentity.from_base64(each.public_key)
        found[each.party_id] = (*found.get(each.party_id, ()), key)
    return {name: keys if len(keys) > 1 else keys[0] for name, keys in found.items()}


class _File(_Section):
    client: _ClientSection
    coordinators: list[PinSection] = Field(default_factory=list)
    parties: list[_PartySection] = Field(min_length=2)


def read_toml(path: Path) -> dict[str, Any]:
    """Raises SettingsError."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not TOML: not UTF-8 text") from None


def _validated(tables: Mapping[str, Any], path: Path) -> _File:
    try:
        return _File.model_validate(tables)
    except ValidationError as error:
        raise SettingsError(f"{path}: {explain(error)}") from None


def _private_key(path: Path, client: _ClientSection, environ: Mapping[str, str]) -> str:
    if client.private_key is not None:
        return client.private_key.get_secret_value()
    if client.private_key_file is not None:
        key_path = path.parent / client.private_key_file
        try:
            return key_path.read_text().strip()
        except OSError as error:
            raise SettingsError(f"{key_path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{key_path}: not a base64 private key") from None
    if "WARREN_PRIVATE_KEY" in environ:
        return environ["WARREN_PRIVATE_KEY"]
    raise SettingsError(
        f"{path}: no private key: set private_key_file under [client], or WARREN_PRIVATE_KEY "
        "in the environment (`warren identity new` makes one)"
    )
