"""Whoever migrates a queue is killed, and somebody runs it again."""

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
from topology.migration.parts import Parts
from topology.migration.steps import steps
from topology.plan import Plan, difference

pytestmark = pytest.mark.long

NAMES = [step.name for step in steps(Parts("jobs", "jobs"), pause=True)]
MOMENTS = [
    *(pytest.param(("begun", name), 0, id=f"before {name}") for name in NAMES),
    pytest.param(("done", "clear"), 0, id="after clear"),
    pytest.param(("refusing", "join"), 0, id="while publishers are refused"),
    pytest.param(("turned", "join"), 0, id="when the stream is turned"),
    *(
        pytest.param(("moved", name), moved, id=f"{name} after {moved}")
        for name in ("empty", "pour", "join")
        for moved in (1, 210)
    ),
]
BACKLOG = 300


async def _verify(scene: Scene, publisher: Publisher, name: str) -> None:
    found = await scene.broker.found()
    assert difference(scene.declared(), found) == Plan(changes=())
    assert await scene.queue(name) == scene.request(new=name).queue
    consumer = Consumer(scene, name)
    async with meanwhile(consumer):
        await consumed(scene, consumer, name, publisher.sent)
    assert consumer.got == list(range(publisher.sent))


@pytest.mark.parametrize(
    ("at", "moved", "name"),
    [
        *(pytest.param(*moment.values, "jobs", id=moment.id) for moment in MOMENTS),
        *(
            pytest.param(*moment.values, "jobs.v2", id=f"{moment.id}, another name")
            for moment in (MOMENTS[4], MOMENTS[8], *MOMENTS[-4::2])
        ),
    ],
)
async def test_killed_at_a_step_and_run_again(
    scene: Scene, at: tuple[str, str], moved: int, name: str
) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publisher = Publisher(scene, pace_s=0.002)
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= BACKLOG)
        scene.say(QUORUM, name)
        assert await scene.killed(name, at=at, moved=moved)
        outcome = await scene.migrate(new=name)
    assert outcome.late == 0
    assert outcome.record.distrusted == 0
    await _verify(scene, publisher, name)


@pytest.mark.parametrize("each", [3, 5])
async def test_killed_again_and_again_after_some_changes(scene: Scene, each: int) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publisher = Publisher(scene, pace_s=0.002)
    kills = 0
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= BACKLOG)
        scene.say(QUORUM)
        # What it does to begin with takes some changes by itself.
        while await scene.killed(changes=each + kills):
            kills += 1
    assert kills > 3
    await _verify(scene, publisher, "jobs")


@pytest.mark.parametrize("at", ["empty", "replace", "pour", "join"])
async def test_killed_while_a_consumer_goes_on(scene: Scene, at: str) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publisher, consumer = Publisher(scene, pace_s=0.002), Consumer(scene)
    async with meanwhile(publisher, consumer):
        await until(lambda: publisher.sent >= BACKLOG)
        scene.say(QUORUM)
        kind = "moved" if at == "join" else "begun"
        assert await scene.killed(at=(kind, at), moved=100 if at == "join" else 0)
        await scene.migrate()
        publisher.done.set()
        await until(lambda: publisher.ended)
        await consumed(scene, consumer, "jobs", publisher.sent)
    assert consumer.got == list(range(publisher.sent))


@pytest.mark.parametrize("at", ["refusing", "turned"])
async def test_killed_in_the_pause_lets_publishers_through_by_itself(scene: Scene, at: str) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publishers = [Publisher(scene, 0.01, first=1_000_000 * each) for each in range(4)]
    async with meanwhile(*publishers):
        await until(lambda: all(each.sent for each in publishers))
        scene.say(QUORUM)
        assert await scene.killed(at=(at, "join"), after_s=0.1)
        assert sum(each.refused for each in publishers)
        before = [each.sent for each in publishers]
        # Nobody has run it again.
        await until(
            lambda: all(
                each.sent >= sent + 20 for each, sent in zip(publishers, before, strict=True)
            )
        )
        outcome = await scene.migrate()
    assert (outcome.late, outcome.record.distrusted) == (0, 0)
    consumer = Consumer(scene)
    async with meanwhile(consumer):
        await consumed(scene, consumer, "jobs", sum(each.sent for each in publishers))
    for each in publishers:
        own = [number for number in consumer.got if number // 1_000_000 == each.first // 1_000_000]
        assert own == list(range(each.first, each.first + each.sent))


STOPS = [
    *((("begun", name), 0) for name in NAMES[:4]),
    (("moved", "empty"), 210),
    (("begun", "replace"), 0),
    (("begun", "pour"), 0),
    (("moved", "pour"), 210),
    (("begun", "join"), 0),
    (("moved", "join"), 1),
    (("refusing", "join"), 0),
    (("turned", "join"), 0),
    (("begun", "lead-out"), 0),
    (("begun", "clear"), 0),
    (("done", "clear"), 0),
]


@pytest.mark.parametrize(
    ("before", "after", "name", "with_consumer"),
    [
        pytest.param(CLASSIC, QUORUM, "jobs", True, id="classic to quorum"),
        pytest.param(QUORUM, ONE_READER, "jobs", False, id="other arguments"),
    ],
)
async def test_ten_thousand_messages_and_killed_at_every_step(
    scene: Scene, before: str, after: str, name: str, with_consumer: bool
) -> None:
    """One migration, in as many processes as there are steps, and some more."""
    scene.say(before)
    await scene.apply()
    publisher, consumer = Publisher(scene, pace_s=0.002), Consumer(scene, name)
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= 2_000)
        scene.say(after, name)
        async with meanwhile(*([consumer] if with_consumer else [])):
            for at, moved in STOPS:
                # What consumers take out of the old queue themselves is not moved.
                if with_consumer and name == "jobs" and moved == 210:
                    continue
                assert await scene.killed(name, at=at, moved=moved), at
            outcome = await scene.migrate(new=name)
            await until(lambda: publisher.sent >= 10_000)
            publisher.done.set()
            await until(lambda: publisher.ended)
            if with_consumer:
                await consumed(scene, consumer, name, publisher.sent)
    assert outcome.late == 0
    assert outcome.record.distrusted == 0
    if not with_consumer:
        await _verify(scene, publisher, name)
        return
    assert consumer.got == list(range(publisher.sent))
    assert difference(scene.declared(), await scene.broker.found()) == Plan(changes=())
