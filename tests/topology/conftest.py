from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from ops.stack import vhosts
from ops.stack.services import Services
from tests.topology.realms import Realm
from topology.management import Management


@pytest.fixture
async def realm(services: Services) -> AsyncIterator[Realm]:
    name = f"users/{secrets.token_hex(4)}"  # with a slash, which has to be quoted everywhere
    async with Management(services.management_url) as management:
        yield Realm(services, name, management)
        vhosts.delete(services.management_url, name)
