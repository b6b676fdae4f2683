"""`warren gateway`, with a client that answers by script."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from contracts.answers import failed_result
from contracts.client import (
    BrokerUnavailableError,
    Client,
    ClientSettings,
    RequestFailedError,
    ResultTimeoutError,
    TopologyError,
)
from contracts.failures import Failure, FailureCode
from contracts.primitives import Scope
from contracts.views import ApiKeyView
from gateway import document
from gateway.cli import app
from gateway.key_commands import Surroundings
from tests.gateway.entrance import api_key
from tests.gateway.test_settings import written

OLD_SECRET = "a secret that was there before"


@dataclass
class FakeClient:
    trouble: Exception | None = None
    known: list[ApiKeyView] = field(default_factory=list)
    put: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        assert settings.client_id == "gateway"
        if self.trouble is not None:
            raise self.trouble
        yield cast("Client", self)

    async def put_api_key(self, api_key_id: str, **fields: Any) -> ApiKeyView:
        self.put = {"api_key_id": api_key_id, **fields}
        return ApiKeyView(**self.put, created_at=1, revoked_at=None)

    async def revoke_api_key(self, api_key_id: str) -> ApiKeyView:
        return api_key(api_key_id, revoked_at=2)

    async def api_keys(self) -> list[ApiKeyView]:
        return self.known


class Run:
    def __init__(self, config: Path) -> None:
        self.client = FakeClient()
        self._config = config

    def __call__(self, *words: str, given: str | None = None) -> Result:
        arguments = ["api-keys", *words, "--config", str(self._config)]
        return CliRunner().invoke(
            app, arguments, obj=Surroundings(connect=self.client.connect), input=given
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(written(tmp_path))


def test_a_new_key_is_printed_once_and_only_its_digest_goes_out(run: Run) -> None:
    ended = run("create", "shop-1", "--holder", "shop", "--scope", "sign", "--scope", "read")
    assert ended.exit_code == 0
    secret = ended.stdout.strip()
    assert secret.startswith("warren_")
    assert len(secret) >= 43
    assert run.client.put == {
        "api_key_id": "shop-1",
        "holder": "shop",
        "key_digest": hashlib.sha256(secret.encode()).digest(),
        "scopes": [Scope.SIGN, Scope.READ],
        "valid_until": None,
    }
    assert secret not in ended.stderr
    again = run("create", "shop-1", "--holder", "shop")
    assert again.stdout.strip() != secret
    assert run.client.put["scopes"] == list(Scope)


def test_a_key_can_end_by_itself(run: Run) -> None:
    before = time.time() * 1000
    assert run("create", "shop-1", "--holder", "shop", "--days", "2").exit_code == 0
    assert 0 <= run.client.put["valid_until"] - before - 2 * 86_400_000 < 60_000


def test_a_caller_keeps_the_secret_that_he_has(run: Run) -> None:
    ended = run("create", "old", "--holder", "shop", "--secret-stdin", given=OLD_SECRET + "\n")
    assert ended.exit_code == 0
    assert run.client.put["key_digest"] == hashlib.sha256(OLD_SECRET.encode()).digest()
    assert OLD_SECRET not in ended.output
    as_json = run("create", "old", "--holder", "shop", "--secret-stdin", "--json", given=OLD_SECRET)
    assert "secret" not in json.loads(as_json.stdout)


@pytest.mark.parametrize("secret", ["", "short", "x" * 23, "ü" * 30, " " + "x" * 30, "x" * 600])
def test_a_secret_that_is_easily_guessed_or_cannot_be_sent_is_refused(
    run: Run, secret: str
) -> None:
    ended = run("create", "old", "--holder", "shop", "--secret-stdin", given=secret + "\n")
    assert ended.exit_code == 2
    assert run.client.put == {}
    if secret:
        assert secret not in ended.output


def test_the_secret_is_in_the_json_too_where_it_is_new(run: Run) -> None:
    shown = json.loads(run("create", "shop-1", "--holder", "shop", "--json").stdout)
    assert hashlib.sha256(shown["secret"].encode()).hexdigest() == shown["key_digest"]


def test_a_list_tells_whose_keys_there_are_and_how_they_stand(run: Run) -> None:
    assert "Nobody may enter yet" in run("list").stdout
    run.client.known = [
        api_key("shop-1", scopes=[Scope.SIGN]),
        api_key("shop-2", revoked_at=1000),
        api_key("shop-3", valid_until=1000),
        api_key("shop-4", valid_until=2**52),
    ]
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["API", "KEY", "HOLDER", "STATE", "SCOPES"]
    states = ["valid ", "revoked 1970", "expired 1970", "valid until"]
    for line, state in zip(lines[1:], states, strict=True):
        assert state in line
    assert len(json.loads(run("list", "--json").stdout)["api_keys"]) == 4


def test_a_revoked_key_is_said_to_be_so(run: Run) -> None:
    assert "shop-1 of shop is revoked" in run("revoke", "shop-1").stdout
    assert json.loads(run("revoke", "shop-1", "--json").stdout)["revoked_at"] == 2


def refusal() -> RequestFailedError:
    failure = Failure.of(FailureCode.CONFLICT, "another secret has that id")
    result = failed_result("put_api_key", failure, request_id="r", client_id=None, finished_at=1)
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


def test_a_configuration_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["run", "--config", str(tmp_path / "none.toml")])
    assert ended.exit_code == 2
    assert "none.toml" in ended.stderr


def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        config = str(written(tmp_path))
        ended = CliRunner().invoke(app, ["run", "--config", config, "--port", port])
    assert ended.exit_code == 2
    assert ended.stderr.endswith(f"cannot listen on 127.0.0.1:{port}: Address already in use\n")


@pytest.mark.parametrize("certificate", ["none.pem", "gateway.toml"])
def test_a_certificate_that_cannot_be_used_is_named_before_anything_listens(
    tmp_path: Path, certificate: str
) -> None:
    tls = f'tls_certificate_file = "{certificate}"\ntls_key_file = "gateway.toml"'
    config = str(written(tmp_path, f"[gateway]\nport = 0\n{tls}\n"))
    ended = CliRunner().invoke(app, ["run", "--config", config])
    assert ended.exit_code == 2
    assert str(tmp_path / certificate) in ended.stderr
    assert "listening" not in ended.stderr


def test_the_document_is_checked_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "PATH", tmp_path / "openapi.json")
    assert CliRunner().invoke(app, ["openapi", "--check"]).exit_code == 1
    assert not document.PATH.exists()
    assert CliRunner().invoke(app, ["openapi"]).exit_code == 0
    assert CliRunner().invoke(app, ["openapi", "--check"]).exit_code == 0
    document.PATH.write_text("{}")
    assert CliRunner().invoke(app, ["openapi", "--check"]).exit_code == 1
