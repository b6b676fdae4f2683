"""A stack of its own, whose clients come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli.current import REGISTRAR
from ops.registrar.desk import Desk
from ops.registrar.settings import RegistrarSettings
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services

SETTLE_S = 1.0
"""Whoever waits for the broker to count, does so itself."""


@pytest.fixture(scope="package")
def stack(services: Services) -> Iterator[Deployment]:
    clients = ("svcA", "svcB", "svcF")
    plan = Plan(clients=clients, plain_clients=clients, gateways=1, health=True)
    with running_deployment(services, plan.compact()) as running:
        yield running


@pytest.fixture
def settings(stack: Deployment) -> RegistrarSettings:
    environment = {"WARREN_MANAGEMENT_URL": stack.services.management_url}
    return RegistrarSettings.load(stack.directory / REGISTRAR, environment)


@pytest.fixture
def desk(settings: RegistrarSettings) -> Desk:
    return Desk(settings, settle_s=SETTLE_S)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "given"
