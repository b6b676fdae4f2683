"""Certificates that change on disk: the next connection shows the new one, and nothing restarts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.certificates import TestingCa
from ops.stack.deployment import Deployment
from tests.patience import until
from topology.management import Management

pytestmark = pytest.mark.system


@pytest.fixture
async def management(encrypted: Deployment) -> AsyncIterator[Management]:
    async with Management(encrypted.services.management_url) as opened:
        yield opened


async def connections(management: Management, user: str) -> list[dict[str, Any]]:
    found = await management.get("connections")
    return [each for each in found if each.get("user") == user]


async def cut(management: Management, user: str) -> None:
    for each in await connections(management, user):
        with contextlib.suppress(Exception):  # it may have gone by itself
            await management.send("DELETE", "connections/{}", each["name"])


async def validities(management: Management, user: str) -> set[str]:
    return {each["peer_cert_validity"] for each in await connections(management, user)}


async def test_a_renewed_certificate_serves_the_next_connection(
    encrypted: Deployment, ca: TestingCa, management: Management
) -> None:
    user = f"{encrypted.vhost}.party.party-2"
    pids = encrypted.supervisor.pids

    async def known() -> bool:
        return len(await validities(management, user)) == 1

    await until(known)
    before = await validities(management, user)
    ca.for_user(user, days=3)  # over the files of the old one
    assert await validities(management, user) == before  # what is connected stays
    await cut(management, user)

    async def renewed() -> bool:
        now = await validities(management, user)
        return len(now) == 1 and now != before and len(await connections(management, user)) == 4

    await until(renewed)  # two processes with two connections each
    assert encrypted.supervisor.pids == pids


async def test_a_false_certificate_keeps_out_until_it_is_mended(
    encrypted: Deployment, ca: TestingCa, stranger: TestingCa, management: Management
) -> None:
    user = f"{encrypted.vhost}.tenant-client.svcA"
    settings = ClientSettings.load(encrypted.clients["svcA"])
    async with Client.connect(settings) as client:
        await client.create_key("renewed", curve=Curve.ED25519, threshold=2, party_count=2)

        async def connected() -> bool:
            return bool(await connections(management, user))

        await until(connected)
        pair = ca.for_user(user)
        false = stranger.for_user(user)
        pair.certificate.write_bytes(false.certificate.read_bytes())
        pair.key.write_bytes(false.key.read_bytes())
        await cut(management, user)

        async def out() -> bool:
            return not client.connected and not await connections(management, user)

        await until(out)
        ca.for_user(user)
        result = await client.sign("renewed", message=b"again", scheme=Scheme.ED25519)
        assert len(result.signed) == 1
