"""What leaves together, and what becomes of whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts import addresses, bundles
from contracts.bundles import CONTENT_TYPE
from tests.patience import until
from workers import metrics
from workers.delivery import bundling
from workers.delivery.bundling import LARGE_BYTES, MOST_PARTS, Bundling
from workers.delivery.publisher import FullError, PublishError, UnroutableError
from workers.store.records import Outgoing

PARTY = "party-1"


def outgoing(name: str = "m", **changes: Any) -> Outgoing:
    fields: dict[str, Any] = {
        "exchange": addresses.SESSIONS,
        "routing_key": PARTY,
        "kind": "session_created",
        "content_type": "application/x",
        "message_id": name,
        "body": name.encode(),
        "headers": {"session_id": name},
    }
    return Outgoing(**(fields | changes))


class Broker:
    """Confirms what it is told to, in its order."""

    def __init__(self) -> None:
        self.came: list[Outgoing] = []
        self.pending: list[asyncio.Future[None]] = []

    async def send(self, message: Outgoing) -> None:
        self.came.append(message)
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pending.append(confirmed)
        await confirmed

    def confirm(self) -> None:
        self.pending.pop(0).set_result(None)

    def fail(self, error: Exception) -> None:
        self.pending.pop(0).set_exception(error)

    async def all_confirmed(self, count: int) -> None:
        """Of so many messages, the first of which has come."""
        for _ in range(count):
            await until(lambda: bool(self.pending))
            self.confirm()


async def begun(bundling_: Bundling, *messages: Outgoing) -> list[asyncio.Task[None]]:
    """Published, and all of them under way or waiting."""
    tasks = [asyncio.create_task(bundling_.publish(message)) for message in messages]
    await asyncio.sleep(0)
    return tasks


def names(message: Outgoing) -> list[str]:
    if message.content_type != CONTENT_TYPE:
        return [message.message_id]
    return [part.message_id for part in bundles.unpack(message.body)]


async def test_who_finds_nothing_under_way_publishes_at_once_and_as_it_is() -> None:
    """Without a turn of the loop in between."""
    broker = Broker()
    message = outgoing()
    publishing = Bundling(broker.send).publish(message)
    waits_for = publishing.send(None)
    assert broker.came == [message]
    assert waits_for is broker.pending[0]
    broker.confirm()
    with pytest.raises(StopIteration):
        publishing.send(None)


async def test_what_comes_meanwhile_leaves_together_when_the_first_is_confirmed() -> None:
    broker = Broker()
    messages = [outgoing(name) for name in "abcd"]
    tasks = await begun(Bundling(broker.send), *messages)
    assert list(map(names, broker.came)) == [["a"]]
    broker.confirm()
    await until(lambda: len(broker.came) == 2)
    await tasks[0]
    bundle = broker.came[1]
    assert (bundle.exchange, bundle.routing_key) == (addresses.SESSIONS, PARTY)
    assert (bundle.kind, bundle.content_type) == ("bundle", CONTENT_TYPE)
    for part, message in zip(bundles.unpack(bundle.body), messages[1:], strict=True):
        assert part.kind == message.kind
        assert part.content_type == message.content_type
        assert part.message_id == message.message_id
        assert part.headers == message.headers
        assert part.body == message.body
    assert not any(task.done() for task in tasks[1:])
    broker.confirm()
    await asyncio.gather(*tasks)


async def test_one_that_waited_alone_leaves_as_it_is() -> None:
    broker = Broker()
    first, second = outgoing("a"), outgoing("b")
    tasks = await begun(Bundling(broker.send), first, second)
    await broker.all_confirmed(2)
    await asyncio.gather(*tasks)
    assert broker.came == [first, second]


async def test_when_all_is_confirmed_the_next_one_leaves_at_once_again() -> None:
    broker = Broker()
    bundling_ = Bundling(broker.send)
    tasks = await begun(bundling_, *map(outgoing, "abc"))
    await broker.all_confirmed(2)
    await asyncio.gather(*tasks)
    assert bundling_._waiting == {}
    assert bundling_._sending == set()
    tasks = await begun(bundling_, outgoing("d"))
    assert list(map(names, broker.came)) == [["a"], ["b", "c"], ["d"]]
    broker.confirm()
    await asyncio.gather(*tasks)


async def test_a_bundle_has_no_more_parts_than_it_may() -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *(outgoing(f"{i}") for i in range(2 * MOST_PARTS)))
    await broker.all_confirmed(3)
    await asyncio.gather(*tasks)
    assert [len(names(message)) for message in broker.came] == [1, MOST_PARTS, MOST_PARTS - 1]


async def test_a_bundle_is_no_larger_than_it_may_be() -> None:
    broker = Broker()
    messages = [outgoing(f"{i}", body=b"x" * LARGE_BYTES) for i in range(12)]
    tasks = await begun(Bundling(broker.send), *messages)
    await broker.all_confirmed(3)
    await asyncio.gather(*tasks)
    assert [len(names(message)) for message in broker.came] == [1, 7, 4]
    assert all(len(message.body) <= bundles.MAX_BYTES for message in broker.came)


@pytest.mark.parametrize("other", [{"routing_key": "party-2"}, {"exchange": addresses.ROUNDS}])
async def test_what_goes_another_way_waits_for_nothing(other: dict[str, Any]) -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), outgoing("a"), outgoing("b", **other))
    assert broker.came == [outgoing("a"), outgoing("b", **other)]
    await broker.all_confirmed(2)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "other",
    [
        {"body": b"x" * (LARGE_BYTES + 1)},
        {"exchange": addresses.CANCEL, "routing_key": ""},
        {"exchange": addresses.DEAD, "routing_key": addresses.REPORTS_QUEUE},
        {
            "exchange": addresses.RESULTS,
            "routing_key": addresses.result_key("sign", client_id="svcA", request_id="r"),
        },
        {
            "exchange": addresses.RESULTS,
            "routing_key": addresses.result_key("sign", client_id=None, request_id="bundled"),
        },
        {
            "exchange": addresses.RESULTS,
            "routing_key": addresses.result_key(
                "query_keys", client_id="svcA", request_id="bundled"
            ),
        },
    ],
    ids=str,
)
async def test_what_nobody_takes_apart_waits_for_nothing(other: dict[str, Any]) -> None:
    """Not even for what goes the same way."""
    broker = Broker()
    messages = [outgoing(name, **other) for name in "abc"]
    tasks = await begun(Bundling(broker.send), *messages)
    assert broker.came == messages
    await broker.all_confirmed(3)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "way",
    [
        *((exchange, PARTY) for exchange in sorted(bundling.OURS)),
        (addresses.RESULTS, addresses.bundled_key("svcA")),
    ],
)
async def test_what_workers_read_and_clients_who_said_so_may_be_bundled(
    way: tuple[str, str],
) -> None:
    broker = Broker()
    messages = [outgoing(name, exchange=way[0], routing_key=way[1]) for name in "abc"]
    tasks = await begun(Bundling(broker.send), *messages)
    await broker.all_confirmed(2)
    await asyncio.gather(*tasks)
    assert list(map(names, broker.came)) == [["a"], ["b", "c"]]


@pytest.mark.parametrize("error", [UnroutableError("no queue"), FullError("full")])
async def test_what_one_queue_does_not_take_ends_so_for_each_part(error: PublishError) -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abc"))
    broker.confirm()
    await until(lambda: len(broker.came) == 2)
    broker.fail(error)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[0] is None
    for end in ends[1:]:
        assert (type(end), str(end)) == (type(error), str(error))
    assert ends[1] is not ends[2]


@pytest.mark.parametrize("error", [UnroutableError("no queue"), FullError("full")])
async def test_a_queue_that_took_one_message_not_is_asked_for_the_next(
    error: PublishError,
) -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abc"))
    broker.fail(error)
    await until(lambda: len(broker.came) == 2)
    broker.confirm()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [type(error), type(None), type(None)]


async def test_a_broker_that_is_away_is_away_for_all_who_wait() -> None:
    broker = Broker()
    bundling_ = Bundling(broker.send)
    tasks = await begun(bundling_, *map(outgoing, "abc"))
    broker.fail(PublishError("broker away"))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(type(end), str(end)) for end in ends] == [(PublishError, "broker away")] * 3
    assert len(broker.came) == 1
    assert bundling_._waiting == {}


async def test_who_no_longer_waits_is_not_sent_and_who_is_cancelled_harms_nobody() -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abcd"))
    tasks[1].cancel()
    tasks[0].cancel()  # under way, and perhaps with the broker
    await until(lambda: len(broker.came) == 2)
    assert names(broker.came[1]) == ["c", "d"]
    tasks[2].cancel()
    await asyncio.sleep(0)
    broker.pending[-1].set_result(None)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 3 + [type(None)]


async def test_where_all_have_given_up_nothing_leaves() -> None:
    broker = Broker()
    bundling_ = Bundling(broker.send)
    tasks = await begun(bundling_, *map(outgoing, "abc"))
    for task in tasks[1:]:
        task.cancel()
    await asyncio.sleep(0)
    broker.confirm()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert list(map(names, broker.came)) == [["a"]]
    assert bundling_._waiting == {}


async def test_a_part_of_a_bundle_that_fails_and_was_given_up_is_nobodys() -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abc"))
    broker.confirm()
    await until(lambda: len(broker.came) == 2)
    tasks[1].cancel()
    await asyncio.sleep(0)
    broker.fail(FullError("full"))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), asyncio.CancelledError, FullError]


async def test_a_bundle_that_cannot_be_sent_for_a_fault_of_ours_fails_all_its_parts() -> None:
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abc"))
    broker.confirm()
    await until(lambda: len(broker.came) == 2)
    broker.fail(KeyError("a fault"))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), PublishError, PublishError]


async def test_what_is_under_way_when_the_publisher_is_closed_is_not_confirmed() -> None:
    broker = Broker()
    bundling_ = Bundling(broker.send)
    tasks = await begun(bundling_, *map(outgoing, "abc"))
    broker.confirm()
    await until(lambda: len(broker.came) == 2)
    more = await begun(bundling_, outgoing("d"))
    await bundling_.close()
    ends = await asyncio.gather(*tasks[1:], *more, return_exceptions=True)
    assert [(type(end), str(end)) for end in ends] == [
        (PublishError, "the publisher was closed")
    ] * 3


async def test_bundles_and_what_was_in_them_are_counted() -> None:
    def counted(name: str) -> float:
        labels = {"exchange": addresses.SESSIONS}
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    before = counted("warren_bundles_total"), counted("warren_bundled_messages_total")
    broker = Broker()
    tasks = await begun(Bundling(broker.send), *map(outgoing, "abcd"))
    await broker.all_confirmed(2)
    await asyncio.gather(*tasks)
    assert counted("warren_bundles_total") == before[0] + 1
    assert counted("warren_bundled_messages_total") == before[1] + 3
