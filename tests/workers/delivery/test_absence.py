"""A queue that is there and cannot be reached for now is not taken for one that was never made."""

from __future__ import annotations

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from contracts import addresses
from contracts.absence import is_missing
from contracts.client import BrokerUnavailableError, Client
from contracts.connecting import connect
from ops.deadletters.desk import Desk
from ops.deadletters.errors import BrokerAwayError
from tests.contracts.producers import settings
from workers.delivery.lists import said_so_far
from workers.delivery.publisher import require_topology

QUEUE = "durable queue 'warren.lists.log' in vhost 'warren'"
UNREACHABLE = (
    f"NOT_FOUND - home node 'rabbit@one' of {QUEUE} is down or inaccessible",
    f"NOT_FOUND - {QUEUE} process is stopped by supervisor",
    f"NOT_FOUND - {QUEUE} has crashed and failed to restart",
    f"NOT_FOUND - failed to perform operation on {QUEUE} due to timeout",
)


@pytest.mark.parametrize("text", UNREACHABLE)
def test_what_cannot_be_reached_is_not_missing(text: str) -> None:
    assert not is_missing(ChannelNotFoundEntity(text))


@pytest.mark.system
async def test_the_broker_says_what_is_missing_in_these_words(vhost: str) -> None:
    async with await connect(vhost) as connection:
        for ask in ("get_queue", "get_exchange"):
            with pytest.raises(ChannelNotFoundEntity) as refused:
                await getattr(await connection.channel(), ask)("nothing", ensure=True)
            assert is_missing(refused.value)


@pytest.fixture(params=UNREACHABLE)
def unreachable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the broker says of every queue."""

    async def refuse(*_: object, **__: object) -> AbstractQueue:
        raise ChannelNotFoundEntity(request.param)

    for method in ("get_queue", "declare_queue"):
        monkeypatch.setattr(aio_pika.Channel, method, refuse)
    return str(request.param)


@pytest.mark.system
async def test_a_worker_is_not_told_to_apply_a_topology_that_is_there(
    broker: str, unreachable: str
) -> None:
    with pytest.raises(ChannelNotFoundEntity):
        await require_topology(broker, queues=[addresses.REPORTS_QUEUE])
    with pytest.raises(ChannelNotFoundEntity):
        await anext(said_so_far(broker))


@pytest.mark.system
async def test_nor_is_a_client(broker: str, unreachable: str) -> None:
    with pytest.raises(BrokerUnavailableError) as told:
        async with Client.connect(settings(broker, "svcA")):
            pass
    assert unreachable in str(told.value)


@pytest.mark.system
async def test_nor_is_who_looks_at_dead_letters(broker: str, unreachable: str) -> None:
    with pytest.raises(BrokerAwayError) as told:
        async with Desk.open(broker, addresses.DEAD_QUEUE) as desk, desk.look():
            pass
    assert unreachable in str(told.value)
