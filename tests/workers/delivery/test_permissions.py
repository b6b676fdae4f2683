"""Whoever lacks a right at the broker is told so when it starts: who, what, on which resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

import aio_pika
import pytest

import topology
from contracts import addresses
from ops.stack import vhosts
from ops.stack.services import Services
from topology.broker import Broker
from topology.definitions import STREAM
from topology.management import Management
from topology.model import Permission, TopicPermission, Topology
from topology.names import names_of, pattern
from topology.plan import Action, Change
from workers.delivery.consuming import make_broker, subscribe, subscribe_broadcast
from workers.delivery.deliveries import Delivery
from workers.delivery.middleware import Middleware
from workers.delivery.permissions import (
    ForbiddenError,
    Way,
    coordinators_ways,
    partys_ways,
    reading,
    require_writing,
)
from workers.delivery.publisher import Publisher, PublishError, dead_letter, require_topology

PARTY = "party-1"
CANCELS = f"{addresses.CANCEL}.{PARTY}.x1"
WAYS = {"coordinator": coordinators_ways(), "party": partys_ways(PARTY)}


@dataclass
class Realm:
    """A vhost with our topology and our users."""

    services: Services
    vhost: str
    declared: Topology
    passwords: dict[str, str]
    broker: Broker

    def user(self, role: str) -> str:
        return self.declared.user_of(role, PARTY if role == "party" else "").name

    def url(self, role: str) -> str:
        user = self.user(role)
        address = vhosts.address(self.services.amqp_url, self.vhost)
        return vhosts.login(address, user, self.passwords[user])

    async def without(self, role: str, verb: str, name: str) -> None:
        """Take one name out of what a role may do."""
        (old,) = [one for one in self.declared.permissions if one.user == self.user(role)]
        await self._put(replace(old, **{verb: _less(getattr(old, verb), name)}))

    async def without_key(self, role: str, exchange: str) -> None:
        await self._put(
            TopicPermission(user=self.user(role), exchange=exchange, write="^$", read="^$")
        )

    async def _put(self, target: Permission | TopicPermission) -> None:
        await self.broker.make(Change(action=Action.UPDATE, target=target))


def _less(regex: str, name: str) -> str:
    names = names_of(regex)
    assert names is not None
    assert name in names
    return pattern(one for one in names if one != name)


@pytest.fixture
async def realm(services: Services, vhost: str) -> AsyncIterator[Realm]:
    name = unquote(urlsplit(vhost).path[1:])
    members = topology.Members(parties=(PARTY,), clients=("svcA",))
    owner = topology.InMemory()
    await topology.apply_all(services.management_url, members=members, vhost=name, owner=owner)
    async with Management(services.management_url) as management:
        broker = Broker(management, vhost=name)
        declared = topology.declared(members, vhost=name)
        yield Realm(services, name, declared, owner.made, broker)


async def consumed(url: str) -> None:
    """As a worker of the party does when it starts."""

    async def handle(_: Delivery) -> None:
        raise AssertionError("nothing will come")

    async with Publisher(url, name=PARTY) as publisher:
        broker = make_broker(url)
        for queue in (addresses.inbox_queue(PARTY), addresses.keygen_queue(PARTY)):
            subscribe(broker, publisher, queue, handle, prefetch=1, middleware=Middleware())
        subscribe_broadcast(broker, addresses.CANCEL, CANCELS, lambda _: None)
        try:
            with reading(url):
                await broker.start()
        finally:
            await broker.stop()


@pytest.mark.parametrize("role", list(WAYS))
async def test_who_has_its_role_starts(realm: Realm, role: str) -> None:
    await require_writing(realm.url(role), WAYS[role])


async def test_what_is_published_to_find_out_arrives_nowhere(realm: Realm) -> None:
    await require_writing(realm.url("party"), WAYS["party"])
    await require_writing(realm.url("coordinator"), WAYS["coordinator"])
    url = vhosts.address(realm.services.amqp_url, realm.vhost)
    async with await aio_pika.connect(url) as connection:
        for queue in realm.declared.queues:
            if queue.type != STREAM:  # which tells no count, and gets nothing by any of these ways
                channel = await connection.channel()
                found = await channel.get_queue(queue.name, ensure=True)
                assert found.declaration_result.message_count == 0, queue.name


@pytest.mark.parametrize(("role", "way"), [(role, way) for role in WAYS for way in WAYS[role]])
async def test_a_missing_right_to_publish_is_named_at_the_start(
    realm: Realm, role: str, way: Way
) -> None:
    await realm.without(role, "write", way.exchange)
    with pytest.raises(ForbiddenError) as caught:
        await require_writing(realm.url(role), WAYS[role])
    said = str(caught.value)
    assert f"user '{realm.user(role)}' may not write to exchange \"{way.exchange}\"" in said
    assert f"warren topology who {realm.user(role)}" in said
    assert realm.passwords[realm.user(role)] not in said


@pytest.mark.parametrize(
    ("role", "exchange", "key"),
    [
        ("party", addresses.REPORTS, "party_alive.party-1"),
        ("party", addresses.DEAD, "warren.inbox.party-1"),
        ("coordinator", addresses.RESULTS, "mpc.mpc_query_result.none"),
        ("coordinator", addresses.DEAD, "warren.reports"),
    ],
)
async def test_a_missing_routing_key_is_named_at_the_start(
    realm: Realm, role: str, exchange: str, key: str
) -> None:
    await realm.without_key(role, exchange)
    with pytest.raises(ForbiddenError, match=f"by the routing key '{key}'"):
        await require_writing(realm.url(role), WAYS[role])


async def test_who_may_read_its_queues_consumes(realm: Realm) -> None:
    await consumed(realm.url("party"))


@pytest.mark.parametrize(
    ("verb", "name", "resource"),
    [
        ("read", "warren.inbox.party-1", "warren.inbox.party-1"),
        ("read", "warren.keygen.party-1", "warren.keygen.party-1"),
        ("configure", "warren.cancel.party-1.{id}", CANCELS),
        ("write", "warren.cancel.party-1.{id}", CANCELS),
        ("read", "warren.cancel.party-1.{id}", CANCELS),
        ("read", "warren.cancel", "warren.cancel"),
    ],
)
async def test_a_missing_right_to_consume_is_named_at_the_start(
    realm: Realm, verb: str, name: str, resource: str
) -> None:
    await realm.without("party", verb, name)
    with pytest.raises(ForbiddenError) as caught:
        await consumed(realm.url("party"))
    assert f"'{resource}'" in str(caught.value)
    assert realm.user("party") in str(caught.value)


async def test_a_right_that_is_taken_away_later_is_named_when_it_is_missed(realm: Realm) -> None:
    url = realm.url("party")
    await require_topology(url, queues=[addresses.inbox_queue(PARTY)])
    letter = dead_letter(
        body=b"", headers={}, routing_key="", reason="", source=addresses.inbox_queue(PARTY)
    )
    async with Publisher(url, name=PARTY) as publisher:
        await publisher.publish(letter)
        await realm.without("party", "write", addresses.DEAD)
        # The broker's channels remember what they were allowed, each for itself.
        await publisher.publish(letter)
    async with Publisher(url, name=PARTY) as publisher:
        with pytest.raises(PublishError, match=r"may not write to .*warren\.dead"):
            await publisher.publish(letter)
