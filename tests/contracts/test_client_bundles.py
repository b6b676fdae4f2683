"""Signatures that come several in one message: who gets them so, and what becomes of each."""

from __future__ import annotations

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses, bundles
from contracts.client import Client
from contracts.client import link as link_module
from contracts.client.parcels import Enclosed, Parcel
from contracts.coordinators import result_headers
from contracts.errors import UnauthenticatedError
from contracts.hand import Hand
from contracts.requests import ADAPTER, QueryKeysRequest, SignRequest
from contracts.results import Result, SignResult
from tests.patience import until

from .fakes import FakeCoordinator, honest
from .producers import settings, sign, signed_request
from .samples import COORDINATOR, STRANGER

KEY = addresses.bundled_key("svcA")


def part(result: Result, **changes: Any) -> bundles.Part:
    body = result.model_dump_json().encode()
    fields: dict[str, Any] = {
        "message_id": result.request_id,
        "kind": "sign",
        "content_type": "application/json",
        "headers": result_headers(body, COORDINATOR),
        "body": body,
    }
    return bundles.Part(**(fields | changes))


async def send(coordinator: FakeCoordinator, body: bytes, key: str = KEY) -> None:
    exchange = await coordinator._channel.get_exchange(addresses.RESULTS, ensure=False)
    message = aio_pika.Message(body, content_type=bundles.CONTENT_TYPE, type=bundles.KIND)
    await exchange.publish(message, key)


async def alone(client: Client) -> None:
    """When it has found out."""
    await until(lambda: client._correspondence.takes_bundles)


class Gathering:
    """Answers nobody before so many have asked, and then all of them in one message."""

    def __init__(self, coordinator: FakeCoordinator, count: int) -> None:
        self.requests: list[SignRequest] = []
        self.spoilt: dict[bytes, dict[str, Any]] = {}
        """By the message that is to be signed, what is wrong with its part."""
        self._coordinator = coordinator
        self._count = count
        self._sending: set[asyncio.Task[None]] = set()
        coordinator.answer = self._answer

    def _answer(self, request: Any) -> list[Result]:
        if not isinstance(request, SignRequest):
            return honest(request)
        self.requests.append(request)
        if len(self.requests) == self._count:
            body = bundles.pack([self._part(each) for each in self.requests])
            self._sending.add(asyncio.ensure_future(send(self._coordinator, body)))
        return []

    def _part(self, request: SignRequest) -> bundles.Part:
        return part(honest(request)[-1], **self.spoilt.get(bytes(request.message or b""), {}))


@pytest.mark.system
async def test_a_client_that_reads_alone_says_so_and_gets_its_signatures_together(
    vhost: str,
) -> None:
    async with (
        FakeCoordinator.running(vhost, "svcA") as coordinator,
        Client.connect(settings(vhost)) as client,
    ):
        await alone(client)
        gathering = Gathering(coordinator, 3)
        done = await asyncio.gather(*(sign(client, bytes([at])) for at in range(3)))
        assert {request.reply_to for request in gathering.requests} == {KEY}
        queue = addresses.results_queue("svcA")
        left = await coordinator.waiting(queue), await coordinator.waiting(addresses.DEAD_QUEUE)
    assert [result.message for result in done] == [bytes([at]) for at in range(3)]
    assert left == (0, 0)
    async with FakeCoordinator.running(vhost, "svcA") as coordinator:
        assert await coordinator.waiting(queue) == 0  # nothing went back


@pytest.mark.system
async def test_other_operations_and_other_clients_ask_as_before(vhost: str) -> None:
    async with FakeCoordinator.running(vhost, "svcA", "svcB", None) as coordinator:
        for made in settings(vhost, None), settings(vhost, "svcB", bundles=False):
            async with Client.connect(made) as client:
                assert await client._correspondence._link.consumer_count() == 1
                assert not client._correspondence.takes_bundles
                await sign(client)
        async with Client.connect(settings(vhost)) as client:
            await alone(client)
            request = client._request(QueryKeysRequest, 5.0, None)
    keys = [each.reply_to for each in map(request_of, coordinator.asked) if each is not None]
    assert keys == ["mpc.mpc_signing_result.complete", "mpc.mpc_signing_result.svcB.complete"]
    assert addresses.misaddressed(request) is None
    assert request.reply_to.endswith(request.request_id)


@pytest.mark.system
async def test_of_two_that_read_a_queue_none_says_that_it_takes_bundles(
    vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ALONE_FOR_S", 0.05)
    async with (
        FakeCoordinator.running(vhost, "svcA"),
        Client.connect(settings(vhost)) as first,
    ):
        await alone(first)
        async with Client.connect(settings(vhost)) as second:
            await until(lambda: not first._correspondence.takes_bundles)
            assert await second._correspondence._link.consumer_count() == 2
            assert not second._correspondence.takes_bundles
        await alone(first)


@pytest.mark.system
async def test_who_rests_or_has_lost_its_connection_is_not_alone(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, "svcA"),
        Client.connect(settings(vhost)) as client,
    ):
        await alone(client)
        link = client._correspondence._link
        assert await link.rest(lambda: False)
        assert not link.alone
        assert await link.consumer_count() == 0
        assert not link.alone
        await link.listen()
        assert not link.alone
        await alone(client)
        assert link._connection is not None
        await link._connection.close()
        await until(lambda: not link.alone)
        await alone(client)


@pytest.mark.system
async def test_each_part_is_believed_or_refused_by_itself(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, "svcA") as coordinator,
        Client.connect(settings(vhost)) as client,
    ):
        await alone(client)
        gathering = Gathering(coordinator, 3)
        good = honest(signed_request(message=b"\1").request)[-1].model_dump_json().encode()
        gathering.spoilt[b"\1"] = {"headers": result_headers(good, STRANGER)}
        calls = [asyncio.ensure_future(sign(client, bytes([at]))) for at in range(3)]
        done = await asyncio.gather(calls[0], calls[2])
        assert [result.message for result in done] == [b"\0", b"\2"]
        dead = await coordinator.dead_letter()
        assert len(bundles.unpack(dead)) == 3
        assert client.disbelieved == {"wrong_signature": 1}
        assert not calls[1].done()
        calls[1].cancel()
        await asyncio.gather(calls[1], return_exceptions=True)


@pytest.mark.system
async def test_a_part_that_nobody_waits_for_is_kept_for_a_reader(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, "svcA") as coordinator,
        Client.connect(settings(vhost)) as client,
    ):
        await alone(client)
        await sign(client, b"\1")
        (asked,) = (each for each in map(request_of, coordinator.asked) if each is not None)
        other = signed_request(message=b"\2").request
        parts = [part(honest(each)[-1]) for each in (asked, other)]
        await send(coordinator, bundles.pack(parts))
        result = await anext(client.results())
        assert isinstance(result, SignResult)
        assert result.message == b"\2"


def request_of(message: AbstractIncomingMessage) -> SignRequest | None:
    request = ADAPTER.validate_json(message.body)
    return request if isinstance(request, SignRequest) else None


@pytest.mark.system
@pytest.mark.parametrize("body", [b"", b"\0\0\0\2{}", b"\0\0\0\0"])
async def test_what_is_no_bundle_though_it_says_so_is_a_dead_letter(
    vhost: str, body: bytes
) -> None:
    async with (
        FakeCoordinator.running(vhost, "svcA") as coordinator,
        Client.connect(settings(vhost)) as client,
    ):
        await send(coordinator, body)
        assert await coordinator.dead_letter() == body
        assert client.disbelieved == {"malformed": 1}
        assert (await sign(client)).message == b"message"


###
### The bundle in hand
###


class FakeDelivery:
    def __init__(self, *names: str, headers: dict[str, Any] | None = None) -> None:
        self.body = bundles.pack(
            [
                bundles.Part(
                    message_id=name,
                    kind="sign",
                    content_type="x",
                    headers={"signature": name, "x-delivery-count": "9"},
                    body=name.encode(),
                )
                for name in names
            ]
        )
        self.headers = headers or {}
        self.redelivered = bool(headers)
        self.delivery_tag = 7
        self.endings: list[str] = []

    async def ack(self, multiple: bool = False) -> None:
        self.endings.append(f"ack {multiple}")

    async def reject(self, requeue: bool = False) -> None:
        self.endings.append(f"reject {requeue}")

    async def nack(self, multiple: bool = False, requeue: bool = True) -> None:
        self.endings.append(f"nack {multiple} {requeue}")


def in_hand(delivery: FakeDelivery) -> tuple[Hand, tuple[Enclosed, ...]]:
    hand = Hand()
    anything: Any = delivery
    hand.take(anything)
    return hand, Parcel(anything, hand).parts


@pytest.mark.parametrize(
    ("ways", "ending"),
    [
        ("aaa", "ack False"),
        ("ara", "reject False"),
        ("nra", "nack False True"),
        ("arn", "nack False True"),
        ("ann", "nack False True"),
        ("rrr", "reject False"),
    ],
)
async def test_a_bundle_is_settled_with_its_last_part_and_goes_back_if_one_does(
    ways: str, ending: str
) -> None:
    delivery = FakeDelivery("one", "two", "three")
    hand, parts = in_hand(delivery)
    for enclosed, way in zip(parts, ways, strict=True):
        assert delivery.endings == []
        match way:
            case "a":
                await hand.ack(enclosed)
            case "r":
                await hand.reject(enclosed)
            case "n":
                await hand.give_back([enclosed])
    assert delivery.endings == [ending]
    assert hand._open == {}


async def test_many_parts_that_go_back_at_once_take_nothing_else_along() -> None:
    delivery = FakeDelivery("one", "two", "three")
    hand, parts = in_hand(delivery)
    await hand.give_back(parts[:2])
    assert delivery.endings == []
    await hand.ack(parts[2])
    assert delivery.endings == ["nack False True"]


async def test_parts_that_are_dropped_are_acknowledged_with_the_bundle() -> None:
    delivery = FakeDelivery("one", "two")
    hand, parts = in_hand(delivery)
    for enclosed in parts:
        hand.drop(enclosed)
    await until(lambda: bool(delivery.endings))
    assert delivery.endings == ["ack False"]


async def test_a_part_has_its_own_headers_and_how_often_the_bundle_came() -> None:
    _, (enclosed,) = in_hand(FakeDelivery("one", headers={"x-delivery-count": 3, "else": "no"}))
    assert enclosed.headers == {"signature": "one", "x-delivery-count": 3}
    assert (enclosed.redelivered, enclosed.delivery_tag) == (True, 7)
    _, (enclosed,) = in_hand(FakeDelivery("one"))
    assert (enclosed.body, enclosed.redelivered) == (b"one", False)


async def test_what_is_no_bundle_has_no_parts() -> None:
    delivery = FakeDelivery("one")
    delivery.body = delivery.body[:-1]
    with pytest.raises(UnauthenticatedError):
        in_hand(delivery)
