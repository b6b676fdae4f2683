"""Each row of the table in `settle`: what happened, and where the delivery goes."""

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
from workers.delivery import deliveries
from workers.delivery.deliveries import LONGEST_DELAY_S, TRIES, Delivery, settle
from workers.delivery.publisher import FullError, PublishError, UnroutableError, dead_letter
from workers.delivery.scopes import SessionOverError
from workers.store.interface import StoreUnavailableError

BODY = b"secret-body-0123456789"


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
        queue="warren.inbox.party-1",
        kind="keygen/1",
        body=BODY,
        headers={"session_id": "00" * 32, "x-death": [{"count": 1}], "signature": "s" * 900},
        routing_key="party-1",
        message_id="message-1",
        attempts=attempts,
        exchange="warren.rounds",
        content_type="application/x-warren-envelope",
    )


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

    await settle(message, delivery(attempts=attempts), handle, publisher)
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


@pytest.mark.parametrize("error", [UnroutableError("no queue"), FullError("full")])
async def test_a_message_that_one_queue_does_not_take_holds_no_place(
    pauses: list[float], error: PublishError
) -> None:
    endings, _ = await settled(error)
    assert endings == ["requeue"]
    assert len(pauses) == 1


async def test_a_bug_gives_the_delivery_back_and_logs_where_but_not_what(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        endings, publisher = await settled(KeyError("field"))
    assert endings == ["requeue"]
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

    task = asyncio.create_task(settle(message, delivery(), handle, publisher))
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
    task = asyncio.create_task(settle(message, delivery(), handle, publisher))
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
        (ValueError("a fault of ours"), "returned"),
    ],
)
async def test_each_end_of_a_delivery_is_counted(
    error: Exception | None, outcome: str, pauses: list[float]
) -> None:
    def count() -> float:
        labels = {"queue": "warren.inbox.party-1", "outcome": outcome}
        return metrics.REGISTRY.get_sample_value("warren_deliveries_total", labels) or 0.0

    before = count()
    await settled(error)
    assert count() == before + 1
