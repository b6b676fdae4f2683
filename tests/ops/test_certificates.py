"""The CA for tests: what it makes, and what it does not."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from contracts.tls import TlsFiles, common_name, expires_at, read_certificate
from ops.cli.main import app
from ops.stack.certificates import TestingCa
from ops.stack.errors import StackError


@pytest.fixture
def ca(tmp_path: Path) -> TestingCa:
    return TestingCa.make(tmp_path / "ca")


def test_keys_are_their_owners_alone(ca: TestingCa) -> None:
    pairs = [ca.for_user("one"), ca.for_server("two", ["localhost"])]
    for key in (*(pair.key for pair in pairs), ca.certificate.with_name("ca.key")):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(ca.certificate.parent.stat().st_mode) == 0o700


def test_it_says_that_it_is_for_tests(ca: TestingCa) -> None:
    name = read_certificate(ca.certificate).subject
    (organisation,) = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert "not for production" in str(organisation.value)


def test_all_of_it_ends_after_days(ca: TestingCa, tmp_path: Path) -> None:
    latest = datetime.now(UTC) + timedelta(days=8)
    for path in (ca.certificate, ca.for_user("one").certificate):
        assert expires_at(path) < latest.timestamp()
    for make in (
        lambda: ca.for_user("one", days=31),
        lambda: ca.for_server("one", ["h"], days=31),
        lambda: TestingCa.make(tmp_path / "long", days=31),
    ):
        with pytest.raises(StackError, match="30 days at most"):
            make()


def test_a_server_is_no_user_and_a_user_no_server(ca: TestingCa) -> None:
    def usages(path: Path) -> list[str]:
        found = read_certificate(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        return [usage._name for usage in found.value]

    assert usages(ca.for_user("one").certificate) == ["clientAuth"]
    assert usages(ca.for_server("two", ["localhost"]).certificate) == ["serverAuth"]


def test_a_user_is_called_as_the_broker_calls_them(ca: TestingCa) -> None:
    assert common_name(ca.for_user("warren.party.p1").certificate) == "warren.party.p1"
    longest = "u" * 64
    assert common_name(ca.for_user(longest).certificate) == longest
    for wrong in ("", longest + "u"):
        with pytest.raises(StackError, match="1 to 64 characters"):
            ca.for_user(wrong)


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "a b"])
def test_no_name_leads_out_of_its_folder(name: str, ca: TestingCa) -> None:
    with pytest.raises(StackError, match="no name for a file"):
        ca.for_server(name, ["localhost"])


def test_one_that_is_found_signs_what_the_first_one_would(ca: TestingCa) -> None:
    again = TestingCa(ca.certificate.parent).for_user("one")
    own = read_certificate(again.certificate)
    own.verify_directly_issued_by(read_certificate(ca.certificate))
    TlsFiles(ca=ca.certificate, certificate=again.certificate, key=again.key).context()


def test_a_folder_with_something_else_is_no_ca(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="No such file"):
        TestingCa(tmp_path)
    (tmp_path / "ca.pem").write_text("no PEM")
    with pytest.raises(StackError, match="has no CA of ours"):
        TestingCa(tmp_path)


def test_the_command_makes_them_and_says_what_they_are_for(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    words = ["test-ca", str(folder), "--host", "localhost", "--host", "127.0.0.1"]
    made = CliRunner().invoke(app, [*words, "--user", "warren.coordinator"])
    assert made.exit_code == 0
    assert "For tests only" in made.stderr
    assert "PRIVATE" not in made.output
    files = {path.name for path in folder.iterdir()}
    assert files == {
        *("ca.pem", "ca.key", "server.pem", "server.key"),
        *("warren.coordinator.pem", "warren.coordinator.key"),
    }
    authority = (folder / "ca.pem").read_bytes()
    again = CliRunner().invoke(app, ["test-ca", str(folder), "--user", "other", "--json"])
    assert json.loads(again.stdout)["other"]["key"] == str(folder / "other.key")
    assert (folder / "ca.pem").read_bytes() == authority


def test_the_command_refuses_what_cannot_be_in_a_sentence(tmp_path: Path) -> None:
    for words in (["--user", "u" * 65], ["--host", "ho st"], ["--user", "a/b"]):
        ended = CliRunner().invoke(app, ["test-ca", str(tmp_path / "tls"), *words])
        assert ended.exit_code == 2
        assert ended.stderr.count("\n") == 1
