"""A vhost as workers find it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

import topology
from ops.stack.services import Services

PARTY = "party-1"


@pytest.fixture
async def broker(services: Services, vhost: str) -> str:
    """The AMQP URL of a vhost with our topology."""
    name = urlsplit(vhost).path[1:]
    members = topology.Members(parties=(PARTY,), clients=("svcA",))
    await topology.apply_all(services.management_url, members=members, vhost=name)
    return vhost
