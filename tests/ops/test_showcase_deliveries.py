"""The demo's look into the queues: passes what is right, and finds each thing that is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest

from contracts import addresses
from contracts.answers import failed_result
from contracts.client import ClientSettings
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Scheme
from contracts.requests import Request, SignRequest
from contracts.results import Result
from ops.showcase import deliveries
from ops.showcase.deliveries import deliver
from ops.showcase.errors import MisdeliveredError
from tests.contracts import producers
from tests.contracts.fakes import KEYS, FakeCoordinator, honest
from tests.contracts.samples import digest_of
from tests.ops.showcase_samples import CLIENT_IDS, outcomes


def settings(url: str) -> dict[str, ClientSettings]:
    return {name: producers.settings(url, client_id) for name, client_id in CLIENT_IDS.items()}


@pytest.fixture
async def coordinator(vhost: str) -> AsyncIterator[FakeCoordinator]:
    async with (
        FakeCoordinator.running(vhost, *CLIENT_IDS.values()) as coordinator,
        await aio_pika.connect(vhost) as connection,
        connection.channel() as channel,
    ):
        await channel.declare_queue(addresses.UNCLAIMED, durable=True)
        yield coordinator


async def test_three_clients_find_their_own_results_and_nothing_else(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    delivered = await deliver(settings(vhost), outcomes())
    assert [(each.queue, each.client_id, each.scheme) for each in delivered] == [
        ("warren.results.svcA", "svcA", "ed25519"),
        ("warren.results.svcB", "svcB", "bip340"),
        ("warren.results.svcB", "svcB", "ecdsa"),
        ("warren.results.svcB", "svcB", "ecdsa"),
        ("warren.legacy-results", None, "ed25519"),
    ]
    assert len({each.request_id for each in delivered}) == 5


async def test_a_clients_results_may_come_in_any_order(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    held: list[Result] = []

    def last_first(request: Request) -> list[Result]:
        if request.client_id != "svcB":
            return honest(request)
        held[:0] = honest(request)
        return held if len(held) == 3 else []

    # They go where the third request wants its result: into the same queue.
    coordinator.answer = last_first
    delivered = await deliver(settings(vhost), outcomes())
    assert [each.scheme for each in delivered if each.client_id == "svcB"] == [
        *("ecdsa", "ecdsa", "bip340")
    ]


def _to_another(request: Request) -> list[Result]:
    return [honest(request)[0].model_copy(update={"client_id": "svcB"})]


def _to_another_request(request: Request) -> list[Result]:
    return [honest(request)[0].model_copy(update={"request_id": "an-older-one"})]


def _another_one(request: Request) -> list[Result]:
    (result,) = honest(request)
    return [result, result.model_copy(update={"finished_at": result.finished_at + 1})]


def _failure(request: Request) -> list[Result]:
    failure = Failure.of(FailureCode.EXPIRED, "nobody was there")
    return [
        failed_result(
            "sign",
            failure,
            request_id=request.request_id,
            client_id=request.client_id,
            request_digest=digest_of(request),
            finished_at=request.issued_at,
        )
    ]


def _another_signature(request: Request) -> list[Result]:
    assert isinstance(request, SignRequest)
    signature, _ = KEYS[request.scheme.curve].sign(request.scheme, bytes(32))
    return [honest(request)[0].model_copy(update={"signature": signature})]


def _of_the_parent(request: Request) -> list[Result]:
    """Of the key itself, where its child's is wanted."""
    assert isinstance(request, SignRequest)
    spoilt = honest(request.model_copy(update={"derivation_path": None}))[0]
    return [spoilt.model_copy(update={"derivation_path": request.derivation_path})]


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (_to_another, MisdeliveredError, "result of client svcB"),
        (_to_another_request, MisdeliveredError, "warren.results.svcA"),
        (_another_one, MisdeliveredError, "too many is in queue warren.results.svcA"),
        (_failure, MisdeliveredError, "nobody was there"),
        (_another_signature, ContractError, "does not verify"),
    ],
)
async def test_a_wrong_result_in_a_queue_is_found(
    vhost: str,
    coordinator: FakeCoordinator,
    answer: Callable[[Request], list[Result]],
    error: type[Exception],
    text: str,
) -> None:
    coordinator.answer = lambda request: (
        answer(request) if request.client_id == "svcA" else honest(request)
    )
    with pytest.raises(error, match=text):
        await deliver(settings(vhost), outcomes())


async def test_a_result_that_comes_again_is_no_mistake(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    # The three of svcB come between each other, the others after all is taken.
    coordinator.answer = lambda request: 3 * honest(request)
    delivered = await deliver(settings(vhost), outcomes())
    assert len({each.request_id for each in delivered}) == len(delivered) == 5


async def test_a_second_result_is_found_between_those_of_other_requests(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: (
        _another_one(request) if request.client_id == "svcB" else honest(request)
    )
    with pytest.raises(MisdeliveredError, match=r"warren\.results\.svcB got a result of client"):
        await deliver(settings(vhost), outcomes())


async def test_the_signature_of_a_childs_parent_is_found(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: (
        _of_the_parent(request)
        if isinstance(request, SignRequest) and request.scheme is Scheme.ECDSA
        else honest(request)
    )
    with pytest.raises(ContractError, match="public_key is not what was asked for"):
        await deliver(settings(vhost), outcomes())


@pytest.mark.parametrize("queue", [addresses.UNCLAIMED, addresses.DEAD_QUEUE])
async def test_a_message_that_went_astray_is_found(
    vhost: str, coordinator: FakeCoordinator, queue: str
) -> None:
    async with await aio_pika.connect(vhost) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"lost"), queue)
        with pytest.raises(MisdeliveredError, match=f"1 messages are left in queue {queue}"):
            await deliver(settings(vhost), outcomes())


async def test_a_result_that_never_comes_is_missed(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LIFETIME_S", 1)
    coordinator.answer = lambda request: [] if request.client_id is None else honest(request)
    with pytest.raises(MisdeliveredError, match=r"no result reached queue warren\.legacy-results"):
        await deliver(settings(vhost), outcomes())
