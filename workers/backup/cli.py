"""`warren backup create|verify|restore`."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from ..delivery.clock import now_ms
from ..session.epochs import ENDS_S
from ..session.peers import Certifying, Peer
from ..settings import PartySettings, SettingsError
from ..store.interface import (
    PartyStore,
    ReadOnlyError,
    SchemaError,
    StoreUnavailableError,
    WitnessError,
)
from ..store.records import KeyShareRecord
from ..store.rows.party import PartyRows
from ..store.sealing import MasterKeys, SealError
from . import archive
from .archive import Backup
from .checking import check_shares, latest
from .errors import BackupError
from .restoring import missing, restore, suspended

T = TypeVar("T")

_WAITING = (
    "{} of them wait until enough other holders have said that they know of no later epoch. Where "
    "no other holder can say so, and you know it: the same again with --at-once."
)

app = typer.Typer(
    no_args_is_help=True,
    help="Backups of a party's key shares. They open with this party's master key only: keep it "
    "apart from them, and do not lose it.",
)

EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2
EXIT_UNAVAILABLE = 4

CLOCK_TOLERANCE_MS = 300_000
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML configuration.", dir_okay=False)]
File = Annotated[Path, typer.Argument(help="The backup.", dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
MaxAge = Annotated[
    str | None,
    typer.Option(
        metavar="AGE",
        help="Refuse a backup that is older: 90m, 12h, 7d. Keys made after it are not in it.",
        show_default=False,
    ),
]


@app.command("create")
def create(
    config: Config,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Write all key shares of this party into one sealed file, after checking them."""

    from ..following import stored_parties

    async def work(us: _Us) -> dict[str, Any]:
        async with us.opened(fenced=False) as store:
            # Before and after they are read: a share that goes or comes meanwhile is noted, too.
            await _note(store)
            there = await store.sealed_key_shares()
            # A database that went back may have some that nothing opens any more.
            shares = _latest(
                [
                    share
                    for share in there
                    if not us.rows.halves.is_over((share.key_session, share.epoch))
                ]
            )
            await _note(store)
            parties = await stored_parties(us.settings, store)
        us.check(shares, parties)
        kept = tuple(us.rows.portable(share) for share in shares)
        backup = Backup(party_id=us.party_id, created_at=now_ms(), shares=kept)
        archive.write(out, backup.to_bytes(us.keys))
        await _kept(us, backup)
        return _report(out, backup)

    _run(config, work, "{shares} key shares are in {file}.", as_json=as_json)


@app.command("verify")
def verify(config: Config, file: File, max_age: MaxAge = None, as_json: AsJson = False) -> None:
    """Open every share of a backup and check it against its key's certificates."""

    async def work(us: _Us) -> dict[str, Any]:
        return _report(file, us.read(file, max_age, await us.parties()))

    _run(
        config,
        work,
        "All {shares} key shares in {file} open and are certified. It is {age} old.",
        as_json=as_json,
    )


@app.command("restore")
def restore_backup(
    config: Config,
    file: File,
    max_age: MaxAge = None,
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once",
            help="Use the shares without asking the other holders. Only if you know that their "
            "keys have no later epoch: an old share signs for parties that were shown out since.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add the key shares of a backup to this party's database, which may be empty.

    They are used as soon as enough of the other holders have said that they know of no later epoch,
    which takes seconds where they run. Restored again, it changes nothing. If it adds any share, a
    new incarnation begins: sessions under way end, and nonces and presignatures are made anew.
    """

    async def work(us: _Us) -> dict[str, Any]:
        backup = us.read(file, max_age, await us.parties())
        async with us.opened(fenced=True) as store:
            waiting = await suspended(store, backup.shares)
            present = await store.sealed_key_shares()
            added = missing(backup.shares, present, us.rows, waiting)
            if added:
                await restore(store, added, us.rows, suspended_at=now_ms())
            if at_once:
                for name in await suspended(store, backup.shares):
                    await store.resume_epoch(*name, now_ms())
            waiting = await suspended(store, backup.shares)
            found = await store.incarnation()
        return _report(file, backup) | {
            "restored": len(added),
            "waiting": len(waiting),
            "incarnation": found and found.incarnation.hex(),
        }

    _run(
        config,
        work,
        "{restored} of {shares} key shares were restored, the others were there. "
        "The backup is {age} old.",
        as_json=as_json,
    )


async def _note(store: PartyStore) -> None:
    """That such shares are in a backup, which the party tells when it has deleted its own; also of
    one that comes to nothing after all. A standby takes no notes, and is backed up without."""
    with contextlib.suppress(ReadOnlyError):
        await store.note_backup(now_ms())


class _Us:
    """A party as its configuration describes it."""

    def __init__(self, settings: PartySettings) -> None:
        self.settings = settings
        self.party_id = settings.party_id
        self.keys: MasterKeys = settings.master_keys()
        self.rows = PartyRows(settings.party_id, settings.sealer())

    def opened(self, *, fenced: bool) -> PartyStore:
        return self.settings.opened(fenced=fenced)

    async def parties(self) -> Mapping[str, Peer]:
        """Those of the configuration, and of the list as it is stored, where the database is there
        and has one."""
        from ..following import stored_parties

        if not self.settings.list_operators:
            return self.settings.peers
        try:
            async with self.opened(fenced=False) as store:
                return await stored_parties(self.settings, store)
        except (StoreUnavailableError, SchemaError):
            return self.settings.peers

    def check(self, shares: list[KeyShareRecord], parties: Mapping[str, Peer]) -> None:
        check_shares(shares, self.rows, self.party_id, Certifying(parties))

    def read(self, file: Path, max_age: str | None, parties: Mapping[str, Peer]) -> Backup:
        """Raises BackupError unless all is in order."""
        allowed = None if max_age is None else _milliseconds(max_age)
        data = archive.read(file)
        label, _ = archive.read_label(data)
        # Before it is opened: another party's has another master key, and no better explanation.
        if label.party_id != self.party_id:
            raise BackupError(f"a backup of {label.party_id}, and this is {self.party_id}")
        backup = Backup.from_bytes(data, self.keys)
        age = now_ms() - backup.created_at
        if allowed is not None and not -CLOCK_TOLERANCE_MS <= age <= allowed:
            raise BackupError(
                f"the backup is {_in_words(age)} old, and not to be older than {max_age}"
                if age > 0
                else "the backup was made in the future: is this machine's clock right?"
            )
        self.check(list(backup.shares), parties)
        return backup


async def _kept(us: _Us, backup: Backup) -> None:
    """That these shares are in one that is on the disk: what they replaced may be deleted then. The
    backup is made whether this can be noted or not; without, the wait ends by its own limit."""
    taken = [(share.key_session, share.epoch) for share in backup.shares]
    now = now_ms()
    with contextlib.suppress(StoreUnavailableError):
        async with us.opened(fenced=False) as store:
            await store.backup_kept(taken, now, unless_due_by=now + int(ENDS_S * 1000))


def _latest(shares: list[KeyShareRecord]) -> list[KeyShareRecord]:
    """Of each key the latest epoch: the shares of those before it are good for nothing."""
    by_key: dict[bytes, list[KeyShareRecord]] = {}
    for share in shares:
        by_key.setdefault(share.key_session, []).append(share)
    return [latest(of_key) for of_key in by_key.values()]


def _report(file: Path, backup: Backup) -> dict[str, Any]:
    age = now_ms() - backup.created_at
    made = datetime.fromtimestamp(backup.created_at / 1000, UTC)
    return {
        "file": str(file),
        "party": backup.party_id,
        "created_at": made.isoformat(timespec="seconds"),
        "age_seconds": age // 1000,
        "shares": len(backup.shares),
        "keys": [
            {
                "client": share.owner or None,
                "key": share.key_id,
                "epoch": share.epoch,
                "usable": share.active,
                "session": share.key_session.hex(),
            }
            for share in backup.shares
        ],
    }


def _run(
    config: Path,
    work: Callable[[_Us], Coroutine[Any, Any, dict[str, Any]]],
    sentence: str,
    *,
    as_json: bool,
) -> None:
    try:
        report = asyncio.run(work(_Us(PartySettings.load(config))))
    except BackupError as error:
        _leave("refused", str(error), EXIT_REFUSED, as_json=as_json)
    except (SettingsError, SealError, SchemaError, WitnessError) as error:
        _leave("configuration", str(error), EXIT_CONFIGURATION, as_json=as_json)
    except StoreUnavailableError as error:
        text = f"cannot reach the database: {error}"
        _leave("unreachable", text, EXIT_UNAVAILABLE, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        age = _in_words(1000 * report["age_seconds"])
        typer.echo(sentence.format(**report | {"age": age}))
        if waiting := report.get("waiting"):
            typer.echo(_WAITING.format(waiting))


def _leave(kind: str, text: str, code: int, *, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": {"kind": kind, "message": text}}, indent=2))
    else:
        typer.echo(text, err=True)
    raise typer.Exit(code)


def _milliseconds(age: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([mhd])", age)
    if found is None:
        raise SettingsError(f"--max-age {age}: a number and m, h or d, like 12h")
    return int(found[1]) * _UNITS[found[2]]


def _in_words(age_ms: int) -> str:
    for unit, name in (("d", "days"), ("h", "hours"), ("m", "minutes")):
        if age_ms >= 2 * _UNITS[unit]:
            return f"{age_ms // _UNITS[unit]} {name}"
    return f"{max(age_ms, 0) // 1000} seconds"
