"""Messages go from one queue to another, whatever an earlier run has left and others do meanwhile.
On a real broker."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiormq.abc import AbstractChannel, AbstractConnection

from ops.stack import vhosts
from tests.patience import until
from tests.topology.migration.scene import CLASSIC, QUORUM, Scene
from topology.console import out
from topology.management import UnavailableError
from topology.migration import leg as legs
from topology.migration.command import Display, migrate
from topology.migration.contents import RawProperties
from topology.migration.findings import RefusedError
from topology.migration.leg import Leg, LegError
from topology.migration.record import Record, Records
from topology.migration.steps import LEAD_IN, PREPARE
from topology.model import Queue

SOURCE, TARGET, COPIES, POUR = "source", "target", "copies", "pour"
BEFORE = "before"
"""An exchange as an earlier run would have used it: to the source, and to the copies."""
QUIET_S = 0.1
FOREVER_S = 3600.0


class Place:
    """
    Attributes:
        told: What the leg said of messages that it moved.
        ends: The connections of all legs.
    """

    def __init__(self, scene: Scene, channel: AbstractChannel) -> None:
        self.scene = scene
        self.channel = channel
        self.told: list[int] = []
        self.ends: list[AbstractConnection] = []

    async def prepare(self, **arguments: object) -> None:
        for queue in (SOURCE, TARGET, COPIES):
            given = dict(arguments) if queue == TARGET else {}
            # dict is invariant: aiormq asks for one of all kinds of values.
            await self.channel.queue_declare(queue, durable=True, arguments=given)  # type: ignore[arg-type]
        for exchange, queues in ((POUR, (TARGET, COPIES)), (BEFORE, (SOURCE, COPIES))):
            await self.channel.exchange_declare(exchange, exchange_type="fanout", durable=True)
            for queue in queues:
                await self.channel.queue_bind(queue, exchange)

    async def send(self, *bodies: bytes, exchange: str = "", key: str = SOURCE) -> None:
        for body in bodies:
            properties = RawProperties(b"\0\0", body.decode())
            await self.channel.basic_publish(
                body, exchange=exchange, routing_key=key, properties=properties
            )

    async def arrived_before(self, *bodies: bytes) -> None:
        """An earlier run moved these, and was killed before it took them out."""
        await self.send(*bodies, exchange=BEFORE)

    async def bodies(self, queue: str) -> list[bytes]:
        return [each.body for each in await self.scene.taken(queue)]

    @contextlib.asynccontextmanager
    async def leg(self, *, through: str = POUR, trusted: bool = True) -> AsyncIterator[Leg]:
        async with self.scene.raw() as asking:
            connection = asking.connection
            self.ends.append(connection)
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            yield Leg(
                channel,
                asking,
                source=SOURCE,
                through=through,
                copies=COPIES,
                trusted=trusted,
                tell=self.told.append,
            )


@pytest.fixture
async def place(scene: Scene) -> AsyncIterator[Place]:
    vhosts.create(scene.services.management_url, scene.vhost)
    async with scene.raw() as channel:
        made = Place(scene, channel)
        await made.prepare()
        yield made


async def test_all_is_moved_in_its_order_and_nothing_is_left_behind(place: Place) -> None:
    sent = [b"%d" % number for number in range(500)]
    await place.send(*sent)
    async with place.leg() as leg:
        await leg.begin()
        await leg.drained(QUIET_S)
    assert (leg.moved, leg.skipped, leg.distrusted, sum(place.told)) == (500, 0, 0, 500)
    assert await place.bodies(TARGET) == sent
    assert await place.bodies(SOURCE) == await place.bodies(COPIES) == []


async def test_what_an_earlier_run_moved_is_not_moved_again(place: Place) -> None:
    await place.arrived_before(b"1", b"2")
    await place.send(b"3")
    async with place.leg() as leg:
        await leg.begin()
        await leg.drained(QUIET_S)
    assert (leg.moved, leg.skipped) == (1, 2)
    assert await place.bodies(TARGET) == [b"3"]
    assert await place.bodies(SOURCE) == await place.bodies(COPIES) == []


async def test_a_copy_whose_message_is_gone_is_passed_over(place: Place) -> None:
    await place.arrived_before(b"1", b"2")
    assert (await place.channel.basic_get(SOURCE, no_ack=True)).body == b"1"
    await place.send(b"3")
    async with place.leg() as leg:
        await leg.begin()
        await leg.drained(QUIET_S)
    assert (leg.moved, leg.skipped) == (1, 1)
    assert await place.bodies(TARGET) == [b"3"]
    assert await place.bodies(SOURCE) == await place.bodies(COPIES) == []


@pytest.mark.parametrize("met", [0, 1])
async def test_copies_without_messages_are_taken_out_at_the_end(place: Place, met: int) -> None:
    await place.arrived_before(*[b"1", b"2", b"3"][:met])
    await place.send(b"4", b"5", key=COPIES)
    async with place.leg() as leg:
        await leg.begin()
        await leg.drained(QUIET_S)
    assert (leg.moved, leg.skipped) == (0, met)
    for queue in (SOURCE, COPIES, TARGET):
        assert await place.bodies(queue) == []


async def test_where_copies_cannot_be_trusted_messages_are_moved_again(place: Place) -> None:
    await place.arrived_before(b"1", b"2")
    async with place.leg(trusted=False) as leg:
        await leg.begin()
        await leg.drained(QUIET_S)
    assert (leg.moved, leg.skipped, leg.distrusted) == (2, 0, 2)
    assert await place.bodies(TARGET) == [b"1", b"2"]
    assert await place.bodies(SOURCE) == await place.bodies(COPIES) == []


@pytest.mark.parametrize("queue", [SOURCE, COPIES])
async def test_nothing_is_begun_while_somebody_else_consumes_there(
    place: Place, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legs, "_ALONE_S", 0.2)

    async def ignore(_: object) -> None:
        """Nothing will come."""

    await place.channel.basic_consume(queue, ignore)
    async with place.leg() as leg:
        with pytest.raises(LegError, match=f"somebody else consumes queue {queue}: stop it"):
            await leg.begin()


async def test_what_somebody_else_publishes_to_the_copies_stops_it(place: Place) -> None:
    async with place.leg() as leg:
        await leg.begin()
        await place.send(b"odd", key=COPIES)
        with pytest.raises(LegError, match="somebody else publishes to queue copies"):
            await leg.drained(FOREVER_S)


async def test_a_queue_without_room_is_told_and_what_did_not_fit_is_where_it_was(
    place: Place,
) -> None:
    await place.channel.queue_delete(TARGET)
    await place.prepare(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    await place.send(b"1", b"2", b"3")
    async with place.leg() as leg:
        await leg.begin()
        with pytest.raises(LegError, match=r"what queue source has is not taken: .* is full"):
            await leg.drained(FOREVER_S)
    assert leg.moved == 0
    assert await place.bodies(TARGET) == [b"1"]

    async def back() -> bool:
        return await place.scene.depth(SOURCE) == 3

    await until(back)
    assert await place.bodies(SOURCE) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("queue", [SOURCE, COPIES])
async def test_a_queue_that_is_deleted_meanwhile_is_told(place: Place, queue: str) -> None:
    async with place.leg() as leg:
        await leg.begin()
        await place.channel.queue_delete(queue)
        with pytest.raises(UnavailableError, match=r"has deleted a queue .* Nothing is lost"):
            await leg.drained(FOREVER_S)


async def test_an_exchange_that_is_not_there_takes_nothing_out(place: Place) -> None:
    await place.send(b"1")
    async with place.leg(through="nowhere") as leg:
        await leg.begin()
        with pytest.raises(UnavailableError, match="Nothing is lost"):
            await leg.drained(FOREVER_S)
    assert await place.bodies(SOURCE) == [b"1"]


async def test_a_connection_that_is_closed_meanwhile_is_told(place: Place) -> None:
    async with place.leg() as leg:
        await leg.begin()
        await place.ends[-1].close()
        with pytest.raises(UnavailableError, match="the broker is away"):
            await leg.drained(FOREVER_S)


async def under_way(scene: Scene, new: Queue) -> None:
    """Somebody has begun to make another queue of it."""
    record = Record(old="jobs", new=new, bindings=(), done=(PREPARE, LEAD_IN))
    await Records(scene.management, scene.vhost, "jobs").write(record)


async def test_a_migration_to_something_else_that_is_under_way_has_to_be_finished_first(
    scene: Scene,
) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    await under_way(scene, Queue(name="jobs.v2", arguments=(("x-max-length", 5),)))
    scene.say(QUORUM)
    with pytest.raises(RefusedError, match=r"to jobs\.v2 \(quorum, .*'x-max-length': 5.*as they"):
        await scene.migrate()
    assert (await scene.queue()).type == "classic"
    await Records(scene.management, scene.vhost, "jobs").remove()


async def test_a_dry_run_of_one_that_is_under_way_says_what_is_left(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    scene.say(QUORUM)
    request = replace(scene.request(), dry_run=True)
    display = Display(out(), silent=True)
    all_of_it = await migrate(scene.management, request, display)
    await under_way(scene, request.queue)
    rest = await migrate(scene.management, request, display)
    assert rest.ahead == all_of_it.ahead[2:]
    assert not rest.done
    await Records(scene.management, scene.vhost, "jobs").remove()
