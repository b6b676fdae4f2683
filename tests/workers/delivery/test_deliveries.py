"""Each row of the table in `settle`: what happened, and where the delivery goes; and around it all,
middleware."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import addresses
from contracts.errors import ContractError, InvalidRequestError
from tests.workers.doubles import FakeMessage, FakePublisher
from workers import metrics
from workers.delivery import consuming, deliveries
from workers.delivery.consuming import end
from workers.delivery.deliveries import (
    LONGEST_DELAY_S,
    TRIES,
    Deliver,
    Delivery,
    Ended,
    Handler,
    settle,
)
from workers.delivery.middleware import Chain, Middleware
from workers.delivery.publisher import FullError, PublishError, UnroutableError, dead_letter
from workers.delivery.scopes import SessionOverError
from workers.delivery.strangers import Strangers
from workers.store.interface import StoreUnavailableError

BODY = b"secret-body-0123456789"
QUEUE = "warren.inbox.party-1"
METERED = metrics.Metered()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing waits; how long it would have is kept."""
    kept: list[float] = []

    async def sleep(seconds: float) -> None:
        kept.append(seconds)

    monkeypatch.setattr(deliveries, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(deliveries, "random", SimpleNamespace(uniform=lambda low, high: high))
    return kept


def delivery(*, attempts: int = 0) -> Delivery:
    return Delivery(
        queue=QUEUE,
        kind="keygen/1",
        body=BODY,
        headers={"session_id": "00" * 32, "x-death": [{"count": 1}], "signature": "s" * 900},
        routing_key="party-1",
        message_id="message-1",
        attempts=attempts,
        exchange="warren.rounds",
        content_type="application/x-warren-envelope",
    )


async def consumed(
    message: Any,
    publisher: Any,
    handle: Handler,
    *,
    attempts: int = 0,
    middleware: Middleware = METERED,
    strangers: Strangers | None = None,
) -> None:
    """As a subscription does it."""

    async def deliver(delivery: Delivery) -> Ended:
        return await settle(delivery, handle, publisher, strangers or Strangers(QUEUE))

    deliver_through = middleware.around_deliveries(QUEUE, deliver)
    await end(message, delivery(attempts=attempts), deliver_through)


async def settled(
    *errors: BaseException | None,
    trouble: list[BaseException] | None = None,
    attempts: int = 0,
) -> tuple[list[str], FakePublisher]:
    """How a delivery ends whose handler raises these, one after another, the last for ever."""
    message: Any = FakeMessage()
    publisher: Any = FakePublisher(trouble=trouble or [])
    left = list(errors)

    async def handle(_: Delivery) -> None:
        error = left.pop(0) if len(left) > 1 else left[0]
        if error is not None:
            raise error

    await consumed(message, publisher, handle, attempts=attempts)
    return message.endings, publisher


async def test_what_went_well_is_acknowledged() -> None:
    endings, publisher = await settled(None)
    assert endings == ["ack"]
    assert publisher.sent == []


async def test_work_for_a_session_that_is_over_is_acknowledged() -> None:
    endings, publisher = await settled(SessionOverError())
    assert endings == ["ack"]
    assert publisher.sent == []


async def test_what_is_not_ours_goes_to_the_dead_letters_with_the_reason() -> None:
    endings, publisher = await settled(ContractError("wrong signature"))
    assert endings == ["ack"]
    (letter,) = publisher.sent
    assert letter.exchange == addresses.DEAD
    assert letter.routing_key == "warren.inbox.party-1"
    assert letter.body == BODY
    assert letter.message_id == "message-1"
    assert letter.headers["warren-reason"] == "wrong signature"
    assert letter.headers["warren-queue"] == "warren.inbox.party-1"
    assert letter.headers["warren-routing-key"] == "party-1"
    assert letter.headers["warren-exchange"] == "warren.rounds"
    assert letter.headers["warren-kind"] == "keygen/1"
    assert letter.headers["warren-content-type"] == "application/x-warren-envelope"
    refused_at = datetime.fromisoformat(letter.headers["warren-refused-at"])
    assert abs(datetime.now(UTC) - refused_at) < timedelta(minutes=1)
    assert letter.headers["session_id"] == "00" * 32
    assert "x-death" not in letter.headers
    assert all(len(value) <= 1_000 for value in letter.headers.values())


async def test_a_dead_letter_of_a_long_reason_is_cut_rather_than_refused_by_the_broker() -> None:
    _, publisher = await settled(ContractError("x" * 5_000))
    assert len(publisher.sent[0].headers["warren-reason"]) == 1_000


def test_a_dead_letter_keeps_no_more_headers_than_its_frame_has_room_for() -> None:
    """The broker ends the connection of whoever sends a frame of more than 128 KiB."""
    theirs = {f"{number:x}": "yyyyyyyy" for number in range(7_000)}
    letter = dead_letter(body=b"", headers=theirs, routing_key="k", reason="r", source="q")
    assert letter.headers["warren-reason"] == "r"
    assert 0 < sum(len(name) + len(value) for name, value in letter.headers.items()) < 32_768


async def test_an_invalid_request_that_a_handler_did_not_answer_is_a_dead_letter() -> None:
    error = InvalidRequestError("bad", operation="sign", request_id="r", client_id=None)
    endings, publisher = await settled(error)
    assert (endings, len(publisher.sent)) == (["ack"], 1)


@pytest.mark.parametrize("trouble", [PublishError("broker away"), UnroutableError("no queue")])
async def test_a_message_is_given_back_while_its_dead_letter_cannot_leave(
    pauses: list[float], trouble: PublishError
) -> None:
    endings, publisher = await settled(ContractError("wrong"), trouble=[trouble])
    assert endings == ["requeue"]
    assert publisher.sent == []
    assert len(pauses) == 1


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), PublishError("broker away")])
async def test_a_delivery_is_held_through_a_short_outage(
    pauses: list[float], error: Exception
) -> None:
    endings, _ = await settled(error, error, None)
    assert endings == ["ack"]
    assert pauses == [0.2, 0.4]


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), PublishError("broker away")])
async def test_a_delivery_goes_back_after_a_long_outage_and_ever_more_slowly(
    pauses: list[float], error: Exception
) -> None:
    endings, _ = await settled(error, attempts=3)
    assert endings == ["requeue"]
    held, given_back = pauses[:TRIES], pauses[TRIES:]
    assert held == sorted(held)
    assert held[0] == pytest.approx(0.2)
    assert held[-1] == LONGEST_DELAY_S
    assert given_back == [pytest.approx(1.6)]


async def test_no_delivery_waits_longer_than_the_ceiling(pauses: list[float]) -> None:
    await settled(RuntimeError("bug"), attempts=500)
    assert pauses == [LONGEST_DELAY_S]


@pytest.mark.parametrize(
    ("error", "ending"),
    [(UnroutableError("no queue"), "failed, requeue"), (FullError("full"), "requeue")],
)
async def test_a_message_that_one_queue_does_not_take_holds_no_place(
    pauses: list[float], error: PublishError, ending: str
) -> None:
    endings, _ = await settled(error)
    assert endings == [ending]
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (StoreUnavailableError("away"), "requeue"),
        (PublishError("broker away"), "requeue"),
        (FullError("full"), "requeue"),
        (UnroutableError("no queue"), "failed, requeue"),
        (KeyError("field"), "failed, requeue"),
    ],
)
async def test_only_what_may_be_the_messages_own_fault_counts_as_failed(
    pauses: list[float], error: Exception, ending: str
) -> None:
    """From RabbitMQ 4.3 on a nack is for ever, and a reject up to the queue's delivery limit."""
    endings, _ = await settled(error)
    assert endings == [ending]


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({}, 0),
        ({"x-delivery-count": 3}, 3),
        ({"x-delivery-count": 3, "x-acquired-count": 8}, 8),
        ({"x-acquired-count": 8}, 8),
        ({"x-acquired-count": "8", "x-delivery-count": 3}, 3),
    ],
)
def test_the_pace_goes_by_all_deliveries_where_the_broker_counts_them(
    headers: dict[str, Any], attempts: int
) -> None:
    """From RabbitMQ 4.3 on what was not the message's fault is in one of the two counts only."""
    raw = SimpleNamespace(
        headers=headers,
        type="",
        body=b"",
        routing_key="",
        message_id=None,
        exchange="",
        content_type=None,
    )
    message: Any = SimpleNamespace(raw_message=raw)
    assert consuming._delivery(QUEUE, message).attempts == attempts


async def test_a_bug_gives_the_delivery_back_and_logs_where_but_not_what(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        endings, publisher = await settled(KeyError("field"))
    assert endings == ["failed, requeue"]
    assert publisher.sent == []
    (record,) = (each for each in caplog.records if each.name == deliveries.__name__)
    assert record.levelno == logging.ERROR
    assert vars(record)["queue"] == "warren.inbox.party-1"
    shown = caplog.text + "".join(str(vars(each)) for each in caplog.records)
    assert BODY.decode() not in shown
    assert "s" * 900 not in shown


async def test_a_cancellation_from_outside_leaves_the_delivery_to_the_broker() -> None:
    message: Any = FakeMessage()
    publisher: Any = FakePublisher()
    started = asyncio.Event()

    async def handle(_: Delivery) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(consumed(message, publisher, handle))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert message.endings == []
    assert publisher.sent == []


async def test_a_cancellation_while_a_delivery_is_held_leaves_it_to_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message: Any = FakeMessage()
    publisher: Any = FakePublisher()
    paused = asyncio.Event()

    async def pause(_: int) -> None:
        paused.set()
        await asyncio.Event().wait()

    async def handle(_: Delivery) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(deliveries, "_pause", pause)
    task = asyncio.create_task(consumed(message, publisher, handle))
    await paused.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert message.endings == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "acked"),
        (SessionOverError(), "over"),
        (ContractError("not ours"), "refused"),
        (ValueError("a fault of ours"), "failed"),
        (FullError("its queue is full"), "returned"),
    ],
)
async def test_each_end_of_a_delivery_is_counted(
    error: Exception | None, outcome: str, pauses: list[float]
) -> None:
    before, timed = counted(outcome), sample("warren_delivery_seconds_count")
    await settled(error)
    assert counted(outcome) == before + 1
    assert sample("warren_delivery_seconds_count") == timed + 1
    assert sample("warren_deliveries_in_hand") == 0


def counted(outcome: str) -> float:
    return sample("warren_deliveries_total", outcome=outcome)


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, {"queue": QUEUE, **labels}) or 0.0


async def test_what_was_to_be_refused_and_goes_back_is_counted_as_what_goes_back(
    pauses: list[float],
) -> None:
    before = counted("refused"), counted("returned")
    await settled(ContractError("wrong"), trouble=[PublishError("broker away")])
    assert (counted("refused"), counted("returned")) == (before[0], before[1] + 1)


###
### Middleware
###


class Noted(Middleware):
    """Notes when a delivery comes by, and how it ended."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        self._notes.append(f"{self._name}: {queue}")

        async def noted(delivery: Delivery) -> Ended:
            self._notes.append(f"{self._name}: in")
            ended = await deliver(delivery)
            self._notes.append(f"{self._name}: {ended}")
            return ended

        return noted


async def nothing_comes(_: Delivery) -> Ended:
    raise AssertionError


async def test_the_first_middleware_is_outermost_and_the_broker_hears_last(
    pauses: list[float],
) -> None:
    notes: list[str] = []
    message: Any = FakeMessage(endings=notes)
    publisher: Any = FakePublisher()
    away = [StoreUnavailableError("away")]

    async def handle(_: Delivery) -> None:
        notes.append("handled")
        if away:
            raise away.pop()

    chain = Chain(Noted("outer", notes), Noted("inner", notes))
    await consumed(message, publisher, handle, middleware=chain)
    assert notes == [
        f"inner: {QUEUE}",
        f"outer: {QUEUE}",
        "outer: in",
        "inner: in",
        "handled",
        "handled",
        "inner: acked",
        "outer: acked",
        "ack",
    ]


def test_what_a_middleware_leaves_alone_costs_nothing() -> None:
    async def publish(_: object) -> None: ...

    chain = Chain(Middleware(), Chain(), Middleware())
    assert chain.around_deliveries(QUEUE, nothing_comes) is nothing_comes
    assert chain.around_publishing(publish) is publish


class Dropping(Middleware):
    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        async def dropped(_: Delivery) -> Ended:
            return self._ended

        return dropped


@pytest.mark.parametrize(
    ("ended", "ending"),
    [
        (Ended.ACKED, "ack"),
        (Ended.OVER, "ack"),
        (Ended.REFUSED, "ack"),
        (Ended.RETURNED, "requeue"),
        (Ended.FAILED, "failed, requeue"),
    ],
)
async def test_a_middleware_ends_a_delivery_without_its_handler(ended: Ended, ending: str) -> None:
    message: Any = FakeMessage()
    deliver = Dropping(ended).around_deliveries(QUEUE, nothing_comes)
    await end(message, delivery(), deliver)
    assert message.endings == [ending]


class Failing(Middleware):
    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        async def failing(_: Delivery) -> Ended:
            raise KeyError("field")

        return failing


async def test_a_middleware_that_fails_gives_the_delivery_back_and_the_log_says_where(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    message: Any = FakeMessage()
    await end(message, delivery(), Failing().around_deliveries(QUEUE, nothing_comes))
    assert message.endings == ["failed, requeue"]
    assert len(pauses) == 1
    (record,) = caplog.records
    assert (record.message, vars(record)["queue"]) == ("middleware failed", QUEUE)
    assert record.exc_info is not None
