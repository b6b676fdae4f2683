"""`warren identity`, `warren store`, and workers that cannot start: a sentence and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer
from typer.testing import CliRunner

import migrations
import topology
from contracts.confirming import AWAY
from contracts.identity import Identity
from ops.stack import vhosts
from ops.stack.services import Services
from tests.workers.examples_of_settings import coordinator_file, party_file
from workers import cli
from workers.health import Health
from workers.settings import Lane, PartySettings
from workers.store.opening import open_party_store
from workers.store.records import BanRecord, KeyShareRecord, PartyChange
from workers.store.sealing import MasterKeys, Sealer

pytestmark = pytest.mark.long

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


IMPATIENT = "import workers.patience; workers.patience.PATIENCE_S = 0.5; import ops.cli.__main__"


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
        out, err = await asyncio.wait_for(process.communicate(), 100)
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


async def test_a_store_that_was_changed_by_hand_is_a_sentence(tmp_path: Path) -> None:
    path = party_file(tmp_path)
    url = PartySettings.load(path).database_url
    await migrations.upgrade("party", url)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
        file.execute("DROP TABLE bans")
    ended = await warren("store", "migrate", "party", "--config", str(path))
    assert ended.status == CONFIGURATION
    assert "not as declared: table bans. Undo what was changed by hand" in ended.sentence


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


@pytest.mark.parametrize("error", AWAY)
def test_a_connection_that_goes_meanwhile_is_a_sentence(
    error: type[Exception], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def goes() -> None:
        raise error("channel 3 closed")

    monkeypatch.setattr("contracts.logs.configure", lambda: None)
    with pytest.raises(typer.Exit) as ended:
        cli.serve(goes())
    assert ended.value.exit_code == UNAVAILABLE
    assert "cannot reach broker or database: " in capsys.readouterr().err


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
    witness = folder / "party-1.incarnation"
    async with open_party_store(url, party_id="party-1", sealer=sealer, witness=witness) as store:
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
    headings = ["CLIENT", "TENANT", "KEY", "EPOCH", "STATUS", "USABLE"]
    assert for_people.out.split()[: len(headings)] == headings
    assert "treasury" in for_people.out
    for_programs = await warren(
        "party", "shares", "--config", path, "--json", WARREN_MASTER_KEY=MASTER_KEY
    )
    assert json.loads(for_programs.out) == [
        {
            "client": None,
            "tenant": None,
            "key": "treasury",
            "epoch": 0,
            "status": "active",
            "since": None,
            "kept": True,
            "usable": True,
            "over": False,
            "kept_until": None,
            "session": "00" * 32,
        }
    ]
    wrong = await warren("party", "shares", "--config", path, WARREN_MASTER_KEY="2e" * 32)
    assert wrong.status == CONFIGURATION
    assert "wrong master key" in wrong.sentence


async def ban(folder: Path, *party_ids: str) -> None:
    url = f"sqlite:///{folder / 'party-1.sqlite'}"
    await migrations.upgrade("party", url)
    sealer = Sealer(MasterKeys.from_hex(MASTER_KEY))
    witness = folder / "party-1.incarnation"
    async with open_party_store(url, party_id="party-1", sealer=sealer, witness=witness) as store:
        await store.commit(
            PartyChange(
                session_id=b"\x2a" * 32,
                expected_version=0,
                protocol="presign",
                key_session=None,
                status="failed",
                deadline=0,
                state=b"",
                cause="test",
                bans=tuple(
                    BanRecord(
                        party_id=party_id,
                        session_id=b"\x2a" * 32,
                        check="multiplier",
                        at=86_400_000,
                    )
                    for party_id in party_ids
                ),
            )
        )


async def test_a_party_that_has_banned_nobody_says_so(tmp_path: Path) -> None:
    path = str(party_file(tmp_path))
    await ban(tmp_path)
    ended = await warren("party", "bans", "--config", path, WARREN_MASTER_KEY=MASTER_KEY)
    assert (ended.status, ended.out.strip()) == (0, "Nobody is banned.")


async def test_a_party_tells_whom_it_has_banned_and_why(tmp_path: Path) -> None:
    arguments = ("party", "bans", "--config", str(party_file(tmp_path)))
    await ban(tmp_path, "party-9", "party-8")
    for_people = await warren(*arguments, WARREN_MASTER_KEY=MASTER_KEY)
    assert for_people.out.split()[:4] == ["PARTY", "SINCE", "FAILED", "CHECK"]
    assert "multiplier" in for_people.out
    for_programs = await warren(*arguments, "--json", WARREN_MASTER_KEY=MASTER_KEY)
    assert json.loads(for_programs.out) == [
        {
            "party": party_id,
            "since": "1970-01-02T00:00:00+00:00",
            "check": "multiplier",
            "session": "2a" * 32,
        }
        for party_id in ("party-8", "party-9")
    ]


async def test_a_ban_is_lifted_and_no_other(tmp_path: Path) -> None:
    arguments = ("party", "bans", "--config", str(party_file(tmp_path)), "--json")
    await ban(tmp_path, "party-8", "party-9")
    lifted = await warren(*arguments, "--lift", "party-9", WARREN_MASTER_KEY=MASTER_KEY)
    assert lifted.status == 0
    assert [each["party"] for each in json.loads(lifted.out)] == ["party-8"]
    again = await warren(*arguments, "--lift", "party-9", WARREN_MASTER_KEY=MASTER_KEY)
    assert (again.status, again.sentence) == (CONFIGURATION, "party-9 is not banned")
    left = await warren(*arguments, WARREN_MASTER_KEY=MASTER_KEY)
    assert [each["party"] for each in json.loads(left.out)] == ["party-8"]


###
### Lanes
###


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What `warren party run` would start, and how nice it is; nothing is started."""
    happened: list[object] = []

    async def run_party(settings: PartySettings, lanes: list[Lane], health: Health) -> None:
        assert settings.party_id == "party-1"
        assert health.service == "party"
        happened.extend(lanes)

    monkeypatch.setattr("workers.app.run_party", run_party)
    monkeypatch.setattr("workers.cli.serve", asyncio.run)
    monkeypatch.setattr("os.nice", happened.append)
    return happened


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [0, *Lane]),
        (["--lane", "signing"], [0, Lane.SIGNING]),
        (["--lane", "presigning", "--nice", "7"], [7, Lane.PRESIGNING]),
        (["--lane", "keygen", "--lane", "presigning"], [0, Lane.KEYGEN, Lane.PRESIGNING]),
    ],
)
def test_a_party_serves_the_lanes_that_it_is_told(
    tmp_path: Path, ran: list[object], options: list[str], expected: list[object]
) -> None:
    path = party_file(tmp_path)
    CliRunner().invoke(cli.party, ["run", "--config", str(path), *options], catch_exceptions=False)
    assert ran == expected


@pytest.mark.parametrize(
    "options", [["--lane", "all-of-it"], ["--nice", "-1"], ["--nice", "20"], ["--nice", "very"]]
)
def test_another_lane_or_niceness_is_refused(
    tmp_path: Path, ran: list[object], options: list[str]
) -> None:
    path = party_file(tmp_path)
    ended = CliRunner().invoke(cli.party, ["run", "--config", str(path), *options])
    assert ended.exit_code == CONFIGURATION
    assert f"Invalid value for '{options[0]}'" in ended.output
    assert ran == []
