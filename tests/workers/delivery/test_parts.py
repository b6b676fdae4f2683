"""What becomes of a bundle, and of each of its parts as if it had come alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.bundles import CONTENT_TYPE, Part, pack
from contracts.errors import ContractError, UnauthenticatedError
from tests.patience import until
from tests.workers.delivery.bundled import QUEUE, Worker, again, bundle
from tests.workers.doubles import FakeMessage, FakePublisher
from workers.delivery import consuming, deliveries, parts
from workers.delivery.consuming import end
from workers.delivery.deliveries import Deliver, Delivery, Ended
from workers.delivery.middleware import Middleware
from workers.delivery.publisher import FullError
from workers.delivery.scopes import SessionOverError


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing waits; how long it would have is kept."""
    kept: list[float] = []

    async def sleep(seconds: float) -> None:
        kept.append(seconds)

    monkeypatch.setattr(deliveries, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(deliveries, "random", SimpleNamespace(uniform=lambda low, high: high))
    return kept


async def test_each_part_is_handled_as_if_it_had_come_alone() -> None:
    worker = Worker()
    assert await worker.take(bundle("a", "b"), headers={"own": "header"}) == ["ack"]
    assert worker.seen[0] == Delivery(
        queue=QUEUE,
        kind="kind-a",
        body=b"a",
        headers={"session_id": "a"},
        routing_key="party-1",
        message_id="id-a",
        attempts=0,
        exchange="warren.sessions",
        content_type="text/x",
    )
    assert worker.seen[1].message_id == "id-b"


async def test_what_is_no_bundle_is_handled_as_before() -> None:
    worker = Worker()
    assert await worker.take(b"alone", content_type="text/x") == ["ack"]
    assert worker.handled == ["alone"]


async def test_parts_are_handled_side_by_side_and_each_by_all_middleware() -> None:
    kinds: list[str] = []

    class Noting(Middleware):
        def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
            async def noted(delivery: Delivery) -> Ended:
                ended = await deliver(delivery)
                kinds.append(f"{delivery.kind} {ended}")
                return ended

            return noted

    worker = Worker(middleware=Noting())
    together = asyncio.Barrier(3)

    async def meet(_: str) -> None:
        await together.wait()

    worker.meanwhile = meet
    worker.trouble["b"] = [SessionOverError()]
    assert await worker.take(bundle("a", "b", "c")) == ["ack"]
    assert sorted(kinds) == ["kind-a acked", "kind-b over", "kind-c acked"]


async def test_no_more_messages_are_handled_at_once_than_may_be_however_they_come() -> None:
    worker = Worker(at_once=3)
    running: Counter[str] = Counter()
    most = 0

    async def count(name: str) -> None:
        nonlocal most
        running[name] += 1
        most = max(most, running.total())
        for _ in range(5):
            await asyncio.sleep(0)
        running[name] -= 1

    worker.meanwhile = count
    ends = await asyncio.gather(
        worker.take(bundle(*"abcde")),
        worker.take(bundle(*"fghij")),
        *(worker.take(name.encode(), content_type="text/x") for name in "klm"),
    )
    assert ends == [["ack"]] * 5
    assert sorted(worker.handled) == list("abcdefghijklm")
    assert most == 3


async def test_a_part_that_is_refused_is_a_dead_letter_of_its_own() -> None:
    worker = Worker()
    worker.trouble["b"] = [ContractError("wrong signature")]
    assert await worker.take(bundle("a", "b", "c")) == ["ack"]
    (letter,) = worker.publisher.sent
    assert letter.body == b"b"
    assert letter.message_id == "id-b"
    assert letter.headers["warren-reason"] == "wrong signature"
    assert letter.headers["warren-kind"] == "kind-b"
    assert letter.headers["warren-content-type"] == "text/x"
    assert letter.headers["warren-exchange"] == "warren.sessions"
    assert letter.headers["warren-routing-key"] == "party-1"
    assert letter.headers["session_id"] == "b"


async def test_parts_of_which_others_are_dead_letters_already_are_only_counted() -> None:
    worker = Worker()
    names = [f"{number}" for number in range(4)]
    for name in names:
        worker.trouble[name] = [UnauthenticatedError("nobody's", kind="stranger")]
    assert await worker.take(bundle(*names)) == ["ack"]
    assert len(worker.publisher.sent) == 1


async def test_a_bundle_whose_parts_are_all_dropped_is_dropped_with_others() -> None:
    publisher: Any = FakePublisher()

    async def drop(_: Delivery) -> Ended:
        return Ended.DROPPED

    taken = parts.Parts(drop, publisher, at_once=3)
    assert await taken.deliver(delivery(bundle("a", "b"))) is Ended.DROPPED


def delivery(body: bytes, **changes: Any) -> Delivery:
    whole = Delivery(
        queue=QUEUE,
        kind="bundle",
        body=body,
        headers={},
        routing_key="party-1",
        message_id=None,
        attempts=0,
        exchange="warren.sessions",
        content_type=CONTENT_TYPE,
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (KeyError("field"), "failed, requeue"),
        (FullError("its queue is full"), "requeue"),
    ],
)
async def test_a_part_that_goes_back_takes_the_bundle_along_when_all_have_ended(
    error: Exception, ending: str
) -> None:
    """Acknowledged, it would be lost."""
    worker = Worker()
    worker.trouble["a"] = [error]
    assert await worker.take(bundle("a", "b", "c")) == [ending]
    assert sorted(worker.handled) == ["a", "b", "c"]
    assert worker.publisher.sent == []


async def test_a_part_that_may_be_at_fault_counts_before_one_that_is_not() -> None:
    worker = Worker()
    worker.trouble |= {"a": [FullError("full")], "b": [KeyError("field")]}
    assert await worker.take(bundle("a", "b", "c")) == ["failed, requeue"]


async def test_what_comes_again_is_handled_only_where_it_had_not_ended() -> None:
    """Nor do those that were refused become dead letters once more."""
    worker = Worker()
    worker.trouble |= {"b": [KeyError("field")], "c": [ContractError("wrong")]}
    assert await worker.take(bundle("a", "b", "c")) == ["failed, requeue"]
    worker.handled.clear()
    worker.trouble["b"] = [KeyError("field")]
    assert await worker.take(bundle("a", "b", "c"), headers=again(1)) == ["failed, requeue"]
    assert await worker.take(bundle("a", "b", "c"), headers=again(2)) == ["ack"]
    assert worker.handled == ["b", "b"]
    assert worker.letters() == {"c": "wrong"}


async def test_the_same_messages_sent_anew_are_no_bundle_that_came_again() -> None:
    worker = Worker()
    worker.trouble["b"] = [KeyError("field")]
    await worker.take(bundle("a", "b"))
    assert await worker.take(bundle("a", "b")) == ["ack"]
    assert sorted(worker.handled) == ["a", "a", "b", "b"]


async def test_another_process_handles_all_of_what_comes_again() -> None:
    one, other = Worker(), Worker()
    one.trouble["b"] = [KeyError("field")]
    await one.take(bundle("a", "b"))
    assert await other.take(bundle("a", "b"), headers=again(1)) == ["ack"]
    assert other.handled == ["a", "b"]


async def test_no_more_bundles_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "REMEMBERED", 1)
    worker = Worker()
    for name in "ac":
        worker.trouble["b"] = [KeyError("field")]
        await worker.take(bundle(name, "b"))
    worker.handled.clear()
    for name in "ac":
        await worker.take(bundle(name, "b"), headers=again(1))
    assert worker.handled == ["a", "b", "b"]


async def test_a_middleware_that_fails_for_one_part_fails_no_other() -> None:
    class Failing(Middleware):
        def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
            async def failing(delivery: Delivery) -> Ended:
                if delivery.body == b"a":
                    raise KeyError("field")
                return await deliver(delivery)

            return failing

    worker = Worker(middleware=Failing())
    assert await worker.take(bundle("a", "b")) == ["failed, requeue"]
    assert worker.handled == ["b"]


async def test_a_part_that_is_cancelled_by_itself_has_not_ended() -> None:
    worker = Worker()
    worker.trouble["a"] = [asyncio.CancelledError()]
    assert await worker.take(bundle("a", "b")) == ["failed, requeue"]
    assert worker.handled == ["a", "b"]


async def test_a_cancellation_from_outside_ends_all_parts_and_nothing_is_told_to_the_broker() -> (
    None
):
    worker = Worker()
    stopped: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(name)

    worker.meanwhile = wait
    message: Any = FakeMessage()
    taken = parts_of(worker)
    taking = asyncio.create_task(end(message, delivery(bundle("a", "b")), taken.deliver))
    await until(lambda: len(worker.handled) == 2)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert sorted(stopped) == ["a", "b"]
    assert message.endings == []


def parts_of(worker: Worker) -> parts.Parts:
    async def deliver(part: Delivery) -> Ended:
        await worker.handle(part)
        return Ended.ACKED

    publisher: Any = worker.publisher
    return parts.Parts(deliver, publisher, at_once=5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\2{}",
        bundle("a", "b")[:-1],
        bundle("a", "b") + b"c",
        pack([Part(message_id="", kind="", content_type="x", headers={}, body=b"a")]).replace(
            b'"x"', b'"' + CONTENT_TYPE.encode() + b'"'
        ),
    ],
)
async def test_what_is_no_bundle_though_it_says_so_is_one_dead_letter_and_changes_nothing(
    body: bytes,
) -> None:
    worker = Worker()
    assert await worker.take(body) == ["ack"]
    (letter,) = worker.publisher.sent
    assert letter.body == body
    assert letter.headers["warren-reason"].startswith("no bundle: ")
    assert letter.headers["warren-content-type"] == CONTENT_TYPE
    assert worker.handled == []


async def test_a_queue_of_requests_takes_no_bundles() -> None:
    """Its handler finds what it finds in it: no signature."""
    publisher: Any = FakePublisher()
    seen: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery)
        raise UnauthenticatedError("unsigned", kind="unsigned")

    take = consuming._taking(publisher, QUEUE, handle, Middleware())
    message: Any = FakeMessage()
    message.raw_message = SimpleNamespace(
        channel=None,
        delivery_tag=1,
        headers={},
        type="",
        body=bundle("a"),
        routing_key="",
        message_id=None,
        exchange="",
        content_type=CONTENT_TYPE,
    )
    await take(message)
    assert [each.body for each in seen] == [bundle("a")]
    assert message.endings == ["ack"]
