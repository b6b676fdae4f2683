"""`warren coordinator`, `warren party`, `warren store`, `warren identity`."""

import asyncio
import json
import os
import ssl
import stat
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from contracts import logs
from contracts.confirming import AWAY
from contracts.frames import TlsError
from contracts.hosts import AddressError
from contracts.identity import Identity
from contracts.tls import refusal

from . import evidence as proofs
from . import holdings
from .delivery.lists import UnusableListError
from .delivery.publisher import NoAdmissionError, TopologyError
from .health import Health, parse_address, served
from .resealing.cli import command as reseal
from .session.peers import Peer
from .settings import CoordinatorSettings, Lane, PartySettings, SettingsError
from .store.interface import PartyStore, SchemaError, StoreUnavailableError, WitnessError
from .store.records import BanRecord, EvidenceRecord
from .store.sealing import SealError
from .store.shared.party import tombstones_beside
from .store.tombstones import Tombstones
from .store.witness import look
from .tenants.cli import party as tenants

T = TypeVar("T")

coordinator = typer.Typer(no_args_is_help=True, help="The coordinator's worker processes.")
party = typer.Typer(no_args_is_help=True, help="A party's worker processes.")
party.add_typer(tenants, name="tenants")
party.command("reseal")(reseal)
store = typer.Typer(no_args_is_help=True, help="The databases behind the workers.")
identity = typer.Typer(no_args_is_help=True, help="P-256 identity keys of clients and parties.")

EXIT_CONFIGURATION = 2
EXIT_UNAVAILABLE = 4

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML configuration.", dir_okay=False)]


HealthAddress = Annotated[
    str | None,
    typer.Option(
        "--health",
        envvar="WARREN_HEALTH",
        metavar="HOST:PORT",
        help="Answer GET /health, /health/ready and /metrics here, for operators only.",
        show_default=False,
    ),
]


def serve(work: Coroutine[Any, Any, None]) -> None:
    """Run a worker to its end; a known trouble ends in a sentence and an exit code."""
    logs.configure()
    try:
        uvloop.run(work)
    except (
        TopologyError,
        NoAdmissionError,
        SchemaError,
        SealError,
        WitnessError,
        UnusableListError,
        AddressError,
    ) as error:
        _leave(str(error), EXIT_CONFIGURATION)
    except TlsError as error:
        _leave(f"no connection to the broker: {error}", EXIT_CONFIGURATION)
    except (StoreUnavailableError, *AWAY) as error:
        _leave(f"cannot reach broker or database: {error}", EXIT_UNAVAILABLE)


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def _load_party(config: Path) -> PartySettings:
    try:
        return PartySettings.load(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIGURATION) from None


def _load_coordinator(config: Path) -> CoordinatorSettings:
    try:
        return CoordinatorSettings.load(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIGURATION) from None


@coordinator.command("run")
def run_coordinator(config: Config, health: HealthAddress = None) -> None:
    """Serve requests and reports. Start as many processes as you like."""
    from . import app

    settings = _load_coordinator(config)
    _serve_with_health("coordinator", health, lambda held: app.run_coordinator(settings, held))


@party.command("run")
def run_party(
    config: Config,
    lane: Annotated[
        list[Lane] | None,
        typer.Option(
            help="What to serve: signing (the inbox), keygen, presigning; several if given several "
            "times. Each lane has to be served by some process of the party. Give signing "
            "processes of its own where it must not wait for the others.",
            show_default="all",
        ),
    ] = None,
    niceness: Annotated[
        int,
        typer.Option(
            "--nice", min=0, max=19, help="Yield the processor to others, as nice(1) does."
        ),
    ] = 0,
    health: HealthAddress = None,
) -> None:
    """Serve one party's queues. Start as many processes for one party as you like."""
    from . import app

    os.nice(niceness)
    settings, lanes = _load_party(config), lane or list(Lane)
    _serve_with_health("party", health, lambda held: app.run_party(settings, lanes, held))


def _serve_with_health(
    service: str, address: str | None, work: Callable[[Health], Awaitable[None]]
) -> None:
    try:
        at = None if address is None else parse_address(address)
    except ValueError as error:
        _leave(str(error), EXIT_CONFIGURATION)

    async def run() -> None:
        async with served(Health(service), at) as held:
            await work(held)

    serve(run())


@party.command("bans")
def list_bans(
    config: Config,
    lift: Annotated[
        str | None,
        typer.Option(
            metavar="PARTY", help="Trust this party again: presign with it.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the parties that this one makes no presignatures with, and why; or lift a ban.

    A party is banned when it fails a check whose outcome may have told it a bit of a secret. That
    secret died with its batch, so a ban is a matter of prudence: lift it when you know what
    happened.
    """
    settings = _load_party(config)

    async def work(opened: PartyStore) -> list[BanRecord]:
        if lift is not None and not await opened.lift_ban(lift):
            _leave(f"{lift} is not banned", EXIT_CONFIGURATION)
        return await opened.bans()

    bans = _with_store(settings, work)
    rows = [
        {
            "party": ban.party_id,
            "since": datetime.fromtimestamp(ban.at / 1000, UTC).isoformat(timespec="seconds"),
            "check": ban.check,
            "session": ban.session_id.hex(),
        }
        for ban in bans
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    headings = ("PARTY", "SINCE", "FAILED CHECK", "IN SESSION")
    _show(headings, [list(row.values()) for row in rows], nothing="Nobody is banned.")


@party.command("evidence")
def list_evidence(
    config: Config,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write it all, the messages too, as lines of JSON to a new file.",
            show_default=False,
        ),
    ] = None,
    discard: Annotated[
        str | None,
        typer.Option(
            metavar="SESSION",
            help="Forget what is kept of this session, once you have dealt with it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the parties that said two different things in one place, with the proof.

    Both messages are kept as they came, signed by who sent them: whoever has that party's public
    key can check them. Kept until you discard it, long after the session is forgotten.
    """
    from .following import stored_parties

    settings = _load_party(config)

    async def work(opened: PartyStore) -> tuple[list[EvidenceRecord], Mapping[str, Peer]]:
        kept, parties = await opened.evidence(), await stored_parties(settings, opened)
        if out is not None:
            try:
                proofs.write(out, kept, parties)
            except OSError as error:
                _leave(f"{out}: {error.strerror}; nothing was written", EXIT_CONFIGURATION)
        if discard is None:
            return kept, parties
        if not await opened.discard_evidence(_session_id(discard)):
            _leave(f"there is no evidence of session {discard}", EXIT_CONFIGURATION)
        return await opened.evidence(), parties

    found, parties = _with_store(settings, work)
    rows = [proofs.told(each, parties) for each in found]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    lines = [
        [
            *(str(row[name]) for name in ("party", "at", "session", "message")),
            "yes" if row["proven"] else "no, by the public keys that we know",
        ]
        for row in rows
    ]
    headings = ("PARTY", "AT", "IN SESSION", "TWO MESSAGES", "PROVEN")
    _show(headings, lines, nothing="No evidence against anybody.")


def _show(headings: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    """Nothing is cut or broken, however narrow the terminal: ids are there to be compared."""
    console, table = Console(), Table(*headings, box=None)
    for row in rows:
        table.add_row(*row)
    wide = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table if rows else nothing)


def _session_id(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        _leave(f"{digits} is no session: 64 hex digits", EXIT_CONFIGURATION)


@party.command("shares")
def list_shares(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the key shares that a party holds: what they are for, never what they are.

    Each epoch of a key is pending, certified, active, leaving or retired. Which are retired is told
    by the file beside the witness, too: run it where the party's processes run.
    """
    settings = _load_party(config)
    tombstones = Tombstones(tombstones_beside(settings.incarnation_file))
    keep_ms = int(settings.limits.backup_wait_seconds * 1000)
    rows = _with_store(settings, lambda opened: holdings.told(opened, tombstones, keep_ms))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    lines = [
        [
            *(str(row[name] or "(none)") for name in ("client", "tenant")),
            *(str(row[name]) for name in ("key", "epoch", "status")),
            holdings.usable_in_words(row),
            row["session"],
        ]
        for row in rows
    ]
    headings = ("CLIENT", "TENANT", "KEY", "EPOCH", "STATUS", "USABLE", "MADE IN SESSION")
    _show(headings, lines, nothing="No key shares.")


@party.command("incarnation")
def show_incarnation(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show since when a party's round state, nonces and presignatures are of one piece, and why.

    They do not survive a dump, a backup or a rollback: the next process that finds the database
    behind its witness, or another one, begins a new incarnation without them.
    """
    settings = _load_party(config)
    found = _with_store(settings, lambda opened: opened.incarnation())
    try:
        seen = look(settings.incarnation_file)
    except WitnessError as error:
        _leave(str(error), EXIT_CONFIGURATION)
    row: dict[str, str | int | bool | None] = {"witness": str(settings.incarnation_file)}
    if found is not None:
        begun = datetime.fromtimestamp(found.begun_at / 1000, UTC)
        row |= {
            "incarnation": found.incarnation.hex(),
            "begun": begun.isoformat(timespec="seconds"),
            "reason": found.reason,
            "progress": found.progress,
        }
    if seen is not None:
        row["witnessed"] = seen.progress
    row["agree"] = (
        found is not None
        and seen is not None
        and found.incarnation == seen.incarnation
        and found.progress >= seen.progress
    )
    if as_json:
        typer.echo(json.dumps(row))
        return
    for name, value in row.items():
        typer.echo(f"{name:<12}  {'yes' if value is True else 'no' if value is False else value}")


def _with_store(settings: PartySettings, work: Callable[[PartyStore], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with settings.opened() as store:
            return await work(store)

    try:
        return asyncio.run(opened())
    except (SchemaError, SealError, SettingsError, AddressError, WitnessError) as error:
        _leave(str(error), EXIT_CONFIGURATION)
    except StoreUnavailableError as error:
        _leave(f"cannot reach the database: {error}", EXIT_UNAVAILABLE)


@store.command("migrate")
def migrate(
    role: Annotated[Literal["party", "coordinator"], typer.Argument()], config: Config
) -> None:
    """Bring a role's database to the schema that this version needs."""
    import migrations

    settings = _load_party(config) if role == "party" else _load_coordinator(config)
    try:
        asyncio.run(migrations.upgrade(role, settings.database_url))
    except migrations.AddressError:
        _leave(f"{config}: database_url is not a database's address", EXIT_CONFIGURATION)
    except (migrations.DriftError, migrations.PoolerError) as error:
        _leave(f"cannot migrate the database: {error}", EXIT_CONFIGURATION)
    except migrations.UnavailableError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            said = refusal(error.__cause__)
            _leave(f"cannot migrate the database: {said}", EXIT_CONFIGURATION)
        _leave(f"cannot migrate the database: {error}", EXIT_UNAVAILABLE)
    typer.echo(f"The {role}'s database is at revision {migrations.head(role)}.")


@identity.command("new")
def new_identity(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File for the private key; must not exist.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make an identity: the private key into a file of yours alone, the public key on screen."""
    made = Identity.generate()
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        _leave(f"{out}: {error.strerror}; the private key was not written", EXIT_CONFIGURATION)
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(made.to_base64() + "\n")
    if as_json:
        typer.echo(
            json.dumps({"public_key": made.public.to_base64(), "private_key_file": str(out)})
        )
    else:
        typer.echo(f"public key (give it away):  {made.public.to_base64()}")
        typer.echo(f"private key (keep it):      {out}")
