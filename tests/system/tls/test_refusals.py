"""Wrong files and false servers: each is refused with one sentence and the exit code for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.stack.certificates import Pair, TestingCa
from ops.stack.deployment import Deployment
from tests.system.tls.conftest import WRONG_HOST, Ended, changed, warren

pytestmark = pytest.mark.system


@dataclass(frozen=True, slots=True)
class Case:
    """What is wrong, and what is said of it.

    Attributes:
        settings: In place of what a configuration file says of the broker.
    """

    settings: dict[str, str]
    said: str
    """A regular expression."""


def shown(pair: Pair) -> dict[str, str]:
    return {"amqp_certificate_file": str(pair.certificate), "amqp_key_file": str(pair.key)}


def cases(ca: TestingCa, stranger: TestingCa, user: str, amqp_url: str) -> dict[str, Case]:
    """For whoever is this user."""
    open_key = ca.for_user(user, name="open")
    open_key.key.chmod(0o644)
    return {
        "wrong CA": Case(
            {"amqp_ca_file": str(stranger.certificate)}, "a CA that we were not told to believe"
        ),
        "wrong host": Case(
            {"amqp_url": amqp_url.replace("127.0.0.1", WRONG_HOST)}, "for another name than the one"
        ),
        "expired": Case(shown(ca.for_user(user, name="expired", days=-1)), "has expired on"),
        "a stranger's": Case(
            shown(stranger.for_user(user)),
            "(does not believe the CA of|does not accept) our certificate",
        ),
        "nobody's": Case(shown(ca.for_user("warren.nobody")), "'warren.nobody'"),
        "open key": Case(shown(open_key), "that others have access to"),
        "no key": Case({"amqp_key_file": "/nowhere/own.key"}, "/nowhere/own.key: No such file"),
    }


CASES = ("wrong CA", "wrong host", "expired", "a stranger's", "nobody's", "open key", "no key")


def setting(config: Path, name: str) -> str:
    for line in config.read_text().splitlines():
        if line.startswith(f"{name} = "):
            return line.partition(" = ")[2].strip('"')
    raise AssertionError(f"{config} has no {name}")


def run_worker(role: str) -> Callable[[Path], Ended]:
    return lambda config: warren(role, "run", "--config", str(config))


def list_keys(config: Path) -> Ended:
    return warren("key", "list", "--config", str(config))


WHO = {
    "party": ("party-1.toml", "party.party-1", run_worker("party"), 2),
    "coordinator": ("coordinator.toml", "coordinator", run_worker("coordinator"), 2),
    "client": ("client-svcA.toml", "tenant-client.svcA", list_keys, 4),
}
"""By role: its file, its user, what it does with the file, how that ends if it is refused: a client
that is refused may find another broker later, a worker has to be mended."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("role", WHO)
def test_what_is_wrong_is_said_in_a_sentence(
    role: str, name: str, encrypted: Deployment, ca: TestingCa, stranger: TestingCa
) -> None:
    file, user, run, code = WHO[role]
    config = encrypted.directory / file
    full_name = f"{encrypted.vhost}.{user}"
    case = cases(ca, stranger, full_name, setting(config, "amqp_url"))[name]
    ended = run(changed(config, **case.settings))
    assert re.search(case.said, ended.said), ended.whole
    # What stands in the file itself is told by whoever reads it.
    of_file = name in ("expired", "open key", "no key")
    assert ended.code == (2 if of_file else code), ended.whole
    assert "Traceback" not in ended.whole
    assert_no_key_is_told(encrypted, ended)


def assert_no_key_is_told(encrypted: Deployment, ended: Ended) -> None:
    for key in encrypted.directory.parent.glob("**/*.key"):
        for line in key.read_text().splitlines():
            assert line.startswith("-----") or line not in ended.whole


def test_another_partys_certificate_lets_a_party_do_nothing(
    encrypted: Deployment, ca: TestingCa
) -> None:
    theirs = shown(ca.for_user(f"{encrypted.vhost}.party.party-2", name="borrowed"))
    ended = warren(
        "party", "run", "--config", str(changed(encrypted.directory / "party-1.toml", **theirs))
    )
    assert ended.code == 2
    assert f"user '{encrypted.vhost}.party.party-2' may not write" in ended.said, ended.whole


def test_another_clients_certificate_opens_no_queue(encrypted: Deployment, ca: TestingCa) -> None:
    theirs = shown(ca.for_user(f"{encrypted.vhost}.gateway.gateway", name="borrowed"))
    config = changed(encrypted.directory / "client-svcA.toml", **theirs)
    ended = list_keys(config)
    assert ended.code == 2
    assert f"user '{encrypted.vhost}.gateway.gateway' may not read" in ended.said, ended.whole


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("sslrootcert={own}", "sslrootcert={stranger}", 2, "were not told to believe"),
        ("@127.0.0.1:", f"@{WRONG_HOST}:", 2, "for another name than the one"),
        ("sslkey={key}", "sslkey=/nowhere/x.key", 2, "/nowhere/x.key: No such file"),
        ("sslcert={pair}", "sslcert={expired}", 2, "has expired on"),
    ],
)
@pytest.mark.parametrize("command", ["party run", "store migrate party", "party bans"])
def test_a_database_is_believed_by_its_certificate(
    command: str,
    old: str,
    new: str,
    code: int,
    said: str,
    encrypted: Deployment,
    ca: TestingCa,
    stranger: TestingCa,
) -> None:
    assert encrypted.services.tls is not None
    url = encrypted.database_urls["party-1"]
    files = {
        "own": ca.certificate,
        "stranger": stranger.certificate,
        "pair": encrypted.services.tls / "postgres.pem",
        "key": encrypted.services.tls / "postgres.key",
        "expired": ca.for_user("postgres", name="late", days=-1).certificate,
    }
    old, new = old.format(**files), new.format(**files)
    assert old in url
    config = changed(encrypted.directory / "party-1.toml", database_url=url.replace(old, new))
    ended = warren(*command.split(), "--config", str(config))
    assert ended.code == code, ended.whole
    assert said in ended.said, ended.whole
    assert "Traceback" not in ended.whole
    assert_no_key_is_told(encrypted, ended)


def test_an_operators_commands_say_it_as_well(
    encrypted: Deployment, ca: TestingCa, stranger: TestingCa
) -> None:
    url = encrypted.amqp_urls["operator"]
    good = warren("dead-letters", "list", environment={"WARREN_AMQP_URL": url})
    assert good.code == 0, good.whole
    doubted = url.replace(str(ca.certificate), str(stranger.certificate))
    ended = warren("dead-letters", "list", environment={"WARREN_AMQP_URL": doubted})
    assert ended.code == 2
    assert "were not told to believe" in ended.said
    # The files may stand beside the address as well.
    pair = ca.for_user(f"{encrypted.vhost}.operator", name="beside")
    beside = {
        "WARREN_AMQP_URL": url.partition("?")[0],
        "WARREN_AMQP_CA_FILE": str(ca.certificate),
        "WARREN_AMQP_CERTIFICATE_FILE": str(pair.certificate),
        "WARREN_AMQP_KEY_FILE": str(pair.key),
    }
    assert warren("dead-letters", "list", environment=beside).code == 0


def test_the_topologys_commands_say_it_as_well(
    encrypted: Deployment, ca: TestingCa, stranger: TestingCa
) -> None:
    members = encrypted.directory / "members.yaml"
    members.write_text("parties: [party-1, party-2]\ntenant_clients: [svcA]\ngateways: [gateway]\n")
    words = [*("topology", "plan"), "--members", str(members), "--vhost", encrypted.vhost]
    words += ["--directory", str(encrypted.directory / "topology")]
    place = encrypted.services.management_url.partition("?")[0]

    def plan(url: str, ca: Path) -> Ended:
        given = {"WARREN_MANAGEMENT_URL": url, "WARREN_MANAGEMENT_CA_FILE": str(ca)}
        return warren(*words, environment=given)

    good = plan(place, ca.certificate)
    assert good.code == 0, good.whole
    for url, believed, said in (
        (place, stranger.certificate, "is not believed"),
        (place.replace("127.0.0.1", WRONG_HOST), ca.certificate, "is not believed"),
        (place.replace("https", "http"), ca.certificate, "need https://"),
        (place, Path("/nowhere/ca.pem"), "/nowhere/ca.pem: No such file"),
    ):
        ended = plan(url, believed)
        assert ended.code == 1
        assert said in ended.said, ended.whole
        assert "Traceback" not in ended.whole
        password = place.partition("@")[0].rpartition(":")[2]
        assert password not in ended.whole
