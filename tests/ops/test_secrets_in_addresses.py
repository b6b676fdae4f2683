"""Passwords with characters that mean something in an address: a sentence, and nothing of them."""

from __future__ import annotations

import json
import logging
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts import hosts
from contracts.hosts import AddressError
from contracts.identity import Identity
from ops.cli.main import app as warren
from ops.stack import discovery
from ops.stack.errors import StackError
from tests.workers.examples_of_settings import coordinator_file, party_file
from workers import patience
from workers.store import opening

BEFORE, AFTER = "Sup3r", "Secr3t"
NOWHERE = "127.0.0.1:1"

MEANING = ["[", "]", "[x]", "[::1]", "/", "?", "#", "\N{ACCOUNT OF}", "@[", "1/2@", ":[1]/"]
"""Between the two halves of a password, not encoded."""
HARMLESS = [" ", "%", "%zz", "ß", ":", "%5B", "%40", "%2F", "\N{GRINNING FACE}", "<>", "'", '"']


def broker(between: str) -> str:
    return f"amqp://user:{BEFORE}{between}{AFTER}@{NOWHERE}/warren"


def database(between: str) -> str:
    return f"postgresql://user:{BEFORE}{between}{AFTER}@{NOWHERE}/warren"


def says_nothing(text: str) -> None:
    assert BEFORE not in text
    assert AFTER not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("between", [*MEANING, "@"])
def test_an_address_of_a_database_that_would_be_read_otherwise_is_refused(between: str) -> None:
    with pytest.raises(AddressError, match="percent-encoded") as caught:
        opening.check(database(between))
    says_nothing(str(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("between", MEANING)
def test_an_address_of_a_broker_that_would_be_read_otherwise_is_refused(between: str) -> None:
    with pytest.raises(AddressError, match="percent-encoded") as caught:
        hosts.check(broker(between))
    says_nothing(str(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("between", HARMLESS)
def test_what_means_nothing_there_is_taken_as_before(between: str) -> None:
    assert opening.check(database(between)) == database(between)
    assert hosts.check(broker(between)) == broker(between)


@pytest.mark.parametrize("host", ["a..b", ".a", f"{'a' * 64}.example", "one,a..b", "a..b:1,one"])
def test_a_host_that_cannot_be_asked_for_is_refused(host: str) -> None:
    for check, scheme in ((hosts.check, "amqp"), (opening.check, "postgresql")):
        with pytest.raises(AddressError, match="a host's name in it is none") as caught:
            check(f"{scheme}://user:{BEFORE}{AFTER}@{host}/warren")
        says_nothing(str(caught.value))
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("host", ["[::1]", "[::1]:1", "a_b-c.example.:1,two", "bücher.example"])
def test_a_host_that_can_be_asked_for_is_taken(host: str) -> None:
    for check, scheme in ((hosts.check, "amqp"), (opening.check, "postgresql")):
        url = f"{scheme}://user:{BEFORE}@{host}/warren"
        assert check(url) == url


def test_a_socket_s_folder_is_no_host() -> None:
    url = f"postgresql://user@{'%2Fvar' * 30}/warren"
    assert opening.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{BEFORE}@h:99999/d",
        f"postgresql://u:{BEFORE}@h:0/d",
        f"postgresql://u:{BEFORE}@one,two:port/d",
        f"postgresql://u:{BEFORE}@one,,two/d",
        f"postgresql://u:{BEFORE}@h",
        f"postgresql://u:{BEFORE}@h/d?{AFTER}",
        f"postgresql://u:{BEFORE}@h/d?sslmode={AFTER}",
        f"postgresql://u:{BEFORE}@h/d?target_session_attrs={AFTER}",
        f"postgresql://u:1234/{AFTER}@h/d",
        f"mysql://u:{BEFORE}@h/d",
        f"u:{BEFORE}@h/d",
        f"{BEFORE}",
        "",
    ],
)
def test_what_is_no_address_of_a_database_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        opening.check(url)
    says_nothing(str(caught.value))


@pytest.mark.parametrize("between", [*MEANING, "@", "1/2@"])
@pytest.mark.parametrize("variable", ["WARREN_AMQP_URL", "WARREN_MANAGEMENT_URL"])
def test_services_at_such_an_address_are_not_looked_for(variable: str, between: str) -> None:
    scheme = "amqp" if variable == "WARREN_AMQP_URL" else "http"
    url = f"{scheme}://user:{BEFORE}{between}{AFTER}@{NOWHERE}/"
    try:
        discovery.probe({variable: url})
    except StackError as error:
        says_nothing(str(error))


###
### Every command that reads an address
###


COMMANDS = [
    "party run",
    "party shares",
    "coordinator run",
    "store migrate",
    "backup create",
    "gateway run",
    "key list",
    "dead-letters",
    "topology plan",
]


def client_file(folder: Path, url: str) -> Path:
    (folder / "client.key").write_text(Identity.generate().to_base64())
    own = Identity.generate().public.to_base64()
    path = folder / "client.toml"
    path.write_text(
        f'[client]\nclient_id = "svcA"\nprivate_key_file = "client.key"\n'
        f"amqp_url = {json.dumps(url)}\n"
        f'[[coordinators]]\npublic_key = "{own}"\n'
        f'[[parties]]\nparty_id = "party-1"\npublic_key = "{own}"\n'
        f'[[parties]]\nparty_id = "party-2"\n'
        f'public_key = "{Identity.generate().public.to_base64()}"\n'
    )
    return path


def commands(folder: Path, between: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    party = party_file(folder, amqp_url=broker(between), database_url=database(between))
    coordinator = coordinator_file(folder, amqp_url=broker(between))
    client = client_file(folder, broker(between))
    gateway = folder / "gateway.toml"
    authority = Identity.generate().public.to_base64()
    gateway.write_text(
        f'[gateway]\nport = 0\napi_key_authority = "{authority}"\n\n{client.read_text()}'
    )
    master = {"WARREN_MASTER_KEY": "1f" * 32}
    management = f"http://user:{BEFORE}{between}{AFTER}@{NOWHERE}"
    return {
        "party run": (["party", "run", "-c", str(party)], master),
        "party shares": (["party", "shares", "-c", str(party)], master),
        "coordinator run": (["coordinator", "run", "-c", str(coordinator)], {}),
        "store migrate": (["store", "migrate", "party", "-c", str(party)], {}),
        "backup create": (
            ["backup", "create", "-c", str(party), "-o", str(folder / "out")],
            master,
        ),
        "gateway run": (["gateway", "run", "-c", str(gateway)], {}),
        "key list": (["key", "list", "-c", str(client)], {}),
        "dead-letters": (["dead-letters", "list"], {"WARREN_AMQP_URL": broker(between)}),
        "topology plan": (["topology", "plan"], {"WARREN_MANAGEMENT_URL": management}),
    }


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "between"),
    [
        *product(COMMANDS, ["[x]", "1/2@", "\N{ACCOUNT OF}"]),
        # This one is taken, and nobody is there; a gateway would wait for that.
        *product([each for each in COMMANDS if each != "gateway run"], ["ß %"]),
    ],
)
def test_no_command_shows_anything_of_a_password(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    command: str,
    between: str,
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0)
    monkeypatch.setenv("COLUMNS", "10000")
    caplog.set_level(logging.DEBUG)
    arguments, environment = commands(tmp_path, between)[command]
    result = CliRunner().invoke(warren, arguments, env=environment)
    assert result.exit_code not in {0, None}
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    says_nothing(result.output)
    says_nothing(caplog.text)
