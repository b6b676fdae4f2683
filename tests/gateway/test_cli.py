"""`warren gateway run` and `openapi`: what cannot be used is named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import document
from gateway.cli import app
from ops.stack.certificates import TestingCa
from tests.gateway.test_settings import written


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
    config = written(tmp_path, f"[gateway]\nport = 0\n{tls}\n")
    config.chmod(0o600)
    ended = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert ended.exit_code == 2
    assert str(tmp_path / certificate) in ended.stderr
    assert "access" not in ended.stderr
    assert "listening" not in ended.stderr


def test_a_key_that_others_have_access_to_is_refused_before_anything_listens(
    tmp_path: Path,
) -> None:
    pair = TestingCa.make(tmp_path / "tls").for_server("server", ["localhost"])
    pair.key.chmod(0o644)
    tls = f'tls_certificate_file = "{pair.certificate}"\ntls_key_file = "{pair.key}"'
    config = str(written(tmp_path, f"[gateway]\nport = 0\n{tls}\n"))
    ended = CliRunner().invoke(app, ["run", "--config", config])
    assert ended.exit_code == 2
    assert f"{pair.key}: is a private key that others have access to" in ended.stderr
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
