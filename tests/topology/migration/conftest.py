from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.stack import vhosts
from ops.stack.services import Services
from tests.topology.migration.scene import Scene
from topology.management import Management


@pytest.fixture
async def scene(services: Services, tmp_path: Path) -> AsyncIterator[Scene]:
    name = f"moving/{secrets.token_hex(4)}"  # with a slash, which has to be quoted everywhere
    directory = tmp_path / "files"
    directory.mkdir()
    async with Management(services.management_url) as management:
        try:
            yield Scene(services, name, directory, management)
        finally:
            vhosts.delete(services.management_url, name)
