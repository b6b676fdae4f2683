"""A primary that is replaced: workers with both hosts in their address find the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.primitives import Curve, Scheme
from ops.stack import children, discovery
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from ops.stack.workspace import workspace
from tests.conftest import STACK
from tests.workers.store.servers import Server

PATIENCE_S = 60
"""Of a signature that is asked for while nobody finds a database to write to."""


@dataclass
class Pair:
    primary: Server
    standby: Server
    url: str
    """Of both, for whoever writes."""

    async def promote(self) -> None:
        await execute(address(self.standby), "SELECT pg_promote()")


def address(server: Server) -> str:
    assert server.server is not None
    return server.server.database_url


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def pair(services: Services) -> Iterator[Pair]:
    programs = discovery.postgres_programs(os.environ)
    if programs is None or not (programs / "pg_basebackup").exists():
        pytest.skip("no pg_basebackup here")
    account = children.unprivileged_account()
    with workspace(STACK, keep=False, account=account) as place:
        primary = Server(place.run / "postgres", place.cache, programs)
        try:
            primary.start()
            standby = primary.follow()
            try:
                standby.start()
                yield Pair(primary, standby, both(address(primary), address(standby)))
            finally:
                standby.stop()
        finally:
            primary.stop()


def both(one: str, other: str) -> str:
    parts, second = urlsplit(one), urlsplit(other).netloc.rpartition("@")[2]
    query = "target_session_attrs=read-write"
    return parts._replace(netloc=f"{parts.netloc},{second}", query=query).geturl()


@pytest.fixture
def crew(services: Services, pair: Pair) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA",), sqlite_parties=0)
    with running_deployment(replace(services, database_url=pair.url), plan.compact()) as running:
        yield running


async def test_workers_leave_a_primary_that_only_reads(crew: Deployment, pair: Pair) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.sign("ed", message=b"before", scheme=Scheme.ED25519)
        await execute(
            address(pair.primary),
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        )
        await pair.promote()
        for number in range(5):
            await signed(client, b"after %d" % number)
    crew.supervisor.check()


async def test_workers_leave_a_primary_that_is_gone(crew: Deployment, pair: Pair) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        pair.primary.stop()
        await pair.promote()
        for number in range(5):
            await signed(client, b"after %d" % number)
    crew.supervisor.check()


async def signed(client: Client, message: bytes) -> None:
    """A party that has changed its database has lost its memory of what was asked for before: it
    says so, and that one may ask again."""
    while True:
        try:
            await client.sign("ed", message=message, scheme=Scheme.ED25519, timeout_s=PATIENCE_S)
        except RequestFailedError as error:
            if not error.failure.retryable:
                raise
        else:
            return
