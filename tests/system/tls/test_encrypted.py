"""Everything is encrypted, each comes by its certificate, and what is plain is refused."""

from __future__ import annotations

import re
import ssl
from typing import Any

import aio_pika
import asyncpg
import httpx
import pytest

from contracts.client import Client, ClientSettings
from contracts.connecting import connect
from contracts.frames import TlsError
from contracts.primitives import Curve, Scheme
from ops.stack.certificates import TestingCa
from ops.stack.deployment import Deployment
from tests.patience import until
from topology.management import Management, UnavailableError

pytestmark = pytest.mark.system


@pytest.fixture
async def client(encrypted: Deployment) -> Any:
    async with Client.connect(ClientSettings.load(encrypted.clients["svcA"])) as connected:
        yield connected


async def connections(deployment: Deployment) -> list[dict[str, Any]]:
    async with Management(deployment.services.management_url) as management:
        found = await management.get("vhosts/{}/connections", deployment.vhost)
    return [each for each in found if "auth_mechanism" in each]


def plain(url: str, scheme: str) -> str:
    """The same place, without TLS and its files."""
    return f"{scheme}://u:p@127.0.0.1:{httpx.URL(url.partition('?')[0]).port}/"


async def test_a_key_is_made_and_signs(client: Client) -> None:
    await client.create_key("sealed", curve=Curve.ED25519, threshold=2, party_count=2)
    result = await client.sign("sealed", message=b"over TLS", scheme=Scheme.ED25519)
    assert len(result.signed) == 1


async def test_every_connection_to_the_broker_shows_its_owners_certificate(
    encrypted: Deployment, client: Client
) -> None:
    users = {
        f"{encrypted.vhost}.{name}"
        for name in (
            "coordinator",
            "tenant-client.svcA",
            "gateway.gateway",
            *(f"party.party-{i}" for i in (1, 2)),
        )
    }

    async def all_there() -> bool:  # the broker tells of new ones after a while
        return {each["user"] for each in await connections(encrypted)} == users

    await until(all_there)
    for each in await connections(encrypted):
        assert each["ssl"]
        assert each["auth_mechanism"] == "EXTERNAL"
        assert each["peer_cert_subject"] == f"CN={each['user']}"
        assert each["ssl_protocol"] in ("tlsv1.3", "tlsv1.2")


async def test_every_connection_to_the_database_is_encrypted_and_shows_a_certificate(
    encrypted: Deployment,
) -> None:
    connection = await asyncpg.connect(encrypted.services.database_url)
    try:
        rows = await connection.fetch(
            "SELECT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE backend_type = 'client backend'"
        )
    finally:
        await connection.close()
    assert len(rows) >= 3  # coordinator, one party, and this one
    assert all(row["ssl"] and row["client_dn"] for row in rows)


async def test_the_broker_listens_for_nothing_plain(encrypted: Deployment) -> None:
    async with Management(encrypted.services.management_url) as management:
        overview = await management.get("overview")
    protocols = {each["protocol"] for each in overview["listeners"]}
    assert protocols == {"amqp/ssl", "https", "clustering"}


async def test_the_gateway_answers_over_tls_only(encrypted: Deployment, ca: TestingCa) -> None:
    assert encrypted.gateways is not None
    (url,) = encrypted.gateways.urls
    context = ssl.create_default_context(cafile=ca.certificate)
    async with httpx.AsyncClient(verify=context, timeout=60) as http:
        answer = await http.get(f"{url}/health/ready")
        assert answer.json()["dependencies"]["broker"] == "available"
        with pytest.raises(httpx.TransportError):
            await http.get(url.replace("https://", "http://") + "/health")


async def test_plain_connections_are_refused(encrypted: Deployment) -> None:
    services = encrypted.services
    with pytest.raises(TlsError, match="write amqps://"):
        await connect(plain(services.amqp_url, "amqp"))
    with pytest.raises(UnavailableError):
        async with Management(plain(services.management_url, "http")) as management:
            await management.get("overview")
    bare = services.database_url.partition("?")[0]
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        await asyncpg.connect(f"{bare}?sslmode=disable")


async def test_nobody_enters_without_a_certificate(encrypted: Deployment, ca: TestingCa) -> None:
    services = encrypted.services
    place = services.amqp_url.partition("?")[0].replace("://", "://u:p@")
    with pytest.raises(TlsError, match="it wants a certificate of us"):
        await connect(f"{place}?cafile={ca.certificate}")
    bare = services.database_url.partition("?")[0]
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="certificate"):
        await asyncpg.connect(f"{bare}?sslmode=verify-full&sslrootcert={ca.certificate}")


async def test_a_password_is_no_login_beside_a_certificate(encrypted: Deployment) -> None:
    password = httpx.URL(encrypted.services.management_url).password
    url = encrypted.amqp_url.replace("://", f"://warren:{password}@").replace("&auth=EXTERNAL", "")
    with pytest.raises(aio_pika.exceptions.AuthenticationError) as problem:
        await connect(url)
    assert password not in str(problem.value)


async def test_no_password_but_those_that_need_one_is_kept(encrypted: Deployment) -> None:
    async with Management(encrypted.services.management_url) as management:
        users = await management.get("users")
    with_password = {user["name"] for user in users if user["password_hash"]}
    assert with_password == {"warren", f"{encrypted.vhost}.monitor"}  # the management API's
    for file in encrypted.directory.glob("*.toml"):
        assert not re.search("amqp_url = .*@", file.read_text())


async def test_a_worker_tells_how_long_its_certificates_last(encrypted: Deployment) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        url = encrypted.health_urls["party-1.1"]
        ready = (await http.get(f"{url}/health/ready")).json()
        assert ready["certificate_days_left"] == {"broker": 6, "database": 6}
        figures = (await http.get(f"{url}/metrics")).text
    assert 'warren_certificate_expires_timestamp_seconds{shown_to="broker"} 1.' in figures
