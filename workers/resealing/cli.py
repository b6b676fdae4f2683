"""`warren party reseal`."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from contracts.errors import ContractError
from contracts.hosts import AddressError

from ..backup.archive import Backup
from ..backup.errors import BackupError
from ..settings import PartySettings, SettingsError
from ..store.interface import PartyStore, SchemaError, StoreUnavailableError
from ..store.rows.party import PartyRows
from ..store.rows.sealed import Sealed
from ..store.sealing import MasterKeys, Sealer, SealError
from .resealing import Found, Step, check, reseal

EXIT_LEFT = 1
EXIT_CONFIGURATION = 2
EXIT_UNAVAILABLE = 4

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML configuration.", dir_okay=False)]


def command(
    config: Config,
    only_check: Annotated[
        bool, typer.Option("--check", help="Change nothing; tell what needs an older key.")
    ] = False,
    backups: Annotated[
        list[Path] | None,
        typer.Option(
            "--backup",
            metavar="FILE",
            help="Also tell whether this backup needs an older key; as often as you like.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Seal everything again that is not under the newest master key, and prove it.

    Give all workers of the party the new version first, and restart them: what is sealed under it
    opens for nobody else. It may be stopped at any time, by force too, and be run again. Exit code
    0: nothing in the database needs an older version, nor any backup that was named; 1: something
    does.
    """
    try:
        settings = PartySettings.load(config)
        keys = settings.master_keys()
        done, found = asyncio.run(_work(settings, only_check=only_check, quiet=as_json))
        old = [each for each in backups or () if _needs_more(each, settings.party_id, keys)]
    except (SettingsError, SealError, SchemaError, AddressError, ContractError) as error:
        _leave(str(error), EXIT_CONFIGURATION)
    except BackupError as error:
        _leave(str(error), EXIT_CONFIGURATION)
    except OSError as error:
        _leave(f"{error.filename}: {error.strerror}", EXIT_CONFIGURATION)
    except StoreUnavailableError as error:
        _leave(f"cannot reach the database: {error}", EXIT_UNAVAILABLE)
    if as_json:
        typer.echo(json.dumps(_report(keys, done, found, old)))
    else:
        _tell(keys, done, found, old)
    if old or not found.nothing:
        raise typer.Exit(EXIT_LEFT)


async def _work(
    settings: PartySettings, *, only_check: bool, quiet: bool
) -> tuple[dict[Sealed, int], Found]:
    sealer = settings.sealer()
    async with settings.opened() as store:
        settings.share_keys.begin()
        done = dict.fromkeys(Sealed, 0)
        if not only_check:
            with _bars("sealing", await _counts(store), quiet=quiet) as step:
                done = await reseal(store, settings.party_id, sealer, step)
        with _bars("checking", await _counts(store), quiet=quiet) as step:
            return done, await check(store, settings.party_id, sealer, step)


async def _counts(store: PartyStore) -> dict[Sealed, int]:
    return {kind: await store.count_sealed(kind) for kind in Sealed}


@contextmanager
def _bars(verb: str, counts: dict[Sealed, int], *, quiet: bool) -> Iterator[Step]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        tasks = {
            kind: bars.add_task(f"{verb} {kind}", total=count) for kind, count in counts.items()
        }
        yield lambda kind: bars.advance(tasks[kind])


def _needs_more(path: Path, party_id: str, keys: MasterKeys) -> bool:
    """Whether a backup opens with an older key only. Raises BackupError if with none."""
    data = path.read_bytes()
    Backup.from_bytes(data, keys)
    alone = keys.newest_alone()
    rows = PartyRows(party_id, Sealer(alone))
    try:
        # A backup may be sealed under the newest key and hold shares of before.
        for share in Backup.from_bytes(data, alone).shares:
            rows.opened(share)
    except (BackupError, SealError):
        return True
    return False


def _report(
    keys: MasterKeys, done: dict[Sealed, int], found: Found, old: list[Path]
) -> dict[str, object]:
    return {
        "versions": keys.versions,
        "newest": keys.newest,
        "resealed": {kind.name.lower(): count for kind, count in done.items()},
        "left": {kind.name.lower(): count for kind, count in found.left.items()},
        "sessions_under_way": found.under_way,
        "backups": [str(path) for path in old],
        "older_needed": bool(old) or not found.nothing,
    }


def _tell(keys: MasterKeys, done: dict[Sealed, int], found: Found, old: list[Path]) -> None:
    for kind, count in done.items():
        if count:
            typer.echo(f"{count} {kind} sealed again under version {keys.newest}.")
    for kind, count in found.left.items():
        if count:
            typer.echo(f"{count} {kind} need an older version.")
    if found.under_way:
        typer.echo(f"{found.under_way} sessions under way need an older version; they end soon.")
    for path in old:
        typer.echo(f"{path} needs an older version: keep that for as long as this file.")
    if found.nothing:
        typer.echo(f"Nothing in the database needs a version before {keys.newest}.")
        typer.echo("Backups made before this do: keep the older versions for as long as those.")


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
