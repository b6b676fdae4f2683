"""Workers that do wrong with deliveries and messages, when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contracts import addresses
from contracts.identity import Identity
from ops.chaos import disobedience as disobedient
from ops.chaos.disobedience import disobedience, sent
from ops.chaos.faults import Kind
from ops.chaos.orders import Obedience, OrderBook, Orders
from workers.delivery.deliveries import Delivery, Ended
from workers.store.records import Outgoing

DELIVERIES = 300
Take = Callable[[Orders], Awaitable[list[Ended]]]


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    return OrderBook(tmp_path / "orders")


@pytest.fixture
def handled() -> list[Delivery]:
    return []


@pytest.fixture
def took(book: OrderBook, handled: list[Delivery], monkeypatch: pytest.MonkeyPatch) -> Take:
    """How many deliveries end, under such orders; nothing comes as late as it would."""
    monkeypatch.setattr(disobedient, "LATE_S", 0.01)

    async def deliver(delivery: Delivery) -> Ended:
        handled.append(delivery)
        return Ended.ACKED

    async def take(orders: Orders) -> list[Ended]:
        book.give("party-1", orders)
        middleware = disobedience(Obedience(book.directory, "party-1.1"))
        through = middleware.around_deliveries("warren.inbox.party-1", deliver)
        return await asyncio.gather(*(through(delivery(each)) for each in range(DELIVERIES)))

    return take


def delivery(number: int, *, kind: str = "keygen/1") -> Delivery:
    return Delivery(
        queue="warren.inbox.party-1",
        kind=kind,
        body=b"body",
        headers={},
        routing_key="party-1",
        message_id=str(number),
        attempts=0,
    )


async def test_without_orders_every_delivery_is_handled_once(
    took: Take, handled: list[Delivery]
) -> None:
    assert await took(Orders()) == [Ended.ACKED] * DELIVERIES
    assert len(handled) == DELIVERIES


async def test_what_is_lost_is_acknowledged_and_never_handled(
    took: Take, handled: list[Delivery], book: OrderBook
) -> None:
    assert await took(Orders(loss=True)) == [Ended.ACKED] * DELIVERIES
    assert 0 < book.felt("party-1") == DELIVERIES - len(handled)


async def test_in_bad_weather_some_deliveries_go_back_unhandled_and_others_come_twice(
    took: Take, handled: list[Delivery]
) -> None:
    ended = await took(Orders(weather=True))
    went_back = {str(at) for at, each in enumerate(ended) if each is Ended.RETURNED}
    times = [each.message_id for each in handled]
    assert 0 < len(went_back) < DELIVERIES / 4
    assert went_back.isdisjoint(times)
    assert set(times) | went_back == {str(number) for number in range(DELIVERIES)}
    assert {times.count(each) for each in set(times)} == {1, 2}


@pytest.mark.parametrize(
    ("sends", "ended", "dies"),
    [(True, Ended.ACKED, True), (False, Ended.ACKED, False), (True, Ended.RETURNED, False)],
)
async def test_a_worker_dies_with_what_it_has_sent_and_not_acknowledged(
    book: OrderBook, monkeypatch: pytest.MonkeyPatch, sends: bool, ended: Ended, dies: bool
) -> None:
    died: list[Kind] = []
    obedience = Obedience(book.directory, "party-1.1")
    monkeypatch.setattr(obedience, "die_at", died.append)

    async def deliver(_: Delivery) -> Ended:
        sent.set(sends)
        return ended

    through = disobedience(obedience).around_deliveries("warren.inbox.party-1", deliver)
    assert await through(delivery(1)) is ended
    assert died == [Kind.AFTER_PUBLISH] * dies


async def test_a_silent_worker_publishes_nothing_and_says_so_to_the_harness(
    book: OrderBook,
) -> None:
    written: list[Outgoing] = []

    async def publish(message: Outgoing) -> None:
        written.append(message)

    obedience = Obedience(book.directory, "party-1.1")
    through = disobedience(obedience, Identity.generate()).around_publishing(publish)
    message = Outgoing(
        exchange=addresses.ROUNDS,
        routing_key="party-2",
        kind="keygen/1",
        content_type="application/octet-stream",
        message_id="1",
        body=b"body",
        headers={},
    )
    await through(message)
    book.give("party-1", Orders(silent=True))
    obedience.look()
    await through(message)
    assert written == [message]
    assert book.felt("party-1") == 1
