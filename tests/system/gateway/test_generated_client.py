"""What others make of the OpenAPI document: their linter, and a client of their generator's, which
speaks to a real gateway. `ops/openapi` has both, for people too."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.stack.deployment import Deployment

from .callers import verifies

HOME = Path(__file__).parents[3] / "ops" / "openapi"
LOCK = HOME / "package-lock.json"
INSTALLED = HOME / "node_modules" / ".installed-lock.json"
INSTALL_S, RUN_S = 60, 120
AWAY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|ERR_SOCKET\w*|E[45]\d\d)\b"
)
"""What npm says where its registry cannot be had."""


@pytest.fixture(scope="module")
def npm() -> str:
    """With the packages of the lock file beside it, which stay for the next run."""
    found = shutil.which("npm")
    if found is None:
        pytest.skip("npm is not installed")
    if INSTALLED.exists() and INSTALLED.read_bytes() == LOCK.read_bytes():
        return found
    try:
        ended = run(found, "ci", "--prefer-offline", limit_s=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not got its packages within {INSTALL_S} s")
    if ended.returncode and (reason := AWAY.search(ended.stderr)):
        pytest.skip(f"npm cannot get its packages: {reason.group()}")
    assert ended.returncode == 0, ended.stderr
    shutil.copy(LOCK, INSTALLED)
    return found


def run(
    npm: str, *words: str, limit_s: float = RUN_S, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [npm, "--silent", *words] if words[0] == "run" else [npm, *words],
        cwd=HOME,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def test_spectral_has_nothing_to_say(npm: str) -> None:
    ended = run(npm, "run", "lint")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def told(npm: str, stack: Deployment) -> Any:
    """By the client, once it was generated and compiled."""
    for step in ("generate", "compile"):
        ended = run(npm, "run", step)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert stack.gateways is not None
    known = {"GATEWAY": stack.gateways.urls[0], "API_KEY": stack.gateways.api_key}
    ended = run(npm, "run", "client", environ=known)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_a_generated_client_makes_an_account_and_signs_with_it(told: Any) -> None:
    account, result = told["account"], told["result"]
    assert account["status"] == told["status"] == "completed"
    assert result["key_id"] == account["account_id"]
    assert result["public_key"] == account["public_key"]
    assert verifies(result)
    assert told["accounts"] == 1
    assert told["location"].startswith("/api/v1/sessions/")
    assert re.fullmatch("[0-9a-f]{64}", told["joinToken"])


def test_a_generated_client_knows_why_it_is_refused(told: Any) -> None:
    refused = told["refused"]
    assert (refused["code"], refused["status"]) == ("invalid_request", 422)
    (error,) = refused["errors"]
    assert error["field"] == "body.message"
    assert "message_hash" in error["message"]
    assert told["unknown"] == "unknown_key"
