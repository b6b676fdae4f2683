"""What others make of the OpenAPI document: their linter, and a client of their generator's, which
speaks to a real gateway. `ops/openapi` has both, for people too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ops.stack.deployment import Deployment
from tests.npm import Npm

from .callers import verifies

HOME = Path(__file__).parents[3] / "ops" / "openapi"


@pytest.fixture(scope="module")
def npm() -> Npm:
    return Npm.installed(HOME)


def test_spectral_has_nothing_to_say(npm: Npm) -> None:
    ended = npm.run("lint")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def told(npm: Npm, stack: Deployment) -> Any:
    """By the client, once it was generated and compiled."""
    for step in ("generate", "compile"):
        ended = npm.run(step)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert stack.gateways is not None
    known = {"GATEWAY": stack.gateways.urls[0], "API_KEY": stack.gateways.api_key}
    ended = npm.run("client", environ=known)
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
