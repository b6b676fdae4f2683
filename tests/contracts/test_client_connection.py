"""A client whose broker is away, is lost, or lacks what the topology declares."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import quote, urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses
from contracts.client import BrokerUnavailableError, Client, TopologyError
from contracts.client.link import Link
from contracts.requests import Request
from contracts.results import Result
from contracts.signing import SignedRequest
from ops.chaos.wires import Direction, Wire
from ops.stack.services import Services
from tests.patience import until

from .fakes import FakeCoordinator, honest
from .producers import settings, sign

pytestmark = pytest.mark.system


###
### Connections that are lost
###


@pytest.mark.parametrize("lost", ["there", "back"])
async def test_a_connection_lost_before_the_confirm_repeats_the_same_bytes(
    vhost: str, coordinator: FakeCoordinator, lost: Direction
) -> None:
    expected = 2 if lost == "back" else 1

    def answer_once_it_was_repeated(request: Request) -> Iterable[Result]:
        return honest(request) if len(coordinator.asked) >= expected else []

    coordinator.answer = answer_once_it_was_repeated
    async with Wire(vhost) as wire, Client.connect(settings(wire.url)) as client:
        await wire.freeze(lost)
        call = asyncio.create_task(sign(client))
        if lost == "back":
            await coordinator.heard.wait()
        else:
            await wire.held.wait()  # the request is on its way, and will not arrive
        assert not call.done()
        await wire.cut()
        await wire.mend()
        done = await call
    asked = [message for message in coordinator.asked if message.type == "sign"]
    assert len(asked) == expected
    assert {message.message_id for message in asked} == {done.request_id}
    assert len({(message.body, message.headers["signature"]) for message in asked}) == 1


async def test_a_connection_lost_after_the_confirm_costs_nothing_but_time(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, confirmed = Link.publish, asyncio.Event()

    async def publish_and_tell(
        link: Link, signed: SignedRequest, **how: Callable[[], None]
    ) -> None:
        await publish(link, signed, **how)
        confirmed.set()

    monkeypatch.setattr(Link, "publish", publish_and_tell)
    async with Wire(vhost) as wire, Client.connect(settings(wire.url)) as client:
        await client.keys("ed25519")
        withheld: list[Request] = []

        def withhold(request: Request) -> list[Result]:
            withheld.append(request)
            return []

        coordinator.answer = withhold
        coordinator.heard.clear()
        confirmed.clear()
        call = asyncio.create_task(sign(client))
        await coordinator.heard.wait()
        await confirmed.wait()
        await wire.cut()
        await wire.mend()
        (result,) = honest(withheld[0])
        await coordinator.publish(result, withheld[0].reply_to)
        assert (await call).message == b"message"
    assert len([message for message in coordinator.asked if message.type == "sign"]) == 1


async def test_a_request_that_cannot_be_confirmed_ends_with_its_deadline(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with (
        Wire(vhost) as wire,
        Client.connect(settings(wire.url, confirm_timeout_s=2, margin_s=60)) as client,
    ):
        await wire.freeze("there")
        with pytest.raises(BrokerUnavailableError, match="not confirmed before its deadline"):
            await sign(client, timeout_s=3)  # which is time for two tries
        await wire.cut()
        await wire.mend()
    assert coordinator.asked == []


@pytest.mark.usefixtures("coordinator")
async def test_who_stops_asking_about_the_queue_does_not_lose_the_connection(vhost: str) -> None:
    losses: list[None] = []

    async def ignore(_: AbstractIncomingMessage) -> None: ...

    link = Link(settings(vhost), deliver=ignore, lost=lambda: losses.append(None))
    await link.open()
    before = len(losses)
    for turns in range(6):
        asking = asyncio.create_task(link.consumer_count())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    assert await link.consumer_count() == 1
    await asyncio.sleep(0.2)  # for a channel that is closed to be noticed
    assert len(losses) == before
    await link.close()


###
### Connections that never come to be
###


async def test_a_broker_that_is_away_is_a_clear_error_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = settings("amqp://svcA:hunter2@127.0.0.1:1/warren")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        BrokerUnavailableError, match=r"no connection to .* 127\.0\.0\.1:1"
    ) as caught:
        async with Client.connect(away):
            pass
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "hunter2" not in f"{cause} {cause!r}"
        cause = cause.__cause__ or cause.__context__
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(away)


async def test_a_wrong_password_is_a_clear_error(vhost: str) -> None:
    parts = urlsplit(vhost)
    url = parts._replace(netloc=f"{parts.username}:hunter2@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(BrokerUnavailableError, match="refuses user") as caught:
        async with Client.connect(settings(url)):
            pass
    assert "hunter2" not in str(caught.value)


async def test_a_vhost_that_is_not_there_is_a_clear_error(vhost: str) -> None:
    missing = urlsplit(vhost)._replace(path="/nobody").geturl()
    with pytest.raises(BrokerUnavailableError, match="/nobody does not open the vhost"):
        async with Client.connect(settings(missing)):
            pass


###
### Topology
###


@pytest.mark.parametrize("missing", ["exchange", "queue"])
async def test_what_is_missing_at_the_broker_is_named_with_the_remedy(
    vhost: str, missing: str
) -> None:
    expected = addresses.REQUESTS
    async with contextlib.AsyncExitStack() as stack:
        if missing == "queue":
            await stack.enter_async_context(FakeCoordinator.running(vhost))
            expected = "warren.results.svcA"
        with pytest.raises(TopologyError, match=f'{missing} "{expected}" is missing') as caught:
            async with Client.connect(settings(vhost)):
                pass
    assert "warren topology apply" in str(caught.value)


async def test_a_request_that_no_queue_takes_is_a_clear_error(vhost: str) -> None:
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(addresses.REQUESTS, "topic", durable=True)
        await channel.declare_queue(addresses.results_queue("svcA"), durable=True)
        async with Client.connect(settings(vhost)) as client:
            with pytest.raises(TopologyError, match="no queue did: has the topology been applied"):
                await sign(client)


async def test_an_exchange_that_vanishes_is_a_clear_error(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client, await aio_pika.connect(vhost) as admin:
        channel = await admin.channel()
        await channel.exchange_delete(addresses.REQUESTS)
        with pytest.raises(TopologyError, match=r'exchange "warren\.requests" is missing'):
            await sign(client)


@pytest.mark.parametrize(
    ("permission", "reason"),
    [
        ({"read": "^$", "write": ".*"}, 'may not read queue "warren.results.svcA"'),
        ({"read": ".*", "write": "^$"}, 'may not write to exchange "warren.requests"'),
    ],
)
async def test_a_missing_permission_is_named(
    vhost: str,
    services: Services,
    coordinator: FakeCoordinator,
    permission: dict[str, str],
    reason: str,
) -> None:
    user, password = f"user-{secrets.token_hex(4)}", secrets.token_hex(8)
    parts = urlsplit(vhost)
    with _management(services) as management:
        management.put(f"/api/users/{user}", json={"password": password, "tags": ""})
        management.put(
            f"/api/permissions/{quote(parts.path[1:], safe='')}/{user}",
            json={"configure": "^$", **permission},
        ).raise_for_status()
        url = parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()
        try:
            with pytest.raises(TopologyError, match=reason):
                async with Client.connect(settings(url)) as client:
                    await sign(client)
        finally:
            management.delete(f"/api/users/{user}")


def _management(services: Services) -> httpx.Client:
    parts = urlsplit(services.management_url)
    return httpx.Client(
        base_url=f"{parts.scheme}://{parts.hostname}:{parts.port}",
        auth=(parts.username or "", parts.password or ""),
        timeout=60,
    )


async def test_a_queue_that_was_deleted_and_made_again_is_consumed_again(
    vhost: str, coordinator: FakeCoordinator, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client.connect(settings(vhost, ask_again_s=0.5)) as client:
        await sign(client)
        await coordinator.delete_results_queue("svcA")
        await until(lambda: "connection to the broker lost" in caplog.text)
        await coordinator.declare_results_queue("svcA")
        await sign(client)
