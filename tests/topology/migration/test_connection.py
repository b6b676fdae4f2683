"""Where the broker is, who is let in, and who gives way to whom."""

from __future__ import annotations

import asyncio

import pytest

from tests.patience import until
from tests.topology.migration.scene import CLASSIC, QUORUM, Publisher, Scene, meanwhile
from topology.management import AccessError, UnavailableError
from topology.migration.connection import Mover, beside, checked
from topology.migration.parts import Parts
from topology.problems import TopologyError


@pytest.mark.parametrize(
    ("management", "amqp"),
    [
        ("http://u:hunter2@broker:15672", "amqp://broker:5672"),
        ("http://[::1]:15672/prefix", "amqp://[::1]:5672"),
        ("https://broker", "amqps://broker:5671"),
        ("https://b?cafile=/a%20b.pem", "amqps://b:5671?cafile=/a%20b.pem"),
    ],
)
def test_amqp_is_beside_the_management_api_and_encrypted_if_that_is(
    management: str, amqp: str
) -> None:
    assert beside(management) == amqp


@pytest.mark.parametrize(
    "address", ["", "broker:5672", "http://b:5672", "amqp://b:99999", "amqp://[::1", "amqp://"]
)
def test_what_is_no_address_is_said_and_not_repeated(address: str) -> None:
    with pytest.raises(AccessError, match="has to look like amqp://host:5672") as raised:
        checked(address.replace("//", "//u:hunter2@"))
    assert "hunter2" not in str(raised.value)


async def _moving_users(scene: Scene) -> set[str]:
    users = {user["name"] for user in await scene.management.get("users")}
    return {name for name in users if name.startswith(f"{scene.vhost}.migration")}


async def test_no_broker_where_it_should_be_is_said_and_leaves_no_user(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    mover = Mover(scene.management, scene.vhost, "amqp://127.0.0.1:1", Parts("jobs", "jobs"))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1: .*Connect call failed"):
        async with mover.connected():
            pass
    await mover.remove()
    assert not await _moving_users(scene)


async def test_who_gives_up_leaves_the_other_alone(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    parts = Parts("jobs", "jobs")
    first = Mover(scene.management, scene.vhost, scene.services.amqp_url, parts)
    async with first.connected() as connection:
        second = Mover(scene.management, scene.vhost, scene.services.amqp_url, parts)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3), second.connected():
                pass
        await second.remove()
        channel = await connection.channel()
        await channel.close()
        assert await _moving_users(scene) == {first.user}
    # As if it had been killed: whoever migrates next tidies up.
    third = Mover(scene.management, scene.vhost, scene.services.amqp_url, parts)
    async with third.connected():
        pass
    await third.remove()
    assert not await _moving_users(scene)


async def test_a_connection_that_is_cut_is_said(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    mover = Mover(scene.management, scene.vhost, scene.services.amqp_url, Parts("jobs", "jobs"))

    async def cut() -> None:
        async with mover.connected() as connection:
            await mover.remove()
            await until(lambda: connection.is_closed)
            await connection.channel()

    with pytest.raises(UnavailableError, match="Nothing is lost; run this again"):
        await cut()


async def test_of_two_at_once_one_does_it_and_the_other_says_so(scene: Scene) -> None:
    scene.say(CLASSIC)
    await scene.apply()
    publisher = Publisher(scene, pace_s=0.002)
    async with meanwhile(publisher):
        await until(lambda: publisher.sent >= 100)
        scene.say(QUORUM)
        results = await asyncio.gather(scene.migrate(), scene.migrate(), return_exceptions=True)
    (failed,) = (one for one in results if isinstance(one, BaseException))
    assert isinstance(failed, TopologyError)
    assert "another process" in str(failed)
    assert await scene.queue() == scene.request().queue
    assert [int(one.body) for one in await scene.taken("jobs")] == list(range(publisher.sent))
    assert not await _moving_users(scene)
