"""An operator at a party whose database is filled, emptied and restored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from typer.testing import CliRunner

import migrations
from tests.protocols.simulate import coins
from tests.session.builders import COORDINATOR_IDENTITY, IDENTITIES
from workers import cli
from workers.backup import cli as backup_cli
from workers.settings import PartySettings
from workers.store.opening import open_party_store
from workers.store.records import KeyShareRecord, Outcome, PartyChange
from workers.store.sealing import MasterKeys, Sealer

from .shares import certified

MASTER_KEY = "1f" * 32
REFUSED, CONFIGURATION, UNAVAILABLE = 1, 2, 4
NOW = 1_700_000_000_000
HOUR = 3_600_000

ONE = certified()
TWO = certified(curve="secp256k1", session_id=coins("two"), key_id="key-2", client_id=None)


def configure(folder: Path, party_id: str, database_url: str) -> Path:
    identity = IDENTITIES[party_id]
    (folder / f"{party_id}.key").write_text(identity.to_base64())
    path = folder / f"{party_id}.toml"
    peers = "".join(
        f'[[peers]]\nparty_id = "party-{i}"\nindex = {i}\n'
        f'public_key = "{IDENTITIES[f"party-{i}"].public.to_base64()}"\n'
        for i in (1, 2, 3)
    )
    path.write_text(
        f'[party]\nparty_id = "{party_id}"\nindex = {party_id[-1]}\n'
        f'private_key_file = "{party_id}.key"\namqp_url = "amqp://u:p@127.0.0.1:1/w"\n'
        f'database_url = "{database_url}"\n'
        f'[[coordinators]]\npublic_key = "{COORDINATOR_IDENTITY.public.to_base64()}"\n{peers}'
    )
    return path


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def warren(group: str, *arguments: str) -> Ended:
    """A command in this process, on a thread: it runs a loop of its own."""
    app = backup_cli.app if group == "backup" else cli.party
    runner = CliRunner()
    result = await asyncio.to_thread(runner.invoke, app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


async def backup(command: str, config: Path, *arguments: str) -> Ended:
    return await warren("backup", command, "--config", str(config), *arguments)


def sealer(settings: PartySettings) -> Sealer:
    return Sealer(MasterKeys.from_hex(MASTER_KEY), erasable=settings.share_keys)


async def keep(config: Path, *shares: KeyShareRecord) -> None:
    settings = PartySettings.load(config)
    await migrations.upgrade("party", settings.database_url)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=sealer(settings),
        witness=settings.incarnation_file,
    ) as store:
        for number, share in enumerate(shares):
            change = PartyChange(
                session_id=coins(f"{share.key_session.hex()} {share.epoch} {number}"),
                expected_version=0,
                protocol="keygen",
                key_session=None,
                status="completed",
                deadline=0,
                state=b"",
                cause="test",
                key_share=share,
            )
            assert await store.commit(change) is Outcome.COMMITTED


async def kept(config: Path) -> list[KeyShareRecord]:
    settings = PartySettings.load(config)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=sealer(settings),
    ) as store:
        found = [
            await store.key_share(share.key_session, share.epoch)
            for share in await store.key_shares()
        ]
    return [share for share in found if share is not None]


async def backed_up_at(config: Path, key_session: bytes) -> int | None:
    """As the party remembers it of the key's first epoch."""
    settings = PartySettings.load(config)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=sealer(settings),
    ) as store:
        return await store.backed_up_at(key_session, 1)


async def is_backed_up(config: Path, key_session: bytes) -> bool:
    """Of the key's first epoch, in one that was written to its end."""
    settings = PartySettings.load(config)
    async with open_party_store(
        settings.database_url,
        party_id=settings.party_id,
        sealer=sealer(settings),
    ) as store:
        return await store.is_backed_up(key_session, 0)


async def empty(config: Path) -> None:
    """The disaster."""
    settings = PartySettings.load(config)
    if settings.database_url.startswith("sqlite"):
        for path in config.parent.glob("party.db*"):
            path.unlink()
    else:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
        await connection.close()
    await migrations.upgrade("party", settings.database_url)


def change(file: Path, work: Callable[[bytes], bytes]) -> None:
    file.write_bytes(work(file.read_bytes()))


async def shown(config: Path) -> Any:
    return (await warren("party", "incarnation", "--config", str(config), "--json")).json
