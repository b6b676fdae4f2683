"""`warren upgrade check`: what an upgrade leaves to be done by people."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from contracts.client import ClientSettings
from contracts.client import SettingsError as ClientSettingsError
from gateway.settings import GatewaySettings
from ops.cli.exits import ExitCode, leave, print_json
from ops.configurations import Role, Tables, read, role_of, section
from workers import private_keys
from workers.settings import CoordinatorSettings, PartySettings, SettingsError
from workers.store.interface import SchemaError, StoreUnavailableError, WitnessError
from workers.store.opening import open_coordinator_store
from workers.store.sealing import SealError
from workers.tenants.lists import keys_without_tenant, shares_without_tenant

app = typer.Typer(no_args_is_help=True, help="What an upgrade leaves to be done by people.")


@app.callback()
def upgrade() -> None:
    """So that `check` is a command of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What a file must say since the upgrade; without it nothing else can be looked at.

    Attributes:
        name, todo: As in `Check`.
        lacks: What is not there; None if it is.
    """

    roles: frozenset[Role]
    name: str
    todo: str
    lacks: Callable[[Tables], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    Attributes:
        name: For scripts.
        todo: What is to be done about what is found.
        find: From the configuration file to what is left, a line each. Raises what opening
            settings and stores raises.
        known: What is found cannot be undone, only known: it leaves the exit code alone.
    """

    role: Role
    name: str
    todo: str
    find: Callable[[Path], Awaitable[list[str]]]
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one row of either table has found."""

    row: Lack | Check
    lines: list[str]

    @property
    def known(self) -> bool:
        return isinstance(self.row, Check) and self.row.known


def _no_pins(tables: Tables) -> str | None:
    return None if tables.get("coordinators") else "no [[coordinators]]"


def _no_identity(tables: Tables) -> str | None:
    names = {"private_key", "private_key_file"} & {*section(tables, Role.COORDINATOR)}
    given = names or private_keys.VARIABLE in os.environ
    return None if given else "no private_key_file under [coordinator]"


def _no_authority(tables: Tables) -> str | None:
    given = section(tables, Role.GATEWAY).get("api_key_authority")
    return None if given else "no api_key_authority under [gateway]"


LACKS = (
    Lack(
        roles=frozenset({Role.PARTY, Role.GATEWAY, Role.CLIENT}),
        name="missing_pins",
        todo="nothing is believed that the coordinator has not signed: add a table "
        "[[coordinators]] with its public_key, see ops/runbooks/coordinator-identity.md",
        lacks=_no_pins,
    ),
    Lack(
        roles=frozenset({Role.COORDINATOR}),
        name="missing_identity",
        todo="the coordinator signs what it says: `warren identity new --out coordinator.key`, and "
        "the public key into the files of all parties, clients and gateways",
        lacks=_no_identity,
    ),
    Lack(
        roles=frozenset({Role.GATEWAY}),
        name="missing_authority",
        todo="API keys are what an authority has signed: `warren gateway api-keys authority new "
        "FILE` on a machine that is no gateway, see ops/runbooks/api-key-authority.md",
        lacks=_no_authority,
    ),
)
"""In the order in which they are told."""


async def _shares_without_tenant(config: Path) -> list[str]:
    settings = PartySettings.load(config)
    async with settings.opened() as store:
        return [
            f"key {share.key_id} of {share.owner or '(no client)'}, {share.key_session.hex()}"
            for share in await shares_without_tenant(store)
        ]


async def _keys_without_tenant(config: Path) -> list[str]:
    settings = CoordinatorSettings.load(config)
    async with open_coordinator_store(settings.database_url, max_connections=1) as store:
        return [
            f"key {key.key_id} of {key.owner or '(no client)'}, {key.key_session.hex()}"
            async for key in keys_without_tenant(store)
        ]


async def _unsigned_api_keys(config: Path) -> list[str]:
    settings = CoordinatorSettings.load(config)
    client_ids = {policy.client_id for policy in settings.clients if policy.client_id is not None}
    async with open_coordinator_store(settings.database_url, max_connections=1) as store:
        return [
            f"API key {key.api_key_id} of tenant {key.holder}, client {client_id}"
            for client_id in sorted(client_ids)
            for key in await store.unsigned_api_keys(
                client_id, now=round(time.time() * 1000), limit=MANY
            )
        ]


async def _forgetful(config: Path) -> list[str]:
    kept = GatewaySettings.load(config).door.api_keys_file
    return [] if kept is not None else ["no api_keys_file under [gateway]"]


MANY = 500
"""Lines of one row that are of use to anybody."""

CHECKS = (
    Check(
        role=Role.PARTY,
        name="keys_without_tenant",
        todo="until it has a tenant, such a key signs only what is asked for without one: "
        "`warren tenants export` and `sign`, then `warren party tenants import` here",
        find=_shares_without_tenant,
    ),
    Check(
        role=Role.COORDINATOR,
        name="keys_of_before_tenants",
        todo="`warren tenants export`, and `warren upgrade check` at each party tells whether it "
        "has the list; what these keys may serve is certified for none of them",
        find=_keys_without_tenant,
        known=True,
    ),
    Check(
        role=Role.COORDINATOR,
        name="unsigned_api_keys",
        todo="nobody enters with an API key that no authority has signed: `warren gateway api-keys "
        "adopt` where the authority's file is",
        find=_unsigned_api_keys,
    ),
    Check(
        role=Role.GATEWAY,
        name="forgetful",
        todo="a restart forgets how far the chain of API keys went, and a false coordinator may "
        "take back its end: name a file on this machine",
        find=_forgetful,
    ),
)
"""In the order in which they are told."""


@app.command("check")
def check(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            help="A party's, the coordinator's, a gateway's or a client's.",
            dir_okay=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what is left to do after an upgrade; exits with 1 if there is anything.

    \b
    Example:
      warren upgrade check -c party-1.toml
    """
    try:
        tables = read(config)
        role = role_of(config, tables)
        lacking = _lacking(role, tables)
        found = lacking or asyncio.run(_find(role, config))
    except (SettingsError, ClientSettingsError, SchemaError, SealError, WitnessError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    except StoreUnavailableError as error:
        text = f"cannot reach the database: {error}"
        leave(ExitCode.UNREACHABLE, "unreachable", text, as_json=as_json)
    if as_json:
        rows = [
            {
                "name": each.row.name,
                "todo": each.row.todo,
                "known": each.known,
                "found": each.lines,
            }
            for each in found
        ]
        print_json({"role": role.value, "checks": rows, "complete": not lacking})
    else:
        _tell(role, found)
        if lacking:
            typer.echo("Then ask again: without it, nothing else can be looked at.")
    if any(each.lines and not each.known for each in found):
        raise typer.Exit(ExitCode.FAILED)


def _lacking(role: Role, tables: Tables) -> list[Found]:
    asked = [(row, row.lacks(tables)) for row in LACKS if role in row.roles]
    return [Found(row=row, lines=[lack]) for row, lack in asked if lack is not None]


async def _find(role: Role, config: Path) -> list[Found]:
    if role is Role.CLIENT:
        ClientSettings.load(config)
    return [Found(row=row, lines=await row.find(config)) for row in CHECKS if row.role is role]


def _tell(role: Role, found: list[Found]) -> None:
    for each in found:
        if each.lines:
            what = each.row.name.replace("_", " ")
            typer.echo(f"{len(each.lines)} {what}: {each.row.todo}")
            for line in each.lines:
                typer.echo(f"  {line}")
    if not any(each.lines for each in found):
        typer.echo(f"Nothing is left to do at this {role}.")
