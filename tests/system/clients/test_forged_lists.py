"""The stream at the broker: what lies there is believed for an operator's signature alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aio_pika
import httpx
import pytest

from contracts import addresses, list_log
from contracts.client import Client, ClientSettings, ResultTimeoutError
from contracts.client_list import Action, ClientEntry, ClientKey, ClientList
from contracts.identity import Identity
from contracts.numbered_lists import SignedEntry
from contracts.primitives import Scheme
from ops.registrar.desk import Desk, Wish
from ops.registrar.errors import RefusedError
from ops.registrar.settings import RegistrarSettings
from ops.stack.deployment import Deployment

from .test_clients_come_and_go import follow


@pytest.fixture
async def registrar(settings: RegistrarSettings) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    """Somebody with the registrar's login, and without an operator's key."""
    async with await aio_pika.connect(settings.amqp_url) as connection:
        yield connection


def metric(url: str, kind: str) -> float:
    told = httpx.get(f"{url}/metrics", trust_env=False, timeout=5).text
    start = f'warren_list_entries_refused_total{{kind="{kind}",list="clients"}}'
    return sum(float(line.rpartition(" ")[2]) for line in told.splitlines() if start in line)


async def refused(stack: Deployment, kind: str, at_least: float) -> None:
    for name, url in stack.health_urls.items():
        for _ in range(100):
            if await asyncio.to_thread(metric, url, kind) >= at_least:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"{name} has not refused it")


async def head_of(settings: RegistrarSettings) -> ClientList:
    return (await Desk(settings).look())[0]


def forged(listed: ClientList, signer: Identity, key: Identity, client_id: str) -> SignedEntry:
    entry = ClientEntry(
        number=listed.number + 1,
        previous=listed.head,
        signer=signer.public.der,
        issued_at=1,
        action=Action.PUT,
        client_id=client_id,
        keys=(ClientKey(public_key=key.public.der),),
    )
    return SignedEntry.of(entry, signer)


async def test_who_may_publish_lets_nobody_in(
    stack: Deployment,
    settings: RegistrarSettings,
    registrar: aio_pika.abc.AbstractConnection,
) -> None:
    """Nor does the coordinator, whose identity is pinned, and is no operator's."""
    listed = await head_of(settings)
    coordinator = Identity.from_base64((stack.directory / "coordinator.key").read_text().strip())
    mallory = Identity.generate()
    for signer in (mallory, coordinator):
        await list_log.publish(registrar, "clients", [forged(listed, signer, mallory, "svcB")])
    await refused(stack, "stranger", 2)
    await follow(stack, listed.number)
    svc_b = ClientSettings.load(stack.clients["svcB"])
    async with Client.connect(dataclasses.replace(svc_b, identity=mallory)) as client:
        with pytest.raises(ResultTimeoutError):
            await client.sign("any", message=b"x", scheme=Scheme.ED25519, timeout_s=1)


async def test_junk_and_old_entries_stop_nobody(
    stack: Deployment,
    desk: Desk,
    settings: RegistrarSettings,
    registrar: aio_pika.abc.AbstractConnection,
    out: Path,
) -> None:
    given = await desk.add(Wish(client_id="old", out=out))
    removed = await desk.remove("old")
    old = [each async for each in list_log.read(registrar) if each.list == "clients"]
    channel = await registrar.channel()
    exchange = await channel.get_exchange(addresses.LISTS, ensure=False)
    for body in (b"junk", b"x" * 100_000, *(each.body for each in old)):
        await exchange.publish(aio_pika.Message(body, type="clients"), "")
    await refused(stack, "oversized", 1)
    await follow(stack, removed)
    later = await desk.add(Wish(client_id="later", out=out))
    await follow(stack, later.number)
    assert given.number < removed < later.number


async def test_whoever_goes_on_publishing_keeps_nobody_from_the_end(
    desk: Desk,
    registrar: aio_pika.abc.AbstractConnection,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker reads to the end before it serves anything."""
    given = await desk.add(Wish(client_id="before-the-chatter", out=out))
    monkeypatch.setattr(list_log, "LATE_S", 1.0)
    channel = await registrar.channel()
    exchange = await channel.get_exchange(addresses.LISTS, ensure=False)

    async def chatter() -> None:
        while True:
            await exchange.publish(aio_pika.Message(b"junk", type="clients"), "")
            await asyncio.sleep(list_log.QUIET_S / 5)

    talking = asyncio.create_task(chatter())
    listed = ClientList(desk._settings.operators)
    try:
        async with asyncio.timeout(30):
            async for each in list_log.read(registrar):
                _take(listed, each.body)
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert listed.number == given.number


async def test_who_follows_can_say_nothing_there(stack: Deployment) -> None:
    for name in ("coordinator", "party-1", "svcB"):
        async with await aio_pika.connect(stack.amqp_urls[name]) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(addresses.LISTS, ensure=False)
            with pytest.raises(Exception, match="ACCESS_REFUSED"):
                await exchange.publish(aio_pika.Message(b"x", type="clients"), "")


async def test_two_operators_at_once_make_a_fork_that_is_told_and_one_entry_counts(
    stack: Deployment,
    settings: RegistrarSettings,
    registrar: aio_pika.abc.AbstractConnection,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one's desk has not seen the first one's entry when it signs."""
    publish = list_log.publish
    rival = Identity.generate()

    async def late(
        connection: aio_pika.abc.AbstractConnection, name: str, entries: Iterable[SignedEntry]
    ) -> None:
        made = list(entries)
        if made:
            listed = ClientList(settings.operators)
            async for each in list_log.read(connection):
                _take(listed, each.body)
            await publish(
                connection, name, [forged(listed, settings.operator, rival, "of-the-rival")]
            )
        await publish(connection, name, made)

    monkeypatch.setattr(list_log, "publish", late)
    with pytest.raises(RefusedError, match="another operator has signed"):
        await Desk(settings).add(Wish(client_id="loser", out=out))
    monkeypatch.undo()
    await refused(stack, "fork", 1)
    given = await Desk(settings).add(Wish(client_id="loser", out=out))
    await follow(stack, given.number)


def _take(listed: ClientList, body: bytes) -> None:
    """If it fits."""
    with contextlib.suppress(ValueError):
        listed.take(SignedEntry.from_bytes(body))
