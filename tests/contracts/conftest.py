"""A coordinator that answers by script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .fakes import FakeCoordinator


@pytest.fixture
async def coordinator(vhost: str) -> AsyncIterator[FakeCoordinator]:
    async with FakeCoordinator.running(vhost, "svcA") as running:
        yield running
