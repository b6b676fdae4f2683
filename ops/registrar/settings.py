"""What whoever lets clients in needs to know.

[registrar]
operator_key_file = "operator.key"      # signs the list; pinned at coordinators and parties
list_file = "clients.list"              # what was signed so far; keep it like the key
party_list_file = "parties.list"        # the same of the parties
members_file = "members.yaml"           # of the topology, see topology/README.md
topology = "topology"                   # its files, if they are not those that come with Warren
amqp_url = "amqps://warren.registrar:...@broker/warren"     # or WARREN_AMQP_URL
management_url = "https://administrator:...@broker:15671"    # or WARREN_MANAGEMENT_URL, _USER, ...
vhost = "warren"
secrets = "broker-secrets"              # for passwords, until they are handed over
clients_amqp_url = "amqps://broker/warren"      # for clients, without a login; else as amqp_url
operators = ["MFkw..."]                 # other operators, who sign entries, too
signed_entries_up_to = {"MFkw..." = 7}  # those who were operators, as at the parties

[[coordinators]]                        # what stands in a new client's file
public_key = "MFkw..."

[[parties]]
party_id = "p1"
public_key = "MFkw..."

[[clients]]                             # those of the configuration files, to be rotated
client_id = "svcA"
public_key = "MFkw..."
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from contracts import hosts
from contracts.client import SettingsError
from contracts.client.settings import read_toml
from contracts.coordinators import PinSection
from contracts.errors import ContractError
from contracts.hosts import AddressError
from contracts.identity import Identity, PublicIdentity
from contracts.numbered_lists import ListOperator
from contracts.operations import known_right
from contracts.peers import Peer
from contracts.primitives import Id
from contracts.signing import explain
from topology import VHOST, tls
from topology.management import Management

_DEFAULT_MANAGEMENT = "http://127.0.0.1:15672"


@dataclass(frozen=True, slots=True)
class Configured:
    """A client of the followers' configuration files. operations: None: all."""

    keys: tuple[PublicIdentity, ...]
    operations: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSettings:
    """
    Attributes:
        operator: Who signs.
        operators: Whose entries count, the one who signs included.
        clients_amqp_url: Without a login.
        topology: The directory of its files; None: those that come with Warren.
        trusted: The tables of a client's file that say whom it believes.
        parties: Those of the configuration files, which the list of parties adds to.
        configured: The clients of the followers' configuration files, as far as they are told here.
    """

    operator: Identity
    operators: tuple[ListOperator, ...]
    list_file: Path
    party_list_file: Path
    members_file: Path
    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)
    clients_amqp_url: str = field(repr=False)
    vhost: str
    topology: Path | None
    secrets: Path
    trusted: Mapping[str, list[dict[str, Any]]]
    parties: Mapping[str, Peer]
    configured: Mapping[str, Configured]
    management_user: str | None = None
    management_password: str | None = field(default=None, repr=False)

    def management(self) -> Management:
        """By the login of the environment, as for `warren topology`, or that of the address."""
        return Management(
            self.management_url, user=self.management_user, password=self.management_password
        )

    @classmethod
    def load(cls, path: Path, environ: Mapping[str, str] = os.environ) -> RegistrarSettings:
        """Raises SettingsError."""
        tables = read_toml(path)
        try:
            file = _File.model_validate(tables)
            own = file.registrar
            operator = _identity(path, own.operator_key_file)
            amqp_url = _secret(path, own.amqp_url, "WARREN_AMQP_URL", None, environ)
            return cls(
                operator=operator,
                operators=_operators(own, operator),
                list_file=path.parent / own.list_file,
                party_list_file=path.parent / own.party_list_file,
                members_file=path.parent / own.members_file,
                amqp_url=hosts.check(amqp_url),
                management_url=tls.with_files(
                    _secret(
                        path,
                        own.management_url,
                        "WARREN_MANAGEMENT_URL",
                        _DEFAULT_MANAGEMENT,
                        environ,
                    ),
                    environ,
                ),
                management_user=environ.get("WARREN_MANAGEMENT_USER"),
                management_password=environ.get("WARREN_MANAGEMENT_PASSWORD"),
                clients_amqp_url=hosts.check(own.clients_amqp_url or amqp_url),
                vhost=own.vhost,
                topology=None if own.topology is None else path.parent / own.topology,
                secrets=path.parent / own.secrets,
                trusted={name: tables.get(name, []) for name in ("coordinators", "parties")},
                parties=_parties(file.parties),
                configured=_configured(file.clients),
            )
        except ValidationError as error:
            raise SettingsError(f"{path}: {explain(error)}") from None
        except (ContractError, AddressError) as error:
            raise SettingsError(f"{path}: {error}") from None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RegistrarSection(_Section):
    operator_key_file: Path
    list_file: Path
    party_list_file: Path = Path("parties.list")
    members_file: Path
    amqp_url: SecretStr | None = None
    management_url: SecretStr | None = None
    clients_amqp_url: str | None = None
    vhost: str = VHOST
    topology: Path | None = None
    secrets: Path = Path("broker-secrets")
    operators: list[str] = Field(default_factory=list)
    signed_entries_up_to: dict[str, int] = Field(default_factory=dict)


class _PartySection(_Section):
    party_id: Id
    public_key: str
    index: int | None = None


class _ClientSection(_Section):
    client_id: Id
    public_key: str
    operations: list[Annotated[str, AfterValidator(known_right)]] | None = None


class _File(_Section):
    registrar: _RegistrarSection
    coordinators: list[PinSection] = Field(default_factory=list)
    parties: list[_PartySection] = Field(default_factory=list)
    clients: list[_ClientSection] = Field(default_factory=list)


def _operators(own: _RegistrarSection, operator: Identity) -> tuple[ListOperator, ...]:
    """Raises ContractError."""
    others = [ListOperator(PublicIdentity.from_base64(each)) for each in own.operators]
    former = [
        ListOperator(PublicIdentity.from_base64(each), last)
        for each, last in own.signed_entries_up_to.items()
    ]
    return (ListOperator(operator.public), *others, *former)


def _parties(sections: list[_PartySection]) -> dict[str, Peer]:
    """In the order of the indices; in that of the file, where it has none. Raises ContractError."""
    return {
        each.party_id: Peer(each.index or place, PublicIdentity.from_base64(each.public_key))
        for place, each in enumerate(sections, start=1)
    }


def _configured(sections: list[_ClientSection]) -> dict[str, Configured]:
    """Raises ContractError."""
    found: dict[str, Configured] = {}
    for each in sections:
        identity = PublicIdentity.from_base64(each.public_key)
        operations = None if each.operations is None else tuple(each.operations)
        before = found.get(each.client_id, Configured((), operations))
        if before.operations != operations:
            raise ContractError(
                f"clients: the keys of {each.client_id} may ask different things, which the list "
                "cannot say: give them ids of their own"
            )
        found[each.client_id] = Configured((*before.keys, identity), operations)
    return found


def _identity(path: Path, file: Path) -> Identity:
    key = path.parent / file
    try:
        return Identity.from_base64(key.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SettingsError(f"{key}: {error.strerror}") from None
    except (UnicodeDecodeError, ContractError):
        raise SettingsError(f"{key}: not a base64 private key") from None


def _secret(
    path: Path,
    own: SecretStr | None,
    variable: str,
    default: str | None,
    environ: Mapping[str, str],
) -> str:
    """An address with a login, from the first place that has it."""
    if own is not None:
        return own.get_secret_value()
    found = environ.get(variable, default)
    if found is None:
        raise SettingsError(
            f"{path}: no {variable.removeprefix('WARREN_').lower()}: set it there, or {variable} "
            "in the environment"
        )
    return found
