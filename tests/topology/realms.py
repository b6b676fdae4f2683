"""A vhost of its own on a real broker, with what the shipped files declare for some members."""

from __future__ import annotations

from dataclasses import dataclass, field

import aio_pika
from aio_pika.exceptions import AMQPError

from ops.stack import vhosts
from ops.stack.services import Services
from topology import InMemory, apply_all, declared
from topology.access import Credentials
from topology.broker import Broker
from topology.management import Management
from topology.model import Members, Resource, Topology
from topology.plan import Action, Change, Plan, difference

MEMBERS = Members(
    parties=("p1",),
    clients=("svcA",),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)
NOBODY = Members(parties=("p1",))


@dataclass
class Realm:
    services: Services
    name: str
    management: Management
    owner: InMemory = field(default_factory=InMemory)

    @property
    def broker(self) -> Broker:
        return Broker(self.management, vhost=self.name, credentials=Credentials({}, self.owner))

    def declared(self, members: Members = MEMBERS) -> Topology:
        return declared(members, vhost=self.name)

    async def apply(self, members: Members = MEMBERS) -> Plan:
        return await apply_all(
            self.services.management_url, members=members, vhost=self.name, owner=self.owner
        )

    async def plan(
        self, members: Members = MEMBERS, *, prune: bool = False, lose: frozenset[str] = frozenset()
    ) -> Plan:
        found = await self.broker.found()
        return difference(self.declared(members), found, prune=prune, lose=lose)

    async def publish(self, queue: str, count: int = 1) -> None:
        """Straight into a queue, by the administrator."""
        address = vhosts.address(self.services.amqp_url, self.name)
        async with await aio_pika.connect(address) as connection:
            channel = await connection.channel(publisher_confirms=True)
            message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            for _ in range(count):
                await channel.default_exchange.publish(message, queue)

    async def make(self, target: Resource, action: Action = Action.UPDATE) -> None:
        """What somebody does by hand."""
        await self.broker.make(Change(action=action, target=target))

    async def enters(self, user: str, password: str) -> bool:
        address = vhosts.address(self.services.amqp_url, self.name)
        try:
            connection = await aio_pika.connect(vhosts.login(address, user, password))
        except (AMQPError, OSError):
            return False
        await connection.close()
        return True
