"""Queues that become others, on a real broker, while they are used."""

from __future__ import annotations

import pytest

from tests.patience import until
from tests.topology.migration.scene import (
    CLASSIC,
    ONE_READER,
    QUORUM,
    Consumer,
    Publisher,
    Scene,
    consumed,
    meanwhile,
)
from topology.migration.conduct import WaitingError
from topology.migration.leg import Leg
from topology.migration.parts import Parts
from topology.plan import Plan, difference

KINDS = [
    pytest.param(CLASSIC, QUORUM, "jobs", id="classic to quorum"),
    pytest.param(QUORUM, ONE_READER, "jobs", id="other arguments"),
    pytest.param(QUORUM, CLASSIC, "jobs", id="quorum to classic"),
    pytest.param(QUORUM, QUORUM, "jobs.v2", id="another name"),
    pytest.param(CLASSIC, ONE_READER, "jobs.v2", id="all at once"),
]


async def _only_what_is_declared(scene: Scene) -> bool:
    found = await scene.broker.found()
    return difference(scene.declared(), found) == Plan(changes=())


@pytest.mark.parametrize(("before", "after", "name"), KINDS)
async def test_what_nobody_consumes_is_moved_and_what_comes_meanwhile_follows(
    scene: Scene, before: str, after: str, name: str
) -> None:
    scene.say(before)
    await scene.apply()
    publisher = Publisher(scene, pace_s=0.001)
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= 300)
        scene.say(after, name)
        outcome = await scene.migrate(new=name)
        after_it = publisher.sent
        await until(lambda: publisher.sent >= after_it + 50)
    assert outcome.done
    assert outcome.late == 0
    assert await scene.queue(name) == scene.request(new=name).queue
    assert await _only_what_is_declared(scene)
    consumer = Consumer(scene, name)
    async with meanwhile(consumer):
        await consumed(scene, consumer, name, publisher.sent)
    assert consumer.got == list(range(publisher.sent))


@pytest.mark.long
@pytest.mark.parametrize(("before", "after", "name"), [*KINDS[:2], KINDS[4]])
async def test_ten_thousand_messages_under_load(
    scene: Scene, before: str, after: str, name: str
) -> None:
    scene.say(before)
    await scene.apply()
    publisher, consumer = Publisher(scene), Consumer(scene, name)
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= 2_000)
        async with meanwhile(consumer):
            scene.say(after, name)
            outcome = await scene.migrate(new=name)
            during = publisher.sent - 2_000
            await until(lambda: publisher.sent >= 10_000)
            publisher.done.set()
            await until(lambda: publisher.ended)
            await consumed(scene, consumer, name, publisher.sent)
    assert during > 100
    assert outcome.late == 0
    assert consumer.got == list(range(publisher.sent))


async def test_what_is_refused_in_the_pause_is_never_confirmed(scene: Scene) -> None:
    """A queue that is deleted confirms what was on its way to it."""
    scene.say(CLASSIC)
    await scene.apply()
    publishers = [Publisher(scene, 0.04, first=1_000_000 * each) for each in range(8)]
    async with meanwhile(*publishers):
        await until(lambda: all(each.sent for each in publishers))
        scene.say(QUORUM)
        await scene.migrate()
    consumer = Consumer(scene)
    async with meanwhile(consumer):
        await consumed(scene, consumer, "jobs", sum(each.sent for each in publishers))
    assert sum(each.refused for each in publishers)
    for each in publishers:
        own = [number for number in consumer.got if number // 1_000_000 == each.first // 1_000_000]
        assert own == list(range(each.first, each.first + each.sent))


async def test_publishers_as_fast_as_we_are_are_told_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    await scene.send(b"1")
    ready = Leg.ready

    async def never_less(leg: Leg, queue: str) -> int:
        return 1_000 if queue == Parts("jobs", "jobs").arriving else await ready(leg, queue)

    scene.say(QUORUM)
    with monkeypatch.context() as faster:
        faster.setattr(Leg, "ready", never_less)
        with pytest.raises(WaitingError, match="as fast as they are moved, 1000 of them"):
            await scene.migrate(patience_s=1.0)
    await scene.migrate()
    assert [message.body for message in await scene.taken("jobs")] == [b"1"]
