"""`warren gateway api-keys`, with a client that answers by script."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contracts.answers import failed_result
from contracts.api_keys import SignedApiKeyEntry
from contracts.client import (
    BrokerUnavailableError,
    RequestFailedError,
    ResultTimeoutError,
    TopologyError,
)
from contracts.failures import Failure, FailureCode
from contracts.identity import Identity
from contracts.primitives import Scope
from contracts.views import ApiKeyView
from gateway.cli import app
from gateway.ledger import Ledger
from tests.contracts.chains import Scribe
from tests.gateway.authorities import Run

OLD_SECRET = "a secret that was there before"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def create(run: Run, name: str = "shop-1", *words: str) -> Result:
    scopes = () if "--scope" in words else ("--scope", "read")
    return run("create", name, "--holder", "shop", *scopes, *words)


def adopt(run: Run, secret: str, *words: str) -> Result:
    """A key with a secret that its caller has already."""
    files = ("--holder", "shop", "--scope", "read")
    return run("create", "old", *files, "--secret-stdin", *words, given=secret)


def test_an_authority_is_made_once_and_its_private_key_is_nowhere_but_in_its_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "new.key"
    ended = CliRunner().invoke(app, ["api-keys", "authority", "new", str(file)])
    assert ended.exit_code == 0
    made = Identity.from_base64(file.read_text().strip())
    assert ended.stdout == f'api_key_authority = "{made.public.to_base64()}"\n'
    assert file.read_text().strip() not in ended.output
    for each in (file, tmp_path / "new.key.gateway.entries"):
        assert each.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(app, ["api-keys", "authority", "new", str(file), "--json"])
    assert again.exit_code == 2
    assert "exists" in again.stderr


def test_a_new_key_is_printed_once_and_only_its_digest_goes_out(run: Run) -> None:
    ended = create(run, "shop-1", "--scope", "sign", "--scope", "read")
    assert ended.exit_code == 0, ended.output
    secret = ended.stdout.strip()
    assert secret.startswith("warren_")
    assert len(secret) >= 43
    made = run.client.key("shop-1")
    assert made.key_digest == hashlib.sha256(secret.encode()).digest()
    assert (made.holder, made.scopes) == ("shop", [Scope.READ, Scope.SIGN])
    assert secret not in ended.stderr
    again = create(run, "shop-2")
    assert again.stdout.strip() != secret
    assert create(run, "shop-2").exit_code == 1


def test_a_key_has_the_scopes_that_are_named_and_no_others(run: Run) -> None:
    nothing = run("create", "shop-1", "--holder", "shop")
    assert nothing.exit_code == 2
    assert "--scope" in nothing.output
    assert run.client.entries == []
    wish = [word for scope in Scope for word in ("--scope", scope.value)]
    assert create(run, "shop-2", *wish).exit_code == 0
    assert set(run.client.key("shop-2").scopes) == set(Scope)
    assert create(run, "shop-3", "--scope", "everything").exit_code == 2


@pytest.mark.parametrize(("words", "days"), [((), 90), (("--days", "2"), 2)])
def test_a_key_ends_by_itself(run: Run, words: tuple[str, ...], days: int) -> None:
    before = time.time() * 1000
    assert create(run, "shop-1", *words).exit_code == 0
    ends_at = run.client.key("shop-1").valid_until
    assert ends_at is not None
    assert -1 <= ends_at - before - days * 86_400_000 < 60_000


def test_no_key_is_made_for_longer_than_ninety_days(run: Run) -> None:
    assert create(run, "shop-1", "--days", "91").exit_code == 2
    assert run.client.entries == []


def test_a_key_is_renewed_with_its_secret(run: Run) -> None:
    create(run, "shop-1", "--days", "1", "--scope", "sign")
    before = run.client.key("shop-1")
    ended = run("renew", "shop-1")
    assert ended.exit_code == 0
    assert "valid until" in ended.stdout
    after = run.client.key("shop-1")
    assert (after.key_digest, after.scopes) == (before.key_digest, before.scopes)
    assert after.valid_until is not None
    assert before.valid_until is not None
    assert after.valid_until > before.valid_until
    run("renew", "shop-1", "--scope", "read")
    assert run.client.key("shop-1").scopes == [Scope.READ]
    assert run("renew", "nobody").exit_code == 1
    run("revoke", "shop-1")
    assert run("renew", "shop-1").exit_code == 1


def test_what_no_entry_can_say_is_not_signed(run: Run) -> None:
    for name, holder in (("no name", "shop"), ("shop-1", "no tenant")):
        ended = run("create", name, "--holder", holder, "--scope", "read")
        assert ended.exit_code == 2
        assert "nothing was signed: " in ended.stderr
    assert run.client.entries == []


def test_a_revoked_key_is_not_said_to_be_renewable(run: Run) -> None:
    create(run)
    assert "or renew it" in create(run).stderr
    run("revoke", "shop-1")
    again = create(run)
    assert again.exit_code == 1
    assert "revoked for good; choose another id" in again.stderr


def test_an_authority_is_for_a_client_that_can_be(tmp_path: Path) -> None:
    words = ["api-keys", "authority", "new", str(tmp_path / "new.key"), "--client-id", "no client"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert "no client id" in ended.stderr
    assert not (tmp_path / "new.key").exists()


def test_a_caller_keeps_the_secret_that_he_has(run: Run) -> None:
    ended = adopt(run, OLD_SECRET + "\n")
    assert ended.exit_code == 0
    assert run.client.key("old").key_digest == hashlib.sha256(OLD_SECRET.encode()).digest()
    assert OLD_SECRET not in ended.output


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "x" * 23,
        "ü" * 30,
        " " + "x" * 30,
        "x" * 600,
        "your-secret-api-key-change-in-production",
    ],
)
def test_a_secret_that_is_easily_guessed_or_cannot_be_sent_is_refused(
    run: Run, secret: str
) -> None:
    ended = adopt(run, secret + "\n")
    assert ended.exit_code == 2
    assert run.client.entries == []
    if secret:
        assert secret not in ended.output


def test_the_secret_is_in_the_json_too_where_it_is_new(run: Run) -> None:
    shown = json.loads(create(run, "shop-1", "--json").stdout)
    assert hashlib.sha256(shown["secret"].encode()).hexdigest() == shown["key_digest"]
    as_json = adopt(run, OLD_SECRET, "--json")
    assert "secret" not in json.loads(as_json.stdout)


def test_a_list_tells_whose_keys_there_are_and_how_they_stand(run: Run) -> None:
    assert "Nobody may enter yet" in run("list").stdout
    scribe = Scribe()
    scribe.put("shop-1", scopes=[Scope.SIGN])
    scribe.put("shop-2")
    scribe.put("shop-3", issued_at=1, valid_until=1000)
    scribe.revoke("shop-2", issued_at=1000)
    run.client.entries = scribe.entries
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["API", "KEY", "HOLDER", "STATE", "SCOPES"]
    states = ["valid until", "revoked 1970", "expired 1970"]
    for line, state in zip(lines[1:], states, strict=True):
        assert state in line
    assert len(json.loads(run("list", "--json").stdout)["api_keys"]) == 3
    run.client.entries = scribe.entries[1:]
    forged = run("list")
    assert forged.exit_code == 1
    assert "not believed: a gap" in forged.stderr


def test_a_revoked_key_is_said_to_be_so_and_gateways_can_be_told_directly(run: Run) -> None:
    create(run)
    ended = run("revoke", "shop-1", "--at", "http://one:1", "--at", "http://two:2/")
    assert ended.exit_code == 0
    assert "shop-1 of shop is revoked" in ended.stdout
    assert run.client.key("shop-1").revoked_at is not None
    assert [url for url, _ in run.posted] == [
        "http://one:1/api-keys/revocations",
        "http://two:2/api-keys/revocations",
    ]
    sent = SignedApiKeyEntry.model_validate_json(run.posted[0][1])
    assert sent == run.client.entries[-1]
    again = run("revoke", "shop-1", "--json", "--at", "http://one:1")
    assert json.loads(again.stdout)["revoked_at"] is not None
    assert len(run.client.entries) == 2
    assert run.posted[2][1] == run.posted[0][1]
    assert run("revoke", "nobody").exit_code == 1


def test_a_key_is_revoked_at_the_gateways_when_there_is_no_queue(run: Run) -> None:
    create(run)
    run.client.trouble = BrokerUnavailableError("no broker")
    assert run("revoke", "shop-1", "--at", "http://one:1").exit_code == 4
    assert len(run.posted) == 1
    run.client.trouble = None
    assert run("list").exit_code == 0
    assert run.client.key("shop-1").revoked_at is None
    assert create(run, "shop-2").exit_code == 0  # which sends what was not sent
    assert run.client.key("shop-1").revoked_at is not None
    run.status = 403
    refused = run("revoke", "shop-2", "--at", "http://one:1")
    assert refused.exit_code == 4
    assert "not told: http://one:1" in refused.stderr


def test_what_was_signed_before_its_sending_failed_is_sent_with_its_secret_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_: SignedApiKeyEntry) -> None:
        raise ResultTimeoutError("r")

    with monkeypatch.context() as patched:
        patched.setattr(run.client, "put_api_key", lost)
        ended = create(run)
    assert ended.exit_code == 3
    secret = ended.stdout.strip()
    assert run.client.entries == []
    assert create(run, "shop-2").exit_code == 0
    assert run.client.key("shop-1").key_digest == hashlib.sha256(secret.encode()).digest()


def test_an_authority_signs_nothing_where_another_copy_of_it_has_signed(run: Run) -> None:
    scribe = Scribe()
    scribe.put("elsewhere")
    run.client.entries = scribe.entries
    more = create(run)
    assert more.exit_code == 2
    assert "has 1 entries" in more.stderr
    assert more.stdout == ""
    run.client.entries = []
    create(run)
    run.client.entries = scribe.entries
    other = create(run, "shop-2")
    assert other.exit_code == 2
    assert "another one" in other.stderr
    run.entries.unlink()
    missing = create(run, "shop-2")
    assert missing.exit_code == 2
    assert "is missing" in missing.stderr
    assert len(run.client.entries) == 1


def test_a_gateways_own_file_is_the_authoritys_lost_one(run: Run, tmp_path: Path) -> None:
    create(run)
    create(run, "shop-2")
    ledger = Ledger(Scribe().chain(), tmp_path / "api-keys")
    ledger.go_on(run.client.entries, 0)
    ledger.revoke(Scribe(entries=list(run.client.entries)).revoke("shop-2"))
    (tmp_path / "api-keys").rename(run.entries)
    assert run("renew", "shop-1").exit_code == 0
    assert len(run.client.entries) == 3


def test_another_key_than_the_pinned_authority_signs_nothing(run: Run) -> None:
    run.authority.write_text(Identity.generate().to_base64())
    run.entries.unlink(missing_ok=True)  # which is not what is wrong
    other = create(run)
    assert other.exit_code == 2
    assert "another key than the gateways' api_key_authority" in other.stderr
    run.authority.write_text("no key")
    ended = create(run)
    assert ended.exit_code == 2
    assert "not a private key" in ended.stderr


def test_keys_from_before_are_adopted_after_a_look_at_them(run: Run) -> None:
    ends_at = round(time.time() * 1000) + 86_400_000
    old = [("old-1", None), ("old-2", ends_at)]
    run.client.unsigned = [
        ApiKeyView(
            api_key_id=name,
            holder="shop",
            key_digest=hashlib.sha256(name.encode()).digest(),
            scopes=[Scope.SIGN],
            created_at=1,
            valid_until=valid_until,
            revoked_at=None,
        )
        for name, valid_until in old
    ]
    refused = run("adopt", given="n\n")
    assert refused.exit_code == 1
    assert "old-1" in refused.stdout
    assert run.client.entries == []
    assert run("adopt", "--yes").exit_code == 0
    assert run.client.key("old-2").valid_until == ends_at
    assert run.client.key("old-1").key_digest == hashlib.sha256(b"old-1").digest()
    assert "old-1" not in run("adopt", "--yes").stdout


def test_the_authority_says_how_long_gateways_may_go_by_the_newest_entry(run: Run) -> None:
    create(run)
    ended = run("nothing-after", "--hours", "24")
    assert "entry 2 for 24 h" in ended.stdout
    now = round(time.time() * 1000)
    assert run.client.told().whole(now + 23 * 3_600_000)
    assert not run.client.told().whole(now + 25 * 3_600_000)


def refusal() -> RequestFailedError:
    failure = Failure.of(FailureCode.CONFLICT, "another secret has that id")
    result = failed_result(
        "put_api_key",
        failure,
        request_id="r",
        client_id=None,
        request_digest=bytes(32),
        finished_at=1,
    )
    return RequestFailedError(failure, result)


@pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [
        (refusal(), 1, "another secret has that id"),
        (TopologyError("a queue is missing"), 2, "a queue is missing"),
        (ResultTimeoutError("r"), 3, "does the coordinator run?"),
        (BrokerUnavailableError("no broker"), 4, "no broker"),
        (ValueError("api_key_id does not fit"), 2, "does not fit"),
    ],
)
def test_a_trouble_is_a_sentence_and_an_exit_code(
    run: Run, trouble: Exception, code: int, said: str
) -> None:
    run.client.trouble = trouble
    ended = run("list")
    assert ended.exit_code == code
    assert said in ended.stderr
    assert "Traceback" not in ended.output
