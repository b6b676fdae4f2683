"""`warren client` on a running system: nothing is restarted, nobody else notices."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from pathlib import Path

import aio_pika
import psutil
import pytest

from contracts import addresses
from contracts.client import Client, ClientError, ClientSettings, ResultTimeoutError
from contracts.primitives import Curve, Scheme
from ops.cli.registering import number_at
from ops.registrar.desk import Desk, Given, Wish
from ops.registrar.errors import RefusedError
from ops.stack.deployment import Deployment
from topology.management import Management


async def sign(client: Client, key: str) -> bytes:
    message = os.urandom(32)
    result = await client.sign(key, message=message, scheme=Scheme.ED25519, timeout_s=30)
    assert result.signature is not None
    return result.signature


async def make_key(client: Client, key: str) -> None:
    await client.create_key(key, curve=Curve.ED25519, threshold=2, party_count=3)


def settings_of(given: Given) -> ClientSettings:
    return ClientSettings.load(given.config)


def pids(stack: Deployment) -> dict[str, int]:
    return dict(stack.supervisor.pids)


async def follow(stack: Deployment, number: int) -> None:
    """Every process, key generation's and presigning's too."""
    for name, url in stack.health_urls.items():
        for _ in range(100):
            if await asyncio.to_thread(number_at, url, "clients") == number:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"{name} does not follow up to entry {number}")


async def leave_unread(stack: Deployment, queue: str, count: int) -> None:
    """As results do whose client is away; returns once the broker has counted them."""
    async with await aio_pika.connect(stack.amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        for _ in range(count):
            message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue)
    async with Management(stack.services.management_url) as management:
        for _ in range(150):
            told = await management.get("queues/{}/{}", stack.vhost, queue)
            if told.get("messages") == count:
                return
            await asyncio.sleep(0.1)
    pytest.fail("the broker does not count them")


async def queues_of(stack: Deployment, client_id: str) -> list[str]:
    async with Management(stack.services.management_url) as management:
        told = await management.get("queues/{}", stack.vhost)
    return [one["name"] for one in told if one["name"].split(".")[-1] == client_id]


async def test_a_new_client_signs_at_once_and_nothing_is_restarted(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    before, began = pids(stack), time.monotonic()
    given = await desk.add(Wish(client_id="svcC", out=out))
    added = time.monotonic()
    async with Client.connect(settings_of(given)) as client:
        await make_key(client, "first")
        keyed = time.monotonic()
        await sign(client, "first")
    print(
        f"added after {added - began:.2f} s, key after {keyed - began:.2f} s, "
        f"first signature after {time.monotonic() - began:.2f} s"
    )
    await follow(stack, given.number)
    assert pids(stack) == before
    stack.supervisor.check()


async def test_its_keys_change_under_load_and_no_request_fails(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    old = ClientSettings.load(stack.clients["svcA"])
    over, made = asyncio.Event(), list[bytes]()

    async def keep_signing(settings: ClientSettings) -> None:
        async with Client.connect(settings) as client:
            while not over.is_set():
                made.append(await sign(client, "loaded"))

    async with Client.connect(old) as client:
        await make_key(client, "loaded")
    first = [asyncio.create_task(keep_signing(old)) for _ in range(3)]
    given = await desk.rotate(Wish(client_id="svcA", out=out))
    new = settings_of(given)
    assert new.identity.public != old.identity.public
    assert new.amqp_url != old.amqp_url
    before = len(made)
    second = [asyncio.create_task(keep_signing(new)) for _ in range(3)]
    await asyncio.sleep(2)
    over.set()
    await asyncio.gather(*first, *second)
    assert len(made) > before > 0

    # Both count until somebody says otherwise; then only the new one does.
    over.clear()
    third = asyncio.create_task(keep_signing(new))
    number = await desk.finish("svcA")
    await follow(stack, number)
    await asyncio.sleep(1)
    over.set()
    await third
    with pytest.raises(Exception, match=r"refuses|login"):
        async with Client.connect(old):
            pass
    assert await desk.finish("svcA") == number


async def test_the_old_key_counts_no_more_though_its_holder_has_the_new_login(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    first = await desk.add(Wish(client_id="svcR", out=out))
    second = await desk.rotate(Wish(client_id="svcR", out=out))
    async with Client.connect(settings_of(second)) as client:
        await make_key(client, "mine")
    old_key = dataclasses.replace(settings_of(second), identity=settings_of(first).identity)
    async with Client.connect(old_key) as client:
        await sign(client, "mine")
    await follow(stack, await desk.finish("svcR"))
    async with Client.connect(old_key) as client:
        with pytest.raises(ResultTimeoutError):
            await client.sign("mine", message=b"x" * 32, scheme=Scheme.ED25519, timeout_s=1)


async def test_results_that_wait_keep_a_client_until_they_are_read_or_thrown_away(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    given = await desk.add(Wish(client_id="svcD", out=out))
    async with Client.connect(settings_of(given)) as client:
        await make_key(client, "mine")
    queue = addresses.results_queue("svcD")
    await leave_unread(stack, queue, 2)
    with pytest.raises(RefusedError, match=r"2 results wait .* nothing was changed"):
        await desk.remove("svcD")
    with pytest.raises(RefusedError, match="2 results wait for svcD, and not 1"):
        await desk.remove("svcD", discard_results=1)
    number = await desk.remove("svcD", discard_results=2)
    await follow(stack, number)
    assert await queues_of(stack, "svcD") == []
    with pytest.raises(Exception, match=r"refuses|login"):
        async with Client.connect(settings_of(given)):
            pass
    assert await desk.remove("svcD") == number
    with pytest.raises(RefusedError, match="was removed: whoever is called so again"):
        await desk.add(Wish(client_id="svcD", out=out))
    with pytest.raises(RefusedError, match="no client svcD is known"):
        await desk.rotate(Wish(client_id="svcD", out=out))
    again = await desk.add(Wish(client_id="svcD", out=out / "again", again=True))
    async with Client.connect(settings_of(again)) as client:
        await sign(client, "mine")  # the former one's key: that is what `again` says


async def sign_until(removal: asyncio.Task[int], client: Client) -> None:
    while not removal.done():
        await client.sign("mine", message=b"x", scheme=Scheme.ED25519, timeout_s=2)


async def test_a_client_at_work_is_shown_out_and_others_go_on(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    given = await desk.add(Wish(client_id="svcE", out=out))
    other = ClientSettings.load(stack.clients["svcB"])
    async with Client.connect(settings_of(given)) as client, Client.connect(other) as neighbour:
        await make_key(client, "mine")
        await make_key(neighbour, "theirs")
        over, made = asyncio.Event(), list[bytes]()

        async def keep_signing() -> None:
            while not over.is_set():
                made.append(await sign(neighbour, "theirs"))

        others = asyncio.create_task(keep_signing())
        removal = asyncio.create_task(desk.remove("svcE"))
        with pytest.raises(ClientError):  # without an answer, and then without a login
            await sign_until(removal, client)
        await removal
        before = len(made)
        await sign(neighbour, "theirs")
        over.set()
        await others
        assert len(made) >= before > 0
    assert await queues_of(stack, "svcE") == []
    stack.supervisor.check()


async def test_who_stands_in_the_files_can_be_shown_out_too(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    """Until they are changed, and after a restart: the list decides."""
    before = ClientSettings.load(stack.clients["svcF"])
    await desk.remove("svcF")
    given = await desk.add(Wish(client_id="svcF", out=out, again=True))
    number = given.number
    await follow(stack, number)
    name = "coordinator.1"
    os.kill(stack.supervisor.pids[name], signal.SIGTERM)
    await asyncio.to_thread(psutil.Process(stack.supervisor.pids[name]).wait, 60)
    stack.supervisor.start(stack.programs[name])
    await asyncio.to_thread(stack.supervisor.wait_ready)
    await follow(stack, number)
    async with Client.connect(settings_of(given)) as client:
        assert await client.keys() == []
    by_the_files = dataclasses.replace(settings_of(given), identity=before.identity)
    async with Client.connect(by_the_files) as client:
        with pytest.raises(ResultTimeoutError):
            await client.sign("any", message=b"x", scheme=Scheme.ED25519, timeout_s=1)


async def test_ids_that_differ_in_one_character_or_case_stay_apart(
    stack: Deployment, desk: Desk, out: Path
) -> None:
    ids = ("svcG", "svcg", "svc_G", "svc-G")
    given = {name: await desk.add(Wish(client_id=name, out=out)) for name in ids}
    for name in ids:
        async with Client.connect(settings_of(given[name])) as client:
            await make_key(client, "same-name")
    await desk.remove("svcG")
    assert await queues_of(stack, "svcG") == []
    for name in ids[1:]:
        async with Client.connect(settings_of(given[name])) as client:
            await sign(client, "same-name")
    foreign = dataclasses.replace(
        settings_of(given["svc_G"]), identity=settings_of(given["svc-G"]).identity
    )
    async with Client.connect(foreign) as client:
        with pytest.raises(ResultTimeoutError):
            await client.sign("same-name", message=b"x", scheme=Scheme.ED25519, timeout_s=1)
