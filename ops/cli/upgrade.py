"""`warren upgrade check`: what an upgrade leaves to be done by people."""

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ops.cli.exits import ExitCode, leave, print_json
from workers.settings import CoordinatorSettings, PartySettings, SettingsError
from workers.store.interface import SchemaError, StoreUnavailableError, WitnessError
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.sealing import Sealer, SealError
from workers.tenants.lists import keys_without_tenant, shares_without_tenant

app = typer.Typer(no_args_is_help=True, help="What an upgrade leaves to be done by people.")


@app.callback()
def upgrade() -> None:
    """So that `check` is a command of its own."""


class Role(StrEnum):
    """Whose configuration file it is."""

    PARTY = "party"
    COORDINATOR = "coordinator"


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


async def _shares_without_tenant(config: Path) -> list[str]:
    settings = PartySettings.load(config)
    sealer = Sealer(settings.master_keys())
    async with open_party_store(
        settings.database_url, party_id=settings.party_id, sealer=sealer, max_connections=1
    ) as store:
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
)
"""In the order in which they are told."""


@app.command("check")
def check(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="A party's or the coordinator's.", dir_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what is left to do after an upgrade; exits with 1 if there is anything.

    \b
    Example:
      warren upgrade check -c party-1.toml
    """
    try:
        role = _role(config)
        found = asyncio.run(_find(role, config))
    except (SettingsError, SchemaError, SealError, WitnessError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    except StoreUnavailableError as error:
        text = f"cannot reach the database: {error}"
        leave(ExitCode.UNREACHABLE, "unreachable", text, as_json=as_json)
    if as_json:
        rows = [
            {"name": row.name, "todo": row.todo, "known": row.known, "found": lines}
            for row, lines in found
        ]
        print_json({"role": role.value, "checks": rows})
    else:
        _tell(role, found)
    if any(lines and not row.known for row, lines in found):
        raise typer.Exit(ExitCode.FAILED)


async def _find(role: Role, config: Path) -> list[tuple[Check, list[str]]]:
    return [(row, await row.find(config)) for row in CHECKS if row.role is role]


def _tell(role: Role, found: list[tuple[Check, list[str]]]) -> None:
    for row, lines in found:
        if lines:
            typer.echo(f"{len(lines)} {row.name.replace('_', ' ')}: {row.todo}")
            for line in lines:
                typer.echo(f"  {line}")
    if not any(lines for _, lines in found):
        typer.echo(f"Nothing is left to do at this {role}.")


def _role(config: Path) -> Role:
    try:
        with config.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        _refuse(f"{config}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        _refuse(f"{config}: not TOML")
    return Role.PARTY if "party" in content else Role.COORDINATOR


def _refuse(text: str) -> NoReturn:
    raise SettingsError(text)
