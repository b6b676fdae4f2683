"""Master keys that are still needed, or are not what they were: nothing is done, and it is said."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.restarting import GRACE_S, stop
from tests.workers.backup.commands import Ended, warren
from tests.workers.resealed import reseal_some
from workers.settings import PartySettings
from workers.store.opening import open_party_store

PARTIES = ("party-1", "party-3")
"""One on PostgreSQL, one on SQLite."""
KEYS = 6
LEFT, CONFIGURATION = 1, 2


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",)).compact()) as running:
        asyncio.run(make_keys(running))
        yield running


async def make_keys(crew: Deployment) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        for number in range(KEYS):
            await client.create_key(
                f"key-{number}", curve=Curve.ED25519, threshold=2, party_count=3
            )


async def signs(crew: Deployment, party_id: str) -> None:
    """With every key."""
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        for number in range(KEYS):
            await client.sign(
                f"key-{number}",
                message=b"still here",
                scheme=Scheme.ED25519,
                signers=[party_id, "party-2"],
                timeout_s=60,
            )


class Office:
    """An operator at a party whose workers do not run."""

    def __init__(self, crew: Deployment, party_id: str) -> None:
        self._party_id = party_id
        self._config = crew.directory / f"{party_id}.toml"
        self._file = crew.directory / f"{party_id}.master"
        self._keys: dict[str, str] = tomllib.loads(self._file.read_text())

    @property
    def newest(self) -> str:
        return max(self._keys, key=int)

    def add(self) -> None:
        """The next version."""
        self._keys[str(int(self.newest) + 1)] = secrets.token_hex(32)
        self.write(self._keys)

    def retire(self) -> None:
        self.write({self.newest: self._keys[self.newest]})

    def put_back(self) -> None:
        self.write(self._keys)

    def forget(self) -> None:
        """What retired, for good."""
        self._keys = {self.newest: self._keys[self.newest]}
        self.put_back()

    def write(self, keys: dict[str, str]) -> None:
        self._file.write_text("".join(f'{name} = "{key}"\n' for name, key in keys.items()))

    def wrong(self, digits: str) -> None:
        """In place of every version but the newest, which is as it should be."""
        self.write(dict.fromkeys(self._keys, digits) | {self.newest: self._keys[self.newest]})

    async def does_not_run(self, because: str) -> None:
        """A worker, which is a process."""
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ops.cli", "party", "run", "-c", str(self._config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=GRACE_S,
        )
        self._refused(Ended(ended.returncode, ended.stdout, ended.stderr), because)

    async def does_not_reseal(self, because: str, *options: str) -> None:
        self._refused(await self._reseal(*options), because)

    def _refused(self, ended: Ended, because: str) -> None:
        assert ended.code == CONFIGURATION, ended
        assert because in ended.err
        assert len(ended.err.splitlines()) == 1, ended.err
        assert ended.out == ""
        assert not [key for key in self._keys.values() if key in ended.err]

    async def reseal(self, *options: str) -> Any:
        ended = await self._reseal("--json", *options)
        assert ended.code in {0, LEFT}, ended
        assert ended.json["older_needed"] == (ended.code == LEFT)
        return ended.json

    async def _reseal(self, *options: str) -> Ended:
        return await warren("party", "reseal", "--config", str(self._config), *options)

    async def reseal_some(self, count: int) -> None:
        settings = PartySettings.load(self._config)
        sealer = settings.sealer()
        opened = open_party_store(
            settings.database_url,
            party_id=self._party_id,
            sealer=sealer,
            max_connections=1,
        )
        async with opened as store:
            await reseal_some(store, self._party_id, sealer, count)


@asynccontextmanager
async def closed(crew: Deployment, party_id: str) -> AsyncIterator[Office]:
    """Its workers run again in the end, and sign with every key, under one version alone."""
    names = await stop(crew, party_id)
    office = Office(crew, party_id)
    try:
        yield office
    finally:
        for name in names:
            crew.supervisor.start(crew.programs[name])
        await asyncio.to_thread(crew.supervisor.wait_ready)
    await signs(crew, party_id)


@pytest.mark.parametrize("party_id", PARTIES)
async def test_a_version_that_is_still_needed_does_not_retire(
    crew: Deployment, party_id: str
) -> None:
    """Workers do not start without it, however many of the shares are under the next."""
    async with closed(crew, party_id) as office:
        retired = office.newest
        office.add()
        missing = f"master key version {retired}, which is not here"
        for resealed in (0, 1, KEYS - 1):
            office.put_back()
            if resealed:
                await office.reseal_some(resealed)
            office.retire()
            await office.does_not_run(missing)
            for options in ((), ("--check",)):
                await office.does_not_reseal(missing, *options)

        office.put_back()
        told = await office.reseal("--check")
        assert told["older_needed"]
        assert told["left"]["key_shares"] == 1
        done = await office.reseal()
        assert done["resealed"]["key_shares"] == 1
        assert done["left"] == dict.fromkeys(done["left"], 0)
        office.forget()
        assert not (await office.reseal("--check"))["older_needed"]


WRONG = [
    ("0f" * 32, "wrong master key, or the row was changed or moved"),
    ("0f" * 16, "is not 64 hex digits"),
    ("x" * 64, "is not 64 hex digits"),
]


@pytest.mark.parametrize("party_id", PARTIES)
async def test_a_file_with_a_wrong_key_is_refused_and_changes_nothing(
    crew: Deployment, party_id: str
) -> None:
    async with closed(crew, party_id) as office:
        office.add()
        for digits, because in WRONG:
            office.wrong(digits)
            await office.does_not_run(because)
            await office.does_not_reseal(because)
        office.put_back()
        told = await office.reseal("--check")
        assert told["left"]["key_shares"] == KEYS
        assert (await office.reseal())["resealed"]["key_shares"] == KEYS
        office.forget()
