"""Ready means able: what a worker or a gateway cannot do its work with, it says."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import httpx
import pytest

import migrations
import topology
from contracts import addresses
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field.brokers import Broker, own_broker

GATEWAY = "gateway.1"


@pytest.fixture(scope="module")
def broker(services: Services) -> Iterator[Broker]:
    yield from own_broker()


@pytest.fixture(scope="module")
def crew(services: Services, broker: Broker) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA",), sqlite_parties=1, gateways=1, health=True)
    with running_deployment(broker.beside(services), plan) as running:
        yield running


def addresses_of(crew: Deployment) -> dict[str, str]:
    assert crew.gateways is not None
    return {**crew.health_urls, GATEWAY: crew.gateways.urls[0]}


ONE_EACH = httpx.Limits(max_keepalive_connections=0)
"""A connection for every question: one that is kept may be closed as it is used again."""


class Asking:
    def __init__(self, crew: Deployment, http: httpx.AsyncClient) -> None:
        self._urls = addresses_of(crew)
        self._http = http

    async def reasons(self, name: str) -> dict[str, str]:
        answer = await self._http.get(f"{self._urls[name]}/health/ready")
        found: dict[str, str] = answer.json().get("reasons", {})
        assert (answer.status_code == 200) == (not found)
        return found

    async def all_are_ready(self) -> bool:
        return not any([await self.reasons(name) for name in self._urls])

    async def says(self, name: str, dependency: str, words: str) -> bool:
        return words in (await self.reasons(name)).get(dependency, "")


@pytest.fixture
async def asking(crew: Deployment) -> Any:
    async with httpx.AsyncClient(timeout=60, limits=ONE_EACH) as http:
        asked = Asking(crew, http)
        await until(asked.all_are_ready)
        yield asked
        await until(asked.all_are_ready)


def logged(crew: Deployment, name: str, message: str, words: str = "") -> int:
    lines = (crew.directory / "logs" / f"{name}.log").read_text().splitlines()
    return sum(f'"{message}"' in line and words in line for line in lines)


def has_logged(crew: Deployment, name: str, message: str, words: str = "") -> bool:
    return logged(crew, name, message, words) > 0


@pytest.mark.parametrize(
    ("alarm", "limit", "usual", "words"),
    [
        ("set_vm_memory_high_watermark", ["absolute", "1MB"], ["absolute", "1GB"], "low on memory"),
        ("set_disk_free_limit", ["900000GB"], ["50MB"], "low on disk"),
    ],
)
async def test_nobody_is_ready_while_the_broker_takes_nothing(
    crew: Deployment,
    broker: Broker,
    asking: Asking,
    alarm: str,
    limit: list[str],
    usual: list[str],
    words: str,
) -> None:
    names = sorted(addresses_of(crew))
    try:
        broker.control(alarm, *limit)
        for name in names:
            await until(functools.partial(asking.says, name, "broker", words))
        for name in names:
            await until(functools.partial(has_logged, crew, name, "not ready", words))
    finally:
        broker.control(alarm, *usual)
    await until(asking.all_are_ready)
    for name in names:
        assert logged(crew, name, "not ready", words) <= 1
        await until(functools.partial(has_logged, crew, name, "ready again"))


QUEUES = [
    (addresses.inbox_queue("party-1"), "party-1.1", "consumers"),
    (addresses.inbox_queue("party-3"), "party-3.1", "consumers"),
    (addresses.presigning_queue("party-2"), "party-2.presigning.1", "consumers"),
    (addresses.REQUEST_QUEUES[0], "coordinator.1", "consumers"),
    (addresses.request_queues("svcA")[0], "coordinator.1", "consumers"),
    (addresses.REPORTS_QUEUE, "coordinator.1", "consumers"),
    (addresses.results_queue("gateway"), GATEWAY, "broker"),
]


@pytest.mark.parametrize(("queue", "name", "dependency"), QUEUES)
async def test_whose_queue_was_deleted_is_not_ready_until_it_is_there_again(
    crew: Deployment, asking: Asking, queue: str, name: str, dependency: str
) -> None:
    management = urlsplit(crew.services.management_url)
    bare = management._replace(netloc=management.netloc.rpartition("@")[2]).geturl()
    auth = (unquote(management.username or ""), unquote(management.password or ""))
    async with httpx.AsyncClient(base_url=bare, auth=auth, timeout=30) as http:
        gone = await http.delete(f"/api/queues/{quote(crew.vhost, safe='')}/{queue}")
        gone.raise_for_status()
    try:
        words = "queue of our results" if name == GATEWAY else queue
        await until(lambda: asking.says(name, dependency, words))
        for other in addresses_of(crew):
            # A gateway needs a coordinator that hears it.
            if other != GATEWAY and other.partition(".")[0] != name.partition(".")[0]:
                assert await asking.reasons(other) == {}
    finally:
        members = crew.plan.members
        await topology.apply_all(crew.services.management_url, members=members, vhost=crew.vhost)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("owner", "name"), [("coordinator", "coordinator.1"), ("party-1", "party-1.1")]
)
async def test_a_database_that_only_reads_is_no_database_to_work_with(
    crew: Deployment, asking: Asking, owner: str, name: str
) -> None:
    url = crew.database_urls[owner]
    database = urlsplit(url).path[1:]
    others = f"""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = '{database}' AND pid <> pg_backend_pid()
    """
    alter = f'ALTER DATABASE "{database}"'
    admin = crew.services.database_url
    try:
        await execute(admin, f"{alter} SET default_transaction_read_only = on", others)
        await until(lambda: asking.says(name, "database", "read-only"))
        await until(lambda: logged(crew, name, "not ready", "read-only") == 1)
    finally:
        await execute(admin, f"{alter} RESET default_transaction_read_only")
    await until(asking.all_are_ready)


@pytest.mark.parametrize(
    ("owner", "name"), [("coordinator", "coordinator.1"), ("party-1", "party-1.1")]
)
async def test_a_database_behind_on_its_migrations_is_named_with_what_to_run(
    crew: Deployment, asking: Asking, owner: str, name: str
) -> None:
    role = owner.partition("-")[0]
    url = crew.database_urls[owner]
    table = migrations.version_table("party" if role == "party" else "coordinator")
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchval(f"SELECT version_num FROM {table}")
        await connection.execute(f"UPDATE {table} SET version_num = '0001'")
        await until(lambda: asking.says(name, "database", f"warren store migrate {role}"))
        await connection.execute(f"UPDATE {table} SET version_num = $1", found)
    finally:
        await connection.close()


async def test_an_answer_holds_no_address_and_no_secret(crew: Deployment, asking: Asking) -> None:
    async with httpx.AsyncClient(timeout=60, limits=ONE_EACH) as http:
        for url in addresses_of(crew).values():
            text = json.dumps((await http.get(f"{url}/health/ready")).json())
            assert "://" not in text
