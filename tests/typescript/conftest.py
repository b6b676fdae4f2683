"""The TypeScript client: its package installed and compiled once, and one Warren to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ops.stack.deployment import LEGACY, Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.npm import Npm

from .driver import Driver

HOME = Path(__file__).parents[2] / "contracts" / "typescript"


@pytest.fixture(scope="package")
def npm() -> Npm:
    return Npm.installed(HOME)


@pytest.fixture(scope="package")
def compiled(npm: Npm) -> Path:
    """Sources and tests, as JavaScript."""
    ended = npm.run("compile")
    assert ended.returncode == 0, ended.stdout
    return HOME / "build"


@pytest.fixture(scope="package")
def built(npm: Npm) -> Path:
    """The package as its users have it."""
    ended = npm.run("build")
    assert ended.returncode == 0, ended.stdout
    return HOME / "dist"


@pytest.fixture(scope="package")
def stack(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB", LEGACY), gateways=1)
    with running_deployment(services, plan.compact()) as running:
        yield running


@pytest.fixture
async def driver(compiled: Path) -> AsyncIterator[Driver]:
    async with Driver.started(compiled / "test" / "drive.js") as started:
        yield started
