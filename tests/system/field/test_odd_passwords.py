"""Passwords with everything in them that means something in an address."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import httpx
import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services

HALVES = ("Sup3r", "Secr3t")
PASSWORD = " %41[::1]@/?#:&=+'\"\\\N{SNOWMAN}".join(HALVES)
MISREAD = ["[x]", "#", "1/2@"]
CONFIGURATION = 2


@dataclass(frozen=True)
class Odd:
    """
    Attributes:
        services: With a user of this password at both.
        user: Its name.
    """

    services: Services
    user: str


def with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{place}").geturl()


@contextmanager
def management(services: Services) -> Iterator[httpx.Client]:
    parts = urlsplit(services.management_url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    auth = (unquote(parts.username or ""), unquote(parts.password or ""))
    with httpx.Client(base_url=bare, auth=auth, timeout=60) as http:
        yield http


async def tell_database(services: Services, statement: str) -> None:
    connection = await asyncpg.connect(services.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def odd(services: Services) -> Iterator[Odd]:
    user = f"odd_{secrets.token_hex(4)}"
    literal = PASSWORD.replace("'", "''")
    asyncio.run(tell_database(services, f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{literal}'"))
    with management(services) as http:
        wish = {"password": PASSWORD, "tags": "administrator"}
        http.put(f"/api/users/{user}", json=wish).raise_for_status()
        encoded = quote(PASSWORD, safe="")
        try:
            yield Odd(
                replace(
                    services,
                    amqp_url=with_login(services.amqp_url, user, encoded),
                    management_url=with_login(services.management_url, user, encoded),
                    database_url=with_login(services.database_url, user, encoded),
                ),
                user,
            )
        finally:
            http.delete(f"/api/users/{user}").raise_for_status()
            asyncio.run(tell_database(services, f"DROP ROLE {user}"))


@pytest.fixture(scope="module")
def crew(odd: Odd) -> Iterator[Deployment]:
    with running_deployment(odd.services, Plan(clients=("svcA",), gateways=1).compact()) as running:
        yield running


def logs(crew: Deployment) -> str:
    return "".join(path.read_text() for path in (crew.directory / "logs").glob("*.log"))


async def test_percent_encoded_they_open_broker_and_database_and_nobody_writes_them_down(
    crew: Deployment, odd: Odd
) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.sign("ed", message=b"odd", scheme=Scheme.ED25519)
    # The roles' passwords were made by `apply`, and have nothing odd in them.
    await signed_by_odd_login(crew, odd)
    written = logs(crew)
    assert '"ready"' in written
    assert not [half for half in HALVES if half in written]


async def signed_by_odd_login(crew: Deployment, odd: Odd) -> None:
    own = ClientSettings.load(crew.clients["svcA"])
    encoded = with_login(own.amqp_url, odd.user, quote(PASSWORD, safe=""))
    async with Client.connect(replace(own, amqp_url=encoded)) as client:
        await client.sign("ed", message=b"odd", scheme=Scheme.ED25519)


def commands(crew: Deployment, scheme: str, login: str) -> Iterator[list[str]]:
    """Of every role, with files in which the login of one address is written as it should not
    be."""
    gateway = Path("gateway.toml")
    roles: dict[str, list[list[str]]] = {
        "party-1.toml": [["party", "run"], ["party", "shares"], ["store", "migrate", "party"]],
        "coordinator.toml": [["coordinator", "run"], ["store", "migrate", "coordinator"]],
        gateway.name: [["gateway", "run"]],
        "client-svcA.toml": [["key", "list"], ["results", "list"]],
    }
    for name, several in roles.items():
        text = (crew.directory / name).read_text()
        misread = re.sub(rf"{scheme}://[^@\s]*@", lambda _: f"{scheme}://{login}@", text)
        if misread == text:
            continue
        path = crew.directory / f"misread-{name}"
        path.touch(mode=0o600)
        path.write_text(misread)
        yield from ([*words, "-c", str(path)] for words in several)


@pytest.mark.parametrize("between", MISREAD)
@pytest.mark.parametrize("service", ["amqp_url", "database_url"])
async def test_as_they_are_every_process_refuses_them_in_one_sentence(
    crew: Deployment, odd: Odd, service: str, between: str
) -> None:
    scheme = "amqp" if service == "amqp_url" else "postgresql"
    count = 0
    for words in commands(crew, scheme, f"{odd.user}:{between.join(HALVES)}"):
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ops.cli", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        told = ended.stderr + ended.stdout
        assert ended.returncode == CONFIGURATION, (words, told)
        assert "percent-encoded" in told, words
        assert len(told.splitlines()) == 1, (words, told)
        assert not [half for half in HALVES if half in told]
        count += 1
    assert count >= 4
