"""Passwords: how the broker keeps them, where they are looked up, who gets new ones."""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

import pytest

from topology.model import PasswordHash, Secret, User
from topology.passwords import SHA256, InFiles, InMemory, SecretError, fits, hashed, referenced


def user(secret: Secret | None, name: str = "warren.client.svcA") -> User:
    return User(name=name, secret=secret)


def test_a_password_is_hashed_as_rabbitmq_documents_it() -> None:
    # The documentation's own example.
    kept = hashed("test12", salt=bytes.fromhex("908DC60A"))
    assert kept.value == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert kept.algorithm == SHA256


def test_a_hash_fits_its_password_alone_and_is_salted() -> None:
    kept = hashed("a password")
    assert fits("a password", kept)
    assert not fits("another", kept)
    assert hashed("a password") != kept


def test_hashes_of_other_kinds() -> None:
    digest = base64.b64encode(b"salt" + hashlib.sha512(b"saltpw").digest()).decode()
    assert fits("pw", PasswordHash("rabbit_password_hashing_sha512", digest))
    assert not fits("pw", PasswordHash("rabbit_password_hashing_md5", digest))
    assert not fits("", PasswordHash(SHA256, ""))
    assert not fits("pw", PasswordHash(SHA256, "?"))
    assert digest not in repr(PasswordHash(SHA256, digest))


def test_passwords_that_are_kept_elsewhere(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("from a file\n")
    users = [
        user(Secret(source="environment", words=("BROKER_PW",)), "a"),
        user(Secret(source="file", words=(str(kept),)), "b"),
        user(Secret(source="command", words=("printf", "by a command\\n")), "c"),
        user(None, "d"),
    ]
    assert referenced(users, {"BROKER_PW": "from outside"}) == {
        "a": "from outside",
        "b": "from a file",
        "c": "by a command",
    }


@pytest.mark.parametrize(
    ("secret", "place"),
    [
        (Secret(source="environment", words=("BROKER_PW",)), "variable BROKER_PW"),
        (Secret(source="file", words=("/nowhere/at/all",)), "file /nowhere/at/all"),
        (Secret(source="command", words=("false", "s3cret")), "command false"),
        (Secret(source="command", words=("/no/such", "s3cret")), "command /no/such"),
    ],
)
def test_a_password_that_is_not_there_is_named_by_user_and_place(
    secret: Secret, place: str
) -> None:
    with pytest.raises(SecretError) as caught:
        referenced([user(secret)], {})
    said = str(caught.value)
    assert said == f"the password of user warren.client.svcA is not to be had from the {place}"


def test_a_new_password_is_handed_over_once_in_a_file_of_its_own(tmp_path: Path) -> None:
    owner = InFiles(tmp_path / "new")
    password = owner.password_of("v/1.party.p1")
    (path,) = owner.written
    assert path == tmp_path / "new" / "v%2F1.party.p1"
    assert path.read_text() == f"{password}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    # An apply that was cut short between the file and the broker.
    again = InFiles(tmp_path / "new")
    assert again.password_of("v/1.party.p1") == password
    again.arrived("v/1.party.p1")
    assert {each.name for each in path.parent.iterdir()} == {path.name, ".gitignore"}
    # The user is gone, and made once more: whoever has the old file has nothing.
    assert again.password_of("v/1.party.p1") != password
    assert path.read_text() != f"{password}\n"


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("a file")
    with pytest.raises(SecretError, match=r"user u cannot be handed over"):
        InFiles(tmp_path / "new").password_of("u")


def test_passwords_in_memory_are_shown_by_nobody() -> None:
    owner = InMemory()
    password = owner.password_of("u")
    assert owner.password_of("u") == password
    owner.arrived("u")
    assert owner.password_of("u") != password
    assert len(password) >= 32
    assert password not in repr(owner)
