"""Following a list on the real stream: what was said before, what is said since, and who may not
hear it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aio_pika
import pytest

import topology
from contracts import addresses, list_log
from contracts.connecting import connect
from contracts.list_log import Logged
from contracts.numbered_lists import SignedEntry
from ops.chaos.wires import Wire
from ops.stack import vhosts
from ops.stack.services import Services
from tests.patience import settle, until
from tests.workers.delivery.conftest import PARTY
from tests.workers.delivery.test_lists import Store, entries, follower
from topology.access import Credentials
from topology.broker import Broker
from topology.management import Management
from topology.model import Permission, User
from topology.plan import Action, Change
from workers.delivery.consuming import make_broker, subscribe_log
from workers.delivery.lists import UnusableListError, catch_up, said_so_far
from workers.delivery.permissions import ForbiddenError
from workers.delivery.publisher import NoAdmissionError, TopologyError
from workers.store.floors import Floor
from workers.store.records import ListEntryRecord


async def say(url: str, *said: SignedEntry, name: str = "clients") -> None:
    async with await connect(url) as connection:
        await list_log.publish(connection, name, said)


@contextlib.asynccontextmanager
async def followed(url: str, hear: Callable[[Logged], None]) -> AsyncIterator[None]:
    task = asyncio.create_task(list_log.follow(url, hear))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
async def deaf(services: Services, broker: str) -> str:
    """The AMQP URL of a user who may do nothing in the vhost but be there."""
    name = unquote(urlsplit(broker).path[1:])
    user = f"{name}.deaf"  # goes with the vhost
    owner = topology.InMemory()
    async with Management(services.management_url) as management:
        changes = Broker(management, vhost=name, credentials=Credentials({}, owner))
        nothing = Permission(user=user, configure="^$", write="^$", read="^$")
        for target in (User(name=user, new_password=True), nothing):
            await changes.make(Change(action=Action.CREATE, target=target))
    return vhosts.login(broker, user, owner.made[user])


async def test_who_catches_up_has_heard_all_that_was_said_and_stored_it(broker: str) -> None:
    made, store = entries(3), Store()
    await say(broker, *made)
    following = follower(store)
    await catch_up(broker, following)
    assert following.number == 3
    assert [each.digest for each in store.kept] == [each.digest for each in made]


async def test_nothing_is_heard_where_nothing_was_said(broker: str) -> None:
    following = follower(Store())
    await catch_up(broker, following)
    assert following.number == 0
    following.require_reached()  # nothing was known before


async def test_a_rest_that_was_published_again_is_caught_up_with(
    broker: str, tmp_path: Path
) -> None:
    made, floor = entries(2), Floor(tmp_path / "floor")
    await say(broker, *made[:1])
    before = follower(Store(), floor)
    for each in made:
        await before.hear("clients", each.to_bytes())
    again = follower(Store(), floor)
    await catch_up(broker, again)
    with pytest.raises(UnusableListError, match="Publish it again"):
        again.require_reached()
    await say(broker, *made[1:])
    await catch_up(broker, again)
    again.require_reached()


async def test_a_list_goes_on_in_spite_of_what_follows_from_it(
    broker: str, caplog: pytest.LogCaptureFixture
) -> None:
    await say(broker, *entries(2))
    following = follower(Store())

    async def fail() -> None:
        raise RuntimeError("whoever hears of it")

    following.changed = fail
    with caplog.at_level(logging.ERROR):
        await catch_up(broker, following)
    assert following.number == 2
    assert caplog.text.count("what follows from a list is put off") == 2


async def test_whoever_loads_what_others_stored_is_told_once(broker: str) -> None:
    store, told = Store(), list[int]()
    await say(broker, *entries(2))
    await catch_up(broker, follower(store))
    following = follower(store)

    async def tell() -> None:
        told.append(following.number)

    following.changed = tell
    await following.load()
    await following.load()
    assert told == [2]


class SlowStore(Store):
    """Others get their turn while it stores."""

    async def add_list_entry(self, entry: ListEntryRecord, previous: bytes) -> bool:
        await settle()
        return await super().add_list_entry(entry, previous)


async def test_one_entry_that_is_heard_several_times_at_once_is_stored_once() -> None:
    (made,), store = entries(1), SlowStore()
    following = follower(store)
    told: list[int] = []

    async def tell() -> None:
        told.append(following.number)

    following.changed = tell
    await asyncio.gather(*(following.hear("clients", made.to_bytes()) for _ in range(3)))
    assert (told, len(store.kept)) == ([1], 1)


async def test_a_stream_that_is_not_there_is_named(vhost: str) -> None:
    with pytest.raises(TopologyError, match=addresses.LISTS_QUEUE):
        await catch_up(vhost, follower(Store()))


async def test_who_may_not_read_the_stream_is_told_so(deaf: str) -> None:
    lack = f'may not read queue "{addresses.LISTS_QUEUE}"'
    with pytest.raises(ForbiddenError, match=rf"\.deaf' {lack}"):
        await catch_up(deaf, follower(Store()))


async def test_a_wrong_password_is_no_silence(broker: str) -> None:
    wrong = vhosts.login(broker, "nobody", "wrong")
    with pytest.raises(NoAdmissionError, match="nobody"):
        async for _ in said_so_far(wrong):
            pass


async def test_what_is_said_while_a_worker_runs_is_heard_and_comes_again_with_each_connection(
    broker: str,
) -> None:
    made, store = entries(3), Store()
    await say(broker, *made[:1])
    heard: list[bytes] = []
    following = follower(store)

    async def hear(name: str, body: bytes) -> None:
        heard.append(body)
        await following.hear_patiently(name, body)

    bodies = [each.to_bytes() for each in made]
    async with Wire(broker) as wire:
        worker = make_broker(wire.url)
        subscribe_log(worker, addresses.LISTS_QUEUE, hear)
        await worker.start()
        try:
            await until(lambda: heard == bodies[:1])
            await say(broker, made[1])
            await until(lambda: heard == bodies[:2])
            await wire.cut()
            await say(broker, made[2])
            await wire.mend()
            await until(lambda: following.number == 3)
        finally:
            await worker.stop()
    assert heard == [*bodies[:2], *bodies]
    assert [each.digest for each in store.kept] == [each.digest for each in made]


async def test_a_follower_hears_what_was_said_and_what_is_said_since(broker: str) -> None:
    made = entries(2)
    await say(broker, made[0])
    heard: list[Logged] = []
    async with followed(broker, heard.append):
        await until(lambda: heard == [Logged("clients", made[0].to_bytes())])
        await say(broker, made[1], name="parties")
        await until(lambda: heard[1:] == [Logged("parties", made[1].to_bytes())])


async def test_a_follower_whose_broker_goes_hears_all_again_when_it_is_back(
    broker: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(list_log, "RETRY_S", 0.1)
    made = entries(2)
    await say(broker, made[0])
    heard: list[bytes] = []
    async with Wire(broker) as wire, followed(wire.url, lambda logged: heard.append(logged.body)):
        await until(lambda: len(heard) == 1)
        await wire.cut()
        await until(lambda: "a list cannot be followed" in caplog.text)
        await say(broker, made[1])
        await wire.mend()
        await until(lambda: heard[1:] == [each.to_bytes() for each in made])


async def test_a_follower_outlives_what_its_hearer_raises(
    broker: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(list_log, "RETRY_S", 0.1)
    (made,) = entries(1)
    await say(broker, made)
    tries: list[Logged] = []

    def hear(logged: Logged) -> None:
        tries.append(logged)
        if len(tries) == 1:
            raise RuntimeError("not now")

    async with followed(broker, hear):
        await until(lambda: len(tries) == 2)
    assert tries[0] == tries[1]
    assert "not now" in caplog.text


async def test_a_follower_waits_for_a_stream_that_is_made_later(
    services: Services,
    vhost: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(list_log, "RETRY_S", 0.1)
    (made,) = entries(1)
    heard: list[bytes] = []
    async with followed(vhost, lambda logged: heard.append(logged.body)):
        await until(lambda: "a list cannot be followed" in caplog.text)
        members = topology.Members(parties=(PARTY,))
        name = urlsplit(vhost).path[1:]
        await topology.apply_all(services.management_url, members=members, vhost=name)
        await say(vhost, made)
        await until(lambda: heard == [made.to_bytes()])


async def test_who_publishes_a_list_reads_up_to_a_mark_and_misses_nothing(broker: str) -> None:
    made = entries(3)
    await say(broker, *made)
    async with await connect(broker) as connection:
        for _ in range(2):  # marks of others are read over, and told as what they are
            said = [each async for each in list_log.read_to_end(connection)]
            assert [each.body for each in said if each.list != list_log.MARK] == [
                each.to_bytes() for each in made
            ]


async def test_what_lies_there_is_read_in_its_order_whatever_it_is(broker: str) -> None:
    made = entries(2)
    await say(broker, made[0])
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel(publisher_confirms=True)
        lists = await channel.get_exchange(addresses.LISTS, ensure=False)
        await lists.publish(aio_pika.Message(b"junk"), "")
    await say(broker, made[1])
    async with await connect(broker) as connection:
        said = [each async for each in list_log.read(connection)]
    assert said == [
        Logged("clients", made[0].to_bytes()),
        Logged("", b"junk"),
        Logged("clients", made[1].to_bytes()),
    ]
