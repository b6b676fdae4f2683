"""`warren upgrade check`: what a file lacks, and what is left in the stores."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import migrations
from contracts.identity import Identity
from ops.cli import upgrade
from ops.cli.exits import ExitCode

KEY = Identity.generate().public.to_base64()
OTHER = Identity.generate().public.to_base64()
PARTIES = "".join(
    f'[[parties]]\nparty_id = "party-{i}"\nindex = {i}\npublic_key = "{key}"\n'
    for i, key in enumerate((KEY, OTHER), start=1)
)
PIN = f'[[coordinators]]\npublic_key = "{KEY}"\n'
URL = 'amqp_url = "amqp://u:p@127.0.0.1:1/w"\n'
CLIENT = f'[client]\nclient_id = "svcA"\nprivate_key_file = "own.key"\n{URL}{PARTIES}'
GATEWAY = "[gateway]\n{}" + CLIENT
COORDINATOR = f"[coordinator]\n{{}}{URL}{PARTIES}"


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WARREN_PRIVATE_KEY", "WARREN_AMQP_URL", "WARREN_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def check(folder: Path, text: str, *options: str) -> Result:
    (folder / "own.key").write_text(Identity.generate().to_base64())
    (folder / "file.toml").write_text(text)
    return CliRunner().invoke(upgrade.app, ["check", "-c", str(folder / "file.toml"), *options])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[party]\nparty_id = "party-1"\nindex = 1\n', "missing_pins"),
        (GATEWAY.format(f'api_key_authority = "{KEY}"\n'), "missing_pins"),
        (CLIENT, "missing_pins"),
        (COORDINATOR.format(""), "missing_identity"),
        (PARTIES, "missing_identity"),
        (GATEWAY.format("") + PIN, "missing_authority"),
        (GATEWAY.format('api_key_authority = ""\n') + PIN, "missing_authority"),
    ],
)
def test_what_a_file_lacks_is_told_first_and_nothing_else(
    tmp_path: Path, text: str, name: str
) -> None:
    told = check(tmp_path, text, "--json")
    assert told.exit_code == ExitCode.FAILED, told.output
    report = json.loads(told.output)
    assert [row["name"] for row in report["checks"]] == [name]
    assert report["complete"] is False
    for_people = check(tmp_path, text)
    assert f"1 {name.replace('_', ' ')}: " in for_people.output
    assert "Then ask again" in for_people.output


def test_a_gateway_that_lacks_both_is_told_both(tmp_path: Path) -> None:
    told = check(tmp_path, GATEWAY.format(""), "--json")
    names = [row["name"] for row in json.loads(told.output)["checks"]]
    assert names == ["missing_pins", "missing_authority"]


def test_a_gateway_that_forgets_is_told_to_remember(tmp_path: Path) -> None:
    pinned = f'api_key_authority = "{KEY}"\n'
    told = check(tmp_path, GATEWAY.format(pinned) + PIN)
    assert told.exit_code == ExitCode.FAILED
    assert "1 forgetful: " in told.output
    kept = check(tmp_path, GATEWAY.format(pinned + 'api_keys_file = "api-keys"\n') + PIN)
    assert (kept.exit_code, kept.output) == (0, "Nothing is left to do at this gateway.\n")


def test_a_client_that_pins_is_done(tmp_path: Path) -> None:
    told = check(tmp_path, CLIENT + PIN)
    assert (told.exit_code, told.output) == (0, "Nothing is left to do at this client.\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CLIENT + PIN.replace(KEY, "x"), "coordinators: public_key: not a public key"),
        (CLIENT + "coordinators = 1\n", "coordinators"),
        ("client = 1\ncoordinators = 1\n", "client"),
        ("gateway = 1\ncoordinators = 1\n", "missing authority"),
        ("= what", "not TOML: Invalid statement"),
        ("\n", "none of the tables"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    told = check(tmp_path, text)
    assert told.exit_code != 0
    assert isinstance(told.exception, SystemExit)
    assert sentence in told.output


def test_api_keys_that_nobody_has_signed_are_left_to_do_at_the_coordinator(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'coordinator.sqlite'}"
    asyncio.run(migrations.upgrade("coordinator", url))
    own = f'private_key_file = "own.key"\ndatabase_url = "{url}"\n'
    client = f'[[clients]]\nclient_id = "gateway"\npublic_key = "{KEY}"\n'
    text = COORDINATOR.format(own) + client
    assert check(tmp_path, text).output == "Nothing is left to do at this coordinator.\n"
    with closing(sqlite3.connect(tmp_path / "coordinator.sqlite")) as file, file:
        file.execute(
            "INSERT INTO api_keys (owner, api_key_id, holder, key_digest, scopes, created_at, "
            "asked_at) VALUES ('gateway', 'shop-1', 'shop', zeroblob(32), 'sign', 1, 1)"
        )
    told = check(tmp_path, text)
    assert told.exit_code == ExitCode.FAILED
    assert "warren gateway api-keys adopt" in told.output
    assert "API key shop-1 of tenant shop, client gateway" in told.output
