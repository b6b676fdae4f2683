"""Results that nobody reads any more: what an outage of the database leaves, and a broker that lets
nobody keep a delivery for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
from typer.testing import CliRunner

from contracts import addresses
from contracts.client import Client, ClientError, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from ops.cli.main import app
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field.brokers import Broker, own_broker
from tests.system.gateway.callers import calling, eventually
from tests.system.producers import Producer

MANY = 21
KEPT_S = 10
"""By the broker's leave. RabbitMQ looks once a minute, if it is not told otherwise."""
IMPATIENT = (
    f"[{{rabbit, [{{consumer_timeout, {1000 * KEPT_S}}}, {{channel_tick_interval, 500}}]}}]."
)
HASTY_S = 3
LOST = "connection to the broker lost"
GATEWAY = "gateway"


@pytest.fixture(scope="module")
def broker(services: Services) -> Iterator[Broker]:
    yield from own_broker(IMPATIENT)


@pytest.fixture(scope="module")
def crew(services: Services, broker: Broker) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB", "svcC"), gateways=1)
    with running_deployment(broker.beside(services), plan.compact()) as running:
        asyncio.run(make_keys(running))
        yield running


async def make_keys(crew: Deployment) -> None:
    for name in ("svcA", "svcB"):
        async with Client.connect(ClientSettings.load(crew.clients[name])) as client:
            await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)


async def unread(crew: Deployment, client_id: str) -> int:
    """How many lie in its queue and are in nobody's hands."""
    async with await aio_pika.connect(crew.amqp_url) as connection:
        channel = await connection.channel()
        found = await channel.declare_queue(addresses.results_queue(client_id), passive=True)
        return found.declaration_result.message_count or 0


async def lie(crew: Deployment, client_id: str, least: int) -> None:
    """Until so many do."""

    async def there() -> bool:
        return await unread(crew, client_id) >= least

    await until(there)


async def sign(client: Client, number: int) -> None:
    result = await client.sign("ed", message=b"%d" % number, scheme=Scheme.ED25519, timeout_s=60)
    assert result.signature is not None


###
### An outage
###


@asynccontextmanager
async def without_database(crew: Deployment) -> AsyncIterator[None]:
    """The coordinator's lets nobody in meanwhile."""
    name = urlsplit(crew.database_urls["coordinator"]).path[1:]
    connection = await asyncpg.connect(crew.services.database_url)
    alter = f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS'
    try:
        await connection.execute(f"{alter} false")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        yield
    finally:
        await connection.execute(f"{alter} true")
        await connection.close()


async def told(crew: Deployment, name: str, *arguments: str) -> Any:
    """By a process that is new, and ends."""
    environment = {"WARREN_CLIENT_CONFIG": str(crew.clients[name])}
    ended = await asyncio.to_thread(
        CliRunner().invoke, app, [*arguments, "--json"], env=environment
    )
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def in_vain(ended: object) -> bool:
    """Whoever asked was told nothing, or that it was too late."""
    if isinstance(ended, RequestFailedError):
        return ended.failure.code is FailureCode.EXPIRED
    return isinstance(ended, ClientError)


QUESTIONS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "keys": lambda client: client.keys(),
    "signatures": lambda client: client.sign("ed", message=b"in vain", scheme=Scheme.ED25519),
}


@pytest.mark.parametrize("asked", QUESTIONS)
async def test_what_an_outage_leaves_keeps_no_call_waiting_and_can_be_discarded(
    crew: Deployment, asked: str
) -> None:
    settings = ClientSettings.load(crew.clients["svcA"])
    hasty = replace(settings, timeout_s=HASTY_S, query_timeout_s=HASTY_S, margin_s=0)
    async with Client.connect(hasty) as client:
        async with without_database(crew):
            asking = [QUESTIONS[asked](client) for _ in range(MANY)]
            ended = await asyncio.gather(*asking, return_exceptions=True)
            assert all(map(in_vain, ended)), ended
        # The process that asked is served again beside what came too late; so is a new one.
        await asyncio.gather(*(sign(client, number) for number in range(5)))
    assert [each["key_id"] for each in (await told(crew, "svcA", "key", "list"))["keys"]] == ["ed"]
    await lie(crew, "svcA", MANY)
    assert (await told(crew, "svcA", "results", "list"))["matching"] >= MANY
    await told(crew, "svcA", "results", "discard", "--all", "--yes")
    assert (await told(crew, "svcA", "results", "list"))["matching"] == 0


async def test_a_gateway_answers_beside_what_an_outage_left_and_takes_it_out(
    crew: Deployment,
) -> None:
    assert crew.gateways is not None
    async with calling(crew.gateways.urls[0], crew.gateways.api_key) as caller:
        # The gateway knows this key from now on, which is new.
        await eventually(lambda: caller.get("/api/v1/accounts"), 200)
        async with without_database(crew):
            path = f"/api/v1/accounts?wait={HASTY_S}"
            answers = await asyncio.gather(*(caller.get(path) for _ in range(MANY)))
            assert {answer.status_code for answer in answers} <= {503, 504}
        await eventually(lambda: caller.get("/api/v1/accounts"), 200)
        for _ in range(5):
            assert (await caller.get("/api/v1/accounts?wait=60")).status_code == 200
    await until(lambda: _holds_nothing(crew, GATEWAY))
    assert LOST not in (crew.directory / "logs" / "gateway.1.log").read_text()


async def _holds_nothing(crew: Deployment, client_id: str) -> bool:
    return await unread(crew, client_id) == 0


###
### Longer than the broker allows
###


async def pile_up(crew: Deployment, name: str, count: int) -> None:
    """Answers to the questions of a process that is gone, and nothing else."""
    async with Producer.connect(crew, name) as producer:
        for number in range(count):
            await producer.send(producer.body("query_session", target=f"nothing-{number}"))
        await lie(crew, name, count)


async def patience_ends(crew: Deployment) -> None:
    """Until the broker has ended the channel of somebody who has kept a result since now."""
    await pile_up(crew, "svcC", 1)
    async with await aio_pika.connect(crew.amqp_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(addresses.results_queue("svcC"))).consume(_keep)
        await until(lambda: channel.is_closed)


async def _keep(_: object) -> None: ...


@pytest.mark.parametrize("busy", [True, False])
async def test_no_connection_is_lost_over_results_that_nobody_reads(
    crew: Deployment, caplog: pytest.LogCaptureFixture, busy: bool
) -> None:
    await pile_up(crew, "svcB", MANY)
    async with Client.connect(ClientSettings.load(crew.clients["svcB"])) as client:
        await sign(client, 0)  # which comes after all of them, so this client has had each
        ending = asyncio.create_task(patience_ends(crew))
        while not ending.done():
            if busy:
                await sign(client, 1)
            await asyncio.sleep(0.1)
        await ending
        assert client.connected
        await sign(client, 2)
    assert LOST not in caplog.text
    await lie(crew, "svcB", MANY)
    assert (await told(crew, "svcB", "results", "list"))["matching"] == MANY
