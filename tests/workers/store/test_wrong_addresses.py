"""What can be wrong with a database's address: one sentence at every command, and no secret."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from typer.testing import CliRunner

import migrations
from ops.cli.main import app as warren
from ops.stack import databases
from ops.stack.services import Services
from tests.workers.examples_of_settings import party_file
from workers.store.interface import StoreUnavailableError

from .conftest import open_party

pytestmark = pytest.mark.long

SECRET = "Sup3rSecr3t"
CONFIGURATION, UNAVAILABLE = 2, 4


@dataclass(frozen=True)
class Places:
    """Roles and databases that somebody could have named by mistake."""

    server: str
    broker_port: int
    full: str
    plain: str
    closed: str
    database: str

    def at(self, login: str, database: str = "", query: str = "") -> str:
        path = f"/{database or self.database}"
        return urlsplit(self.server)._replace(
            netloc=f"{login}@{self.place}", path=path
        ).geturl() + (query)

    @property
    def place(self) -> str:
        return urlsplit(self.server).netloc.rpartition("@")[2]

    @property
    def own(self) -> str:
        return urlsplit(self.server).netloc.rpartition("@")[0]


@pytest.fixture(scope="module")
async def places(services: Services) -> AsyncIterator[Places]:
    token = secrets.token_hex(4)
    full, plain, closed = f"full_{token}", f"plain_{token}", f"closed_{token}"
    database = f"wrong_{token}"
    url = await databases.create(services.database_url, database)
    await migrations.upgrade("party", url)
    admin = await asyncpg.connect(services.database_url)
    try:
        await admin.execute(f"CREATE ROLE {full} LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 0")
        await admin.execute(f"CREATE ROLE {plain} LOGIN PASSWORD '{SECRET}'")
        await admin.execute(f"CREATE DATABASE {closed} ALLOW_CONNECTIONS false")
        port = urlsplit(services.amqp_url).port or 0
        yield Places(services.database_url, port, full, plain, closed, database)
        for dropped in (closed, database):
            await admin.execute(f"DROP DATABASE {dropped} WITH (FORCE)")
        for role in (full, plain):
            await admin.execute(f"DROP ROLE {role}")
    finally:
        await admin.close()


WRONG: dict[str, Callable[[Places], str]] = {
    "no such host": lambda at: f"postgresql://u:{SECRET}@no-such-host.invalid/db",
    "refused": lambda at: f"postgresql://u:{SECRET}@127.0.0.1:1/db",
    "the broker": lambda at: f"postgresql://u:{SECRET}@127.0.0.1:{at.broker_port}/db",
    "TLS to a plain port": lambda at: at.at(at.own, query="?sslmode=require"),
    "no root certificate": lambda at: at.at(at.own, query="?sslmode=verify-full"),
    "no such file": lambda at: at.at(
        at.own, query="?sslmode=verify-full&sslrootcert=/nowhere/file"
    ),
    "password": lambda at: at.at(f"{at.plain}:not{SECRET}"),
    "no password": lambda at: at.at(at.plain),
    "no such database": lambda at: at.at(at.own, "nowhere"),
    "no such role": lambda at: at.at(f"nobody:{SECRET}"),
    "too many connections": lambda at: at.at(f"{at.full}:{SECRET}"),
    "a closed database": lambda at: at.at(at.own, at.closed),
    "no rights": lambda at: at.at(f"{at.plain}:{SECRET}"),
    "no such socket": lambda at: f"postgresql://u:{SECRET}@/db?host=/nowhere/socket",
    "no such parameter": lambda at: at.at(at.own, query="?nosuch=1"),
    "no such value": lambda at: at.at(at.own, query="?statement_timeout=never"),
    "a standby": lambda at: at.at(at.own, query="?target_session_attrs=standby"),
}
COMMANDS = {
    "shares": ["party", "shares"],
    "bans": ["party", "bans"],
    "reseal": ["party", "reseal", "--check"],
    "migrate": ["store", "migrate", "party"],
    "backup": ["backup", "create", "-o", "OUT"],
    "check": ["upgrade", "check"],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_told_in_one_sentence_by_every_command(
    places: Places, tmp_path: Path, wrong: str
) -> None:
    url = WRONG[wrong](places)
    config = party_file(tmp_path, database_url=url)
    environment = {"WARREN_MASTER_KEY": "1f" * 32, "COLUMNS": "10000"}
    for command in COMMANDS.values():
        words = [str(tmp_path / "out") if word == "OUT" else word for word in command]
        ended = CliRunner().invoke(warren, [*words, "-c", str(config)], env=environment)
        assert isinstance(ended.exception, SystemExit), (command, ended.exception)
        assert ended.exit_code in {CONFIGURATION, UNAVAILABLE}, (command, ended.output)
        assert len(ended.output.splitlines()) == 1, (command, ended.output)
        own = urlsplit(url).password or SECRET
        assert SECRET not in ended.output
        assert own not in ended.output


@pytest.mark.parametrize("wrong", ["a closed database", "no rights", "no such value"])
async def test_workers_wait_for_what_somebody_may_mend_on_the_server(
    places: Places, wrong: str
) -> None:
    with pytest.raises(StoreUnavailableError, match=r"^PostgreSQL: "):
        async with open_party(WRONG[wrong](places)):
            pass


def files(folder: Path) -> Iterator[Path]:
    """What is no database."""
    for name, content in {"text": "no database at all\n" * 20, "torn": "SQLite format 3\0"}.items():
        path = folder / name
        path.write_text(content.ljust(600))
        yield path
    yield folder
    yield folder / "nowhere" / "party.sqlite"


def test_a_file_that_is_no_database_is_told_in_one_sentence(tmp_path: Path) -> None:
    environment = {"WARREN_MASTER_KEY": "1f" * 32, "COLUMNS": "10000"}
    for path in files(tmp_path):
        config = party_file(tmp_path, database_url=f"sqlite:///{path}")
        for command in COMMANDS.values():
            words = [str(tmp_path / "out") if word == "OUT" else word for word in command]
            ended = CliRunner().invoke(warren, [*words, "-c", str(config)], env=environment)
            assert isinstance(ended.exception, SystemExit), (path, command, ended.exception)
            assert ended.exit_code == UNAVAILABLE, (path, command, ended.output)
            assert len(ended.output.splitlines()) == 1, (path, command, ended.output)


@pytest.mark.parametrize("name", ["a b", "a%20b", "a?b", "a#b", "a%b", "\N{SNOWMAN}"])
async def test_what_is_migrated_is_the_file_that_is_opened(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path / name}"
    await migrations.upgrade("party", url)
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208  # a test may block
    async with open_party(url) as store:
        await store.require_able()
