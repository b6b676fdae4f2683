"""Where broker and database are, with TLS: what a file and the environment say together."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from contracts.hosts import AddressError, Hosts, files_of
from contracts.tls import TlsFiles
from ops.stack.certificates import Pair, TestingCa
from tests.workers.examples_of_settings import coordinator_file, party_file
from workers import places
from workers.health import Health
from workers.settings import CoordinatorSettings, PartySettings, SettingsError
from workers.store import opening

PASSWORD = "hunter2"
AMQP = f"amqps://party-1:{PASSWORD}@broker/warren"
DATABASE = f"postgresql://party-1:{PASSWORD}@database/party-1"


@pytest.fixture
def ca(tmp_path: Path) -> TestingCa:
    return TestingCa.make(tmp_path / "tls")


@pytest.fixture
def own(ca: TestingCa) -> Pair:
    return ca.for_user("warren.party.party-1", name="own")


def with_lines(config: Path, *lines: str) -> Path:
    """With these in its first section."""
    head, _, rest = config.read_text().partition("\n")
    config.write_text("\n".join([head, *lines, rest]))
    return config


def files(**paths: Path) -> list[str]:
    return [f"{name} = {json.dumps(str(path))}" for name, path in paths.items()]


def test_a_file_names_what_tls_needs_beside_itself(
    tmp_path: Path, ca: TestingCa, own: Pair
) -> None:
    lines = [
        'amqp_ca_file = "tls/ca.pem"',
        'amqp_certificate_file = "tls/own.pem"',
        'amqp_key_file = "tls/own.key"',
        'database_ca_file = "tls/ca.pem"',
    ]
    config = with_lines(party_file(tmp_path, amqp_url=AMQP, database_url=DATABASE), *lines)
    settings = PartySettings.load(config, {})
    named = files_of(Hosts(settings.amqp_url).current)
    assert named == TlsFiles(ca=ca.certificate, certificate=own.certificate, key=own.key)
    assert opening.files_of(settings.database_url) == TlsFiles(ca=ca.certificate)
    assert settings.database_url.startswith(f"{DATABASE}?")
    assert "sslmode=verify-full" in settings.database_url
    assert PASSWORD not in repr(settings)


def test_the_environment_names_what_the_file_does_not(
    tmp_path: Path, ca: TestingCa, own: Pair
) -> None:
    environ = {
        "WARREN_AMQP_CA_FILE": str(ca.certificate),
        "WARREN_AMQP_CERTIFICATE_FILE": str(own.certificate),
        "WARREN_AMQP_KEY_FILE": str(own.key),
    }
    config = coordinator_file(tmp_path, amqp_url="amqps://broker/warren")
    settings = CoordinatorSettings.load(config, environ)
    url = Hosts(settings.amqp_url).current
    assert files_of(url) == TlsFiles(ca=ca.certificate, certificate=own.certificate, key=own.key)
    assert url.query["auth"] == "EXTERNAL"
    assert settings.database_url.startswith("sqlite:")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('amqp_ca_file = "none.pem"', "amqp_url: .*none.pem: No such file"),
        ('amqp_key_file = "tls/own.key"', "amqp_url: .*own.key: .* without its certificate"),
        ('amqp_certificate_file = "tls/own.pem"', "amqp_url: .*own.pem: .* without its key"),
        ('database_ca_file = "tls/own.key"', "database_url: .*own.key: has no certificate"),
        ('database_key_file = "tls/own.key"', "database_url: .*own.key: .*name both"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_of_no_use_is_named_and_no_secret_is(
    tmp_path: Path, line: str, expected: str
) -> None:
    config = with_lines(party_file(tmp_path, amqp_url=AMQP, database_url=DATABASE), line)
    with pytest.raises(SettingsError, match=expected) as problem:
        PartySettings.load(config, {})
    assert PASSWORD not in str(problem.value)
    assert str(problem.value).startswith(f"{config}: ")


def test_a_plain_address_with_a_ca_is_a_mistake(tmp_path: Path, ca: TestingCa) -> None:
    config = with_lines(party_file(tmp_path), *files(amqp_ca_file=ca.certificate))
    with pytest.raises(SettingsError, match="need amqps://"):
        PartySettings.load(config, {})


###
### The database's addresses
###

CA = TlsFiles(ca=Path("/c a.pem"))


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://h/d", "verify-full"),
        ("postgresql://h/d?application_name=x", "verify-full"),
        ("postgresql://h/d?sslmode=verify-full", "verify-full"),
        ("postgresql://h/d?sslmode=verify-ca", "verify-ca"),
    ],
)
def test_whoever_names_a_ca_means_its_server(url: str, mode: str) -> None:
    told = opening.with_files(url, CA)
    assert opening._query(told)["sslmode"] == mode
    assert opening.files_of(told) == CA


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_a_mode_that_believes_anybody_is_no_mode_with_a_ca(mode: str) -> None:
    with pytest.raises(AddressError, match="verify-full"):
        opening.with_files(f"postgresql://h/d?sslmode={mode}", CA)


def test_files_are_named_once() -> None:
    with pytest.raises(AddressError, match="other files"):
        opening.with_files("postgresql://h/d?sslrootcert=/other.pem", CA)


def test_a_file_of_ours_needs_no_tls() -> None:
    assert opening.with_files("sqlite:///x", CA) == "sqlite:///x"


def test_the_files_in_an_address_are_looked_at(ca: TestingCa, own: Pair) -> None:
    good = TlsFiles(ca=ca.certificate, certificate=own.certificate, key=own.key)
    url = opening.with_files("postgresql://h/d", good)
    assert opening.check(url) == url
    own.key.chmod(0o644)
    with pytest.raises(AddressError, match="others have access"):
        opening.check(url)


###
### What operators are told
###


async def asked(health: Health, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=health.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        return await client.get(path)


@pytest.mark.parametrize(("days", "left"), [(2.5, 2), (-0.5, -1)])
async def test_health_counts_the_days_of_our_certificates(
    days: float, left: int, ca: TestingCa
) -> None:
    health = Health("party")
    health.certificates["broker"] = ca.for_user("own", days=days).certificate
    answer = await asked(health, "/health/ready")
    assert answer.json()["certificate_days_left"] == {"broker": left}
    assert 'shown_to="broker"' in (await asked(health, "/metrics")).text


async def test_a_certificate_that_is_renewed_is_counted_anew(ca: TestingCa) -> None:
    health = Health("party")
    health.certificates["database"] = ca.for_user("own", days=1.5).certificate
    for days in (1.5, 5.5):
        ca.for_user("own", days=days)
        answer = await asked(health, "/health/ready")
        assert answer.json()["certificate_days_left"] == {"database": int(days)}


async def test_whoever_shows_none_counts_none(tmp_path: Path) -> None:
    assert "certificate_days_left" not in (await asked(Health("party"), "/health/ready")).json()
    settings = PartySettings.load(party_file(tmp_path), {})
    assert places.certificates(settings.amqp_url, settings.database_url) == {}


def test_certificates_are_found_by_whom_they_are_shown_to(ca: TestingCa, own: Pair) -> None:
    query = f"certfile={own.certificate}&keyfile={own.key}"
    database = f"postgresql://h/d?sslcert={ca.certificate}"
    assert places.certificates(f"amqps://h/v?{query}", database) == {
        "broker": own.certificate,
        "database": ca.certificate,
    }
