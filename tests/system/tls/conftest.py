"""A whole Warren in which everything is encrypted, and each comes by its certificate."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.main import app
from ops.stack import discovery
from ops.stack.certificates import TestingCa
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import running_services
from tests.conftest import STACK

WRONG_HOST = "127.1"
"""Leads to the same place, and stands in no certificate."""


@pytest.fixture(scope="package")
def encrypted() -> Iterator[Deployment]:
    if None in (discovery.rabbitmq_programs(os.environ), discovery.postgres_programs(os.environ)):
        pytest.skip("no programs for private nodes here")
    given = {discovery.AMQP_URL, discovery.MANAGEMENT_URL, discovery.DATABASE_URL}
    environment = {name: value for name, value in os.environ.items() if name not in given}
    plan = Plan(party_count=2, presigning_processes=0, clients=("svcA",), gateways=1, health=True)
    with (
        running_services(STACK, tls=True, environment=environment) as services,
        running_deployment(services, plan) as running,
    ):
        yield running


@pytest.fixture
def ca(encrypted: Deployment) -> TestingCa:
    """Whom broker, database and all of us believe."""
    assert encrypted.services.tls is not None
    return TestingCa(encrypted.services.tls)


@pytest.fixture
def stranger(tmp_path: Path) -> TestingCa:
    """Whom nobody believes."""
    return TestingCa.make(tmp_path / "stranger")


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    said: str
    """The last line of what it said to people."""
    whole: str


def warren(*words: str, environment: dict[str, str] | None = None) -> Ended:
    """A command, to its end; in this process, which has loaded it already."""
    done = CliRunner().invoke(app, list(words), env=environment or {})
    lines = done.stderr.strip().splitlines()
    return Ended(done.exit_code, lines[-1] if lines else "", done.output)


def changed(config: Path, **settings: str) -> Path:
    """A copy beside it, in which these lines say something else."""
    left = dict(settings)
    lines = []
    for line in config.read_text().splitlines():
        name = line.partition(" = ")[0]
        lines.append(f"{name} = {json.dumps(left.pop(name))}" if name in left else line)
    assert not left, f"{config} has no {left}"
    copy = config.with_name(f"changed-{config.name}")
    copy.write_text("\n".join(lines))
    return copy
