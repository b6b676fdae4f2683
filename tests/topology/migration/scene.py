"""A vhost with a queue that is to become another one, and those who use it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aio_pika
import aiormq
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, DeliveryError

from contracts.confirming import AWAY, answered
from ops.stack import vhosts
from ops.stack.services import Services
from tests.patience import until
from tests.topology.migration.killed import HASTE, killed
from topology import Members, Topology, apply_all, declared
from topology.broker import Broker
from topology.console import out
from topology.management import Management
from topology.migration.command import Display, Outcome, Request, migrate
from topology.migration.contents import Content, RawTransport
from topology.model import Queue, Resource
from topology.plan import Action, Change

FILES = """\
exchanges:
  work:
    type: topic
  also:
    type: direct
  dead:
    type: fanout

queues:
  {name}:{more}
    bindings:
      - exchange: work
        key: job.*
      - exchange: work
        key: "*.urgent"
      - exchange: also
        key: now
  beside:
    bindings:
      - exchange: work
        key: other.*
  dead:
    bindings:
      - exchange: dead

policies:
  jobs:
    queues: [{name}, beside]
    definition:
      delivery-limit: 10
      dead-letter-exchange: dead
      overflow: reject-publish
      max-length: 50000
  dead:
    queues: [dead]
    definition:
      delivery-limit: 1000
      max-length: 50000
"""
CLASSIC = "\n    type: classic"
QUORUM = ""
ONE_READER = "\n    arguments:\n      x-single-active-consumer: true"


@dataclass
class Scene:
    """
    Attributes:
        directory: Where the files are.
    """

    services: Services
    vhost: str
    directory: Path
    management: Management

    @property
    def amqp(self) -> str:
        return vhosts.address(self.services.amqp_url, self.vhost)

    @property
    def broker(self) -> Broker:
        return Broker(self.management, vhost=self.vhost)

    def say(self, more: str, name: str = "jobs") -> None:
        """What the files say of the queue from now on."""
        text = FILES.format(name=name, more=more)
        (self.directory / "flow.yaml").write_text(text, encoding="utf-8")

    def declared(self) -> Topology:
        return declared(Members(), self.directory, vhost=self.vhost)

    async def apply(self) -> None:
        url = self.services.management_url
        await apply_all(url, members=Members(), directory=self.directory, vhost=self.vhost)

    async def make(self, resource: Resource) -> None:
        """What somebody does by hand."""
        await self.broker.make(Change(action=Action.CREATE, target=resource))

    async def send(self, body: bytes) -> None:
        """One message for the queue."""
        connection = await aio_pika.connect(self.amqp)
        async with connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            work = await channel.get_exchange("work", ensure=False)
            await work.publish(aio_pika.Message(body), "job.a", mandatory=True)

    def members(self) -> Path:
        """A file with none."""
        file = self.directory.parent / "members.yaml"
        file.write_text("parties: []\n", encoding="utf-8")
        return file

    def request(
        self, old: str = "jobs", new: str = "jobs", patience_s: float = HASTE.patience_s
    ) -> Request:
        return Request(
            wanted=self.declared(),
            vhost=self.vhost,
            old=old,
            new=new,
            amqp=self.services.amqp_url,
            timing=replace(HASTE, patience_s=patience_s),
        )

    async def migrate(
        self, old: str = "jobs", new: str = "jobs", patience_s: float = HASTE.patience_s
    ) -> Outcome:
        request = self.request(old, new, patience_s)
        return await migrate(self.management, request, Display(out(), silent=True))

    async def killed(
        self,
        new: str = "jobs",
        *,
        at: tuple[str, str] = ("", ""),
        moved: int = 0,
        after_s: float = 0.0,
        changes: int | None = None,
    ) -> bool:
        """Have another process migrate, which kills itself; whether it did, or came to an end.

        Arguments:
            at: The kind of news and the step at which it does.
            moved: And so many messages were moved in that step.
            after_s: So long after that.
            changes: Or after so many changes at the management API.
        """
        told = {
            "directory": str(self.directory),
            "vhost": self.vhost,
            "old": "jobs",
            "new": new,
            "amqp": self.services.amqp_url,
            "management": self.services.management_url,
            "at": at,
            "moved": moved,
            "after_s": after_s,
            "changes": changes,
        }
        return await asyncio.to_thread(killed, told)

    async def queue(self, name: str = "jobs") -> Queue:
        """As the broker has it."""
        found = await self.broker.found()
        (queue,) = (one for one in found.topology.queues if one.name == name)
        return queue

    async def depth(self, queue: str) -> int:
        connection = await aio_pika.connect(self.amqp)
        async with connection:
            channel = await connection.channel()
            asked = await channel.declare_queue(queue, passive=True)
            return asked.declaration_result.message_count or 0

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        """A channel on which properties come unread."""
        connection = await aiormq.connect(self.amqp, transport_factory=RawTransport())
        async with connection:
            yield await connection.channel(publisher_confirms=True)

    async def taken(self, queue: str) -> list[Content]:
        """All of it, to the byte."""
        contents: list[Content] = []
        async with self.raw() as channel:
            while True:
                message = await channel.basic_get(queue, no_ack=True)
                if message.delivery.name == "Basic.GetEmpty":
                    return contents
                contents.append(Content.of(message))


@dataclass
class Publisher:
    """One after another, each with a confirm, and again what was refused: numbers.

    Attributes:
        first: Its first number.
        pace_s: It rests for so long after each.
        sent: So many were confirmed.
        refused: So many times one was not.
        ended: Nothing is on its way any more.
    """

    scene: Scene
    pace_s: float = 0.0
    first: int = 0
    sent: int = 0
    refused: int = 0
    ended: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        connection = await aio_pika.connect(self.scene.amqp)
        async with connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            work = await channel.get_exchange("work", ensure=False)
            also = await channel.get_exchange("also", ensure=False)
            while not self.done.is_set():
                message = aio_pika.Message(
                    b"%d" % (self.first + self.sent), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                )
                try:
                    # By every way there is, one of them by two bindings at once.
                    if self.sent % 3 == 2:
                        await also.publish(message, "now", mandatory=True)
                    else:
                        key = "job.urgent" if self.sent % 3 else "job.a"
                        await work.publish(message, key, mandatory=True)
                except DeliveryError:
                    self.refused += 1
                    await asyncio.sleep(0.01)
                else:
                    self.sent += 1
                    await asyncio.sleep(self.pace_s)
        self.ended = True


class Consumer:
    """Consumes a queue whenever it is there.

    RabbitMQ 3.10 ends the connection of whoever consumes a queue in the very moment in which it is
    made or deleted (INTERNAL_ERROR): then it has another one, as any client would.

    Attributes:
        got: The numbers that came, in the order in which they did.
    """

    def __init__(self, scene: Scene, queue: str = "jobs") -> None:
        self.got: list[int] = []
        self._scene = scene
        self._queue = queue

    async def run(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                async with answered(), await aio_pika.connect(self._scene.amqp) as connection:
                    while not connection.is_closed:
                        with contextlib.suppress(AMQPError):
                            await self._consume(connection)
                        await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)

    async def _consume(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=20)
        gone = asyncio.Event()
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: gone.set())
        channel.close_callbacks.add(lambda *_: gone.set())
        queue = await channel.get_queue(self._queue, ensure=False)
        await queue.consume(self._take)
        await gone.wait()
        await channel.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self.got.append(int(message.body))
        await message.ack()


async def consumed(scene: Scene, consumer: Consumer, queue: str, count: int) -> None:
    """Wait until it has got so many, and whatever else there is."""
    await until(lambda: len(consumer.got) >= count)

    async def empty() -> bool:
        return not await scene.depth(queue)

    await until(empty)
    await asyncio.sleep(0.2)  # what was delivered is taken


@contextlib.asynccontextmanager
async def meanwhile(*users: Publisher | Consumer) -> AsyncIterator[None]:
    """They run, and at the end they stop; the failure of one is the test's, at once."""
    async with asyncio.TaskGroup() as group:
        tasks = {group.create_task(user.run()): user for user in users}
        yield
        for task, user in tasks.items():
            if isinstance(user, Publisher):
                user.done.set()  # what is on its way is confirmed, and counted
            else:
                task.cancel()
