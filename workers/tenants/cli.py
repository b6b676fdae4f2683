"""`warren tenants export|sign`, `warren party tenants import|show`."""

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from contracts.errors import ContractError
from contracts.tenants import TenantList, open_list, sign_list

from .. import private_keys
from ..delivery.clock import now_ms
from ..settings import CoordinatorSettings, PartySettings, SettingsError
from ..store.interface import SchemaError, StoreUnavailableError, WitnessError
from ..store.opening import open_coordinator_store
from ..store.records import TenantRecord
from ..store.sealing import SealError
from .lists import Given, give, keys_without_tenant

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="Whose keys are that were made before certificates told the tenant.",
)
party = typer.Typer(
    no_args_is_help=True,
    help="The tenants of keys that were made before certificates told them.",
)

EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2
EXIT_UNAVAILABLE = 4

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML configuration.", dir_okay=False)]
List = Annotated[
    Path, typer.Argument(metavar="FILE", help="The list; its signature is FILE.signature.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("export")
def export(
    config: Config,
    out: Annotated[Path, typer.Option("--out", "-o", help="The list; must not exist.")],
) -> None:
    """Write the coordinator's keys without a certified tenant, with the tenants that it knows.

    It is the coordinator's word. Compare it with your own records before you sign it: whoever
    stands there as a key's tenant signs with that key, for ever.
    """

    async def work() -> int:
        settings = CoordinatorSettings.load(config)
        async with open_coordinator_store(settings.database_url, max_connections=1) as store:
            keys = [key async for key in keys_without_tenant(store)]
        if keys:
            _write(out, TenantList(keys=keys).model_dump_json(indent=1) + "\n")
        return len(keys)

    count = _run(work())
    if count:
        typer.echo(f"{count} keys in {out}: compare with your records, then `warren tenants sign`.")
    else:
        typer.echo("Every key has its owner certified; nothing was written.")


@app.command("sign")
def sign(
    file: List,
    key: Annotated[
        Path, typer.Option("--key", "-k", help="An operator's private key file.", dir_okay=False)
    ],
) -> None:
    """Sign a list with an operator's key: every party that knows it will believe the list."""
    try:
        signature = sign_list(_read(file), private_keys.read(key, "--key"))
    except ContractError as error:
        _leave(str(error), EXIT_CONFIGURATION)
    beside = _beside(file)
    _write(beside, signature.model_dump_json() + "\n")
    typer.echo(f"Signed: {beside}. Give both files to each party: `warren party tenants import`.")


@party.command("import")
def import_(file: List, config: Config, as_json: AsJson = False) -> None:
    """Give each key of a signed list its tenant, once and for ever.

    Exits with 1 if something was refused: a key that is another one than the list says, that was
    given another tenant before, or whose owner has another key of its id.
    """

    async def work() -> dict[str, int]:
        settings = PartySettings.load(config)
        operators = [client.identity for client in settings.clients if client.operator]
        wanted = open_list(_read(file), _read(_beside(file)), operators)
        async with settings.opened() as store:
            counted = await give(store, wanted, now=now_ms())
        return {each.value: counted[each] for each in Given}

    report = _run(work())
    if as_json:
        typer.echo(json.dumps(report))
    else:
        typer.echo(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.items()))
    if report[Given.REFUSED]:
        raise typer.Exit(EXIT_REFUSED)


@party.command("show")
def show(config: Config, as_json: AsJson = False) -> None:
    """List the keys that were given a tenant here, and when."""

    async def work() -> list[TenantRecord]:
        async with PartySettings.load(config).opened() as store:
            return await store.tenants()

    rows = [
        {
            "session": given.key_session.hex(),
            "client": given.owner.partition("/")[0] or None,
            "tenant": given.tenant,
            "since": _moment(given.given_at),
        }
        for given in _run(work())
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("  ".join(value or "-" for value in row.values()))
    if not rows:
        typer.echo("No key was given a tenant here.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except ContractError as error:
        _leave(str(error), EXIT_REFUSED)
    except (SettingsError, SealError, SchemaError, WitnessError) as error:
        _leave(str(error), EXIT_CONFIGURATION)
    except StoreUnavailableError as error:
        _leave(f"cannot reach the database: {error}", EXIT_UNAVAILABLE)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.signature")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        _leave(f"{file}: {error.strerror}", EXIT_CONFIGURATION)


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        _leave(f"{file}: {error.strerror}; nothing was written", EXIT_CONFIGURATION)


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
