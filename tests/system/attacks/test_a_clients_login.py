"""Whoever has a client's configuration has its login, and tries what one login for all allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused

from contracts import addresses
from contracts.client import Client, ClientSettings
from ops.stack.deployment import Deployment

ME, OTHER, PARTY = "svcA", "svcB", "party-1"


@pytest.fixture
async def mine(deployment: Deployment) -> AsyncIterator[AbstractConnection]:
    settings = ClientSettings.load(deployment.clients[ME])
    async with await aio_pika.connect(settings.amqp_url) as connection:
        yield connection


async def _get(connection: AbstractConnection, queue: str) -> None:
    channel = await connection.channel()
    await (await channel.get_queue(queue, ensure=False)).get(fail=False)


async def _purge(connection: AbstractConnection, queue: str) -> None:
    channel = await connection.channel()
    await (await channel.get_queue(queue, ensure=False)).purge()


async def _publish(connection: AbstractConnection, exchange: str, key: str) -> None:
    channel = await connection.channel(publisher_confirms=True)
    where = await channel.get_exchange(exchange, ensure=False)
    await where.publish(aio_pika.Message(b"{}"), key, mandatory=False)


async def _tap(connection: AbstractConnection, exchange: str) -> None:
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "#")


Try = Callable[[AbstractConnection], Awaitable[None]]
TRIES: dict[str, Try] = {
    "another's results read": lambda at: _get(at, addresses.results_queue(OTHER)),
    "another's results thrown away": lambda at: _purge(at, addresses.results_queue(OTHER)),
    "old producers' results read": lambda at: _get(at, addresses.LEGACY_RESULTS_QUEUE),
    "a party's inbox thrown away": lambda at: _purge(at, addresses.inbox_queue(PARTY)),
    "requests thrown away": lambda at: _purge(at, addresses.request_queue("sign", ME)),
    "dead letters read": lambda at: _get(at, addresses.DEAD_QUEUE),
    "a report published": lambda at: _publish(at, addresses.REPORTS, f"share_signed.{PARTY}"),
    "an instruction published": lambda at: _publish(at, addresses.SESSIONS, PARTY),
    "a result published": lambda at: _publish(
        at, addresses.RESULTS, f"mpc.mpc_signing_result.{OTHER}.complete"
    ),
    "a cancellation for all": lambda at: _publish(at, addresses.CANCEL, ""),
    "into another's request queue": lambda at: _publish(
        at, addresses.REQUESTS, addresses.request_key("sign", OTHER)
    ),
    "into everybody's request queue": lambda at: _publish(
        at, addresses.REQUESTS, addresses.request_key("sign")
    ),
    "straight into an inbox": lambda at: _publish(at, "", addresses.inbox_queue(PARTY)),
    "a tap on results": lambda at: _tap(at, addresses.RESULTS),
}


@pytest.mark.parametrize("name", list(TRIES))
async def test_the_broker_refuses_what_is_not_the_clients(
    mine: AbstractConnection, name: str
) -> None:
    with pytest.raises(ChannelAccessRefused):
        await TRIES[name](mine)


async def test_what_is_the_clients_own_is_not_refused(
    deployment: Deployment, client: Client, mine: AbstractConnection
) -> None:
    assert isinstance(await client.keys(), list | tuple)
    await _publish(mine, addresses.REQUESTS, addresses.request_key("query_keys", ME))


@pytest.mark.parametrize("name", ["svcA", "party-1", "coordinator", "operator"])
def test_nobody_becomes_an_administrator(deployment: Deployment, name: str) -> None:
    login = urlsplit(deployment.amqp_urls[name])
    base = httpx.URL(deployment.services.management_url).copy_with(username="", password="")
    auth = (unquote(login.username or ""), unquote(login.password or ""))
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    vhost, user = quote(deployment.vhost, safe=""), quote(auth[0], safe="")
    for path, body in (
        ("users/mallory", {"password": "x", "tags": "administrator"}),
        (f"users/{user}", {"password": "x", "tags": "administrator"}),
        (f"permissions/{vhost}/{user}", everything),
        (f"policies/{vhost}/mine", {"pattern": "", "definition": {"expires": 1000}}),
    ):
        answer = httpx.put(f"{base}/api/{path}".replace("//api", "/api"), auth=auth, json=body)
        assert answer.status_code == 401, (path, answer.text)


def test_no_file_of_a_stack_holds_the_administrators_password(deployment: Deployment) -> None:
    password = urlsplit(deployment.amqp_url).password
    assert password
    files = [path for path in deployment.directory.rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in (".toml", ".url", ".key", ".log", ".master")]
    assert len(texts) > 10
    for path in texts:
        assert password not in path.read_text(errors="replace"), path.name
    logins = [urlsplit(url).password for url in deployment.amqp_urls.values()]
    assert len(set(logins)) == len(logins)
    assert password not in logins
