"""`warren identity`, `warren store`, and workers that cannot start: a sentence and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import migrations
import topology
from contracts.identity import Identity
from ops.stack import vhosts
from ops.stack.services import Services
from tests.workers.examples_of_settings import coordinator_file, party_file
from workers.store.opening import open_party_store
from workers.store.records import KeyShareRecord, PartyChange
from workers.store.sealing import MasterKeys, Sealer

MASTER_KEY = "1f" * 32
CONFIGURATION, UNAVAILABLE = 2, 4


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line; those before it are the log's."""
        assert "Traceback" not in self.err
        return self.err.strip().splitlines()[-1]


IMPATIENT = "import workers.app; workers.app.STARTUP_PATIENCE_S = 0.5; import ops.cli.__main__"


async def warren(*arguments: str, impatient: bool = False, **environment: str) -> Ended:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(("-c", IMPATIENT) if impatient else ("-m", "ops.cli")),
        *arguments,
        env=kept | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 40)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Ended(process.returncode or 0, out.decode(), err.decode())


###
### Identities
###


async def test_a_new_identity_is_a_private_file_and_a_public_word(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    ended = await warren("identity", "new", "--out", str(path))
    assert ended.status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = Identity.from_base64(path.read_text().strip())
    assert made.public.to_base64() in ended.out
    assert made.to_base64() not in ended.out + ended.err


async def test_a_new_identity_tells_programs_in_json(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    ended = await warren("identity", "new", "--out", str(path), "--json")
    made = Identity.from_base64(path.read_text().strip())
    assert json.loads(ended.out) == {
        "public_key": made.public.to_base64(),
        "private_key_file": str(path),
    }


async def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    path.write_text("precious")
    ended = await warren("identity", "new", "--out", str(path))
    assert ended.status == CONFIGURATION
    assert ended.sentence == f"{path}: File exists; the private key was not written"
    assert path.read_text() == "precious"


async def test_an_identity_goes_into_no_folder_that_is_not_there(tmp_path: Path) -> None:
    ended = await warren("identity", "new", "--out", str(tmp_path / "none" / "own.key"))
    assert ended.status == CONFIGURATION
    assert "No such file or directory; the private key was not written" in ended.sentence


###
### Configuration
###


@pytest.mark.parametrize("role", ["party", "coordinator"])
async def test_a_missing_file_is_named(tmp_path: Path, role: str) -> None:
    path = tmp_path / "none.toml"
    ended = await warren(role, "run", "--config", str(path))
    assert (ended.status, ended.sentence) == (
        CONFIGURATION,
        f"{path}: No such file or directory",
    )


@pytest.mark.parametrize("role", ["party", "coordinator"])
async def test_a_file_that_is_no_toml_is_named(tmp_path: Path, role: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[party\n")
    ended = await warren(role, "run", "--config", str(path))
    assert ended.status == CONFIGURATION
    assert ended.sentence.startswith(f"{path}: not TOML: ")


async def test_a_party_without_a_master_key_does_not_start(tmp_path: Path) -> None:
    ended = await warren("party", "run", "--config", str(party_file(tmp_path)))
    assert ended.status == CONFIGURATION
    assert ended.sentence == "WARREN_MASTER_KEY is not set: 64 hex digits, or use a key file"


async def test_a_master_key_of_another_shape_is_not_quoted(tmp_path: Path) -> None:
    key = "1f" * 31
    ended = await warren(
        "party", "run", "--config", str(party_file(tmp_path)), WARREN_MASTER_KEY=key
    )
    assert ended.status == CONFIGURATION
    assert ended.sentence == "master key version 1 is not 64 hex digits"
    assert key not in ended.err + ended.out


async def test_a_store_is_migrated_and_says_so(tmp_path: Path) -> None:
    path = party_file(tmp_path)
    for _ in range(2):
        ended = await warren("store", "migrate", "party", "--config", str(path))
        assert ended.status == 0
        assert f"at revision {migrations.head('party')}" in ended.out
    path = coordinator_file(tmp_path)
    ended = await warren("store", "migrate", "coordinator", "--config", str(path))
    assert f"at revision {migrations.head('coordinator')}" in ended.out


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.sqlite", "postgresql://u:hunter2@127.0.0.1:1/d"],
)
async def test_a_database_that_cannot_be_migrated_is_a_sentence(tmp_path: Path, url: str) -> None:
    path = party_file(tmp_path, database_url=url)
    ended = await warren("store", "migrate", "party", "--config", str(path))
    assert ended.status == UNAVAILABLE
    assert ended.sentence.startswith("cannot migrate the database: ")
    assert "hunter2" not in ended.err


###
### Broker and database
###


@pytest.fixture
async def amqp_url(services: Services, vhost: str) -> str:
    """Of a vhost with our topology."""
    name = urlsplit(vhost).path[1:]
    members = topology.Members(parties=("party-1",), clients=())
    await topology.apply_all(services.management_url, members=members, vhost=name)
    return vhost


@pytest.mark.parametrize("role", ["party", "coordinator"])
async def test_a_broker_without_our_topology_is_named_with_the_remedy(
    tmp_path: Path, vhost: str, role: str
) -> None:
    made = party_file if role == "party" else coordinator_file
    ended = await warren(
        role, "run", "--config", str(made(tmp_path, amqp_url=vhost)), WARREN_MASTER_KEY=MASTER_KEY
    )
    assert ended.status == CONFIGURATION
    assert ended.sentence.startswith('exchange "warren.sessions" is missing from the broker.')
    assert "warren topology apply" in ended.sentence


async def test_a_party_that_the_topology_does_not_know_is_named(
    tmp_path: Path, amqp_url: str
) -> None:
    path = party_file(tmp_path, amqp_url=amqp_url, party_id="party-2")
    ended = await warren("party", "run", "--config", str(path), WARREN_MASTER_KEY=MASTER_KEY)
    assert ended.status == CONFIGURATION
    assert ended.sentence.startswith('queue "warren.inbox.party-2" is missing')


async def test_a_vhost_that_does_not_exist_is_no_reason_to_wait(
    tmp_path: Path, services: Services
) -> None:
    path = coordinator_file(tmp_path, amqp_url=vhosts.address(services.amqp_url, "nobody's"))
    ended = await warren("coordinator", "run", "--config", str(path))
    assert ended.status == CONFIGURATION
    assert ended.sentence.startswith('the broker does not open vhost "nobody\'s"')


async def test_a_refused_login_is_no_reason_to_wait(tmp_path: Path, vhost: str) -> None:
    parts = urlsplit(vhost)
    url = parts._replace(netloc=f"eve:hunter2@{parts.netloc.rpartition('@')[2]}").geturl()
    ended = await warren(
        "coordinator", "run", "--config", str(coordinator_file(tmp_path, amqp_url=url))
    )
    assert ended.status == CONFIGURATION
    assert ended.sentence.startswith("the broker refuses the login of user 'eve'")
    assert "hunter2" not in ended.err


async def test_a_broker_that_is_away_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = coordinator_file(tmp_path, amqp_url="amqp://u:hunter2@127.0.0.1:1/warren")
    ended = await warren("coordinator", "run", "--config", str(path), impatient=True)
    assert ended.status == UNAVAILABLE
    assert ended.sentence.startswith("cannot reach broker or database: ")
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("role", ["party", "coordinator"])
async def test_a_database_that_was_never_migrated_is_a_sentence(
    tmp_path: Path, amqp_url: str, role: str
) -> None:
    made = party_file if role == "party" else coordinator_file
    ended = await warren(
        role,
        *("run", "--config", str(made(tmp_path, amqp_url=amqp_url))),
        WARREN_MASTER_KEY=MASTER_KEY,
    )
    assert ended.status == CONFIGURATION
    assert f"run `warren store migrate {role} --config FILE`" in ended.sentence


async def store_with_a_share(folder: Path) -> None:
    url = f"sqlite:///{folder / 'party-1.sqlite'}"
    await migrations.upgrade("party", url)
    sealer = Sealer(MasterKeys.from_hex(MASTER_KEY))
    async with open_party_store(url, party_id="party-1", sealer=sealer) as store:
        await store.commit(
            PartyChange(
                session_id=bytes(32),
                expected_version=0,
                protocol="keygen",
                key_session=None,
                status="completed",
                deadline=0,
                state=b"",
                cause="test",
                key_share=KeyShareRecord(
                    key_session=bytes(32),
                    epoch=0,
                    owner="",
                    key_id="treasury",
                    facts="{}",
                    certificates={},
                    secret=b"secret share",
                    active=True,
                ),
            )
        )


async def test_a_wrong_master_key_is_noticed_before_the_first_signature(
    tmp_path: Path, amqp_url: str
) -> None:
    path = party_file(tmp_path, amqp_url=amqp_url)
    await store_with_a_share(tmp_path)
    ended = await warren("party", "run", "--config", str(path), WARREN_MASTER_KEY="2e" * 32)
    assert ended.status == CONFIGURATION
    assert ended.sentence.endswith(
        "does not open: wrong master key, or the row was changed or moved"
    )


async def test_a_party_lists_its_shares_without_their_secrets(tmp_path: Path) -> None:
    path = str(party_file(tmp_path))
    await store_with_a_share(tmp_path)
    for_people = await warren("party", "shares", "--config", path, WARREN_MASTER_KEY=MASTER_KEY)
    assert for_people.status == 0
    assert for_people.out.split()[:5] == ["CLIENT", "KEY", "EPOCH", "USABLE", "MADE"]
    assert "treasury" in for_people.out
    for_programs = await warren(
        "party", "shares", "--config", path, "--json", WARREN_MASTER_KEY=MASTER_KEY
    )
    assert json.loads(for_programs.out) == [
        {"client": None, "key": "treasury", "epoch": 0, "usable": True, "session": "00" * 32}
    ]
    wrong = await warren("party", "shares", "--config", path, WARREN_MASTER_KEY="2e" * 32)
    assert wrong.status == CONFIGURATION
    assert "wrong master key" in wrong.sentence
