"""Results that are not what was asked for: a client hands none of them out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from contracts import addresses, results
from contracts.client import Client, ResultTimeoutError
from contracts.coordinators import result_headers
from contracts.primitives import Curve
from contracts.requests import ADAPTER, KeygenRequest, QueryKeysRequest, Request, SignRequest
from contracts.results import KeygenResult, Result
from tests.contracts.fakes import another_key
from tests.patience import until

from . import samples
from .fakes import KEYS, FakeCoordinator, honest
from .producers import settings, sign
from .samples import PINNED, STRANGER, SingleKey, digest_of, keygen_result, sign_result

pytestmark = pytest.mark.system


def _stranger_certified(request: Request) -> Result:
    assert isinstance(request, KeygenRequest)
    key = KEYS[request.curve].made_for(request)
    forged = {**key.certificates, "p2": key.facts.certify(STRANGER)}
    return keygen_result(request, key.model_copy(update={"certificates": forged}))


def _another_threshold(request: Request) -> Result:
    assert isinstance(request, KeygenRequest)
    return keygen_result(request, KEYS[request.curve].made_for(request, threshold=3))


def _another_message(request: Request) -> Result:
    assert isinstance(request, SignRequest)
    other = request.model_copy(update={"message": b"pay the thief"})
    return sign_result(other, KEYS[Curve.ED25519], request_digest=digest_of(request))


def _another_operation(request: Request) -> Result:
    made = keygen_result(samples.keygen_request(), KEYS[Curve.ED25519].certified(key_id="treasury"))
    answers = {"request_id": request.request_id, "request_digest": digest_of(request)}
    return made.model_copy(update=answers)


def _another_client(request: Request) -> Result:
    assert isinstance(request, SignRequest)
    return sign_result(request, KEYS[Curve.ED25519], client_id="svcB")


@pytest.mark.parametrize("lie", [_stranger_certified, _another_threshold])
async def test_a_key_that_does_not_verify_is_never_handed_out(
    vhost: str, coordinator: FakeCoordinator, lie: Any
) -> None:
    coordinator.answer = lambda request: [lie(request), *honest(request)]
    async with Client.connect(settings(vhost)) as client:
        key = await client.create_key("k", curve=Curve.ED25519, threshold=2, party_count=3)
    key.verify(PINNED)
    assert key.facts.threshold == 2
    refused = results.ADAPTER.validate_json(await coordinator.dead_letter())
    assert isinstance(refused, KeygenResult)
    assert refused.key != key


@pytest.mark.parametrize(
    "lie", [another_key, _another_message, _another_operation, _another_client]
)
async def test_a_signature_that_does_not_verify_is_never_handed_out(
    vhost: str, coordinator: FakeCoordinator, lie: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: Request) -> Iterable[Result]:
        if isinstance(request, SignRequest):
            yield lie(request)
        yield from honest(request)

    coordinator.answer = answer
    with caplog.at_level(logging.WARNING, "contracts.client"):
        async with Client.connect(settings(vhost)) as client:
            done = await sign(client)
    assert done.message == b"message"
    assert done.client_id == "svcA"
    assert await coordinator.dead_letter()
    assert "refused a result of request" in caplog.text


async def test_a_call_that_got_only_lies_says_so_when_it_ends(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: [
        another_key(request) if isinstance(request, SignRequest) else honest(request)[0]
    ]
    async with Client.connect(settings(vhost, margin_s=0.2)) as client:
        await client.keys("ed25519")
        with pytest.raises(ResultTimeoutError, match="public_key is not what was asked") as caught:
            await sign(client, timeout_s=10)  # the lie comes first even to a slow machine
    assert caught.value.rejected


async def test_a_key_cannot_change_its_public_key(vhost: str, coordinator: FakeCoordinator) -> None:
    def answer(request: Request) -> Iterable[Result]:
        if isinstance(request, QueryKeysRequest):
            (true,) = honest(request)
            other = SingleKey(Curve.ED25519, secret=bytes([1]) * 32).certified(key_id="ed25519")
            yield true.model_copy(update={"keys": [other]})
        yield from honest(request)

    async with Client.connect(settings(vhost)) as client:
        await sign(client)
        coordinator.answer = answer
        (key,) = await client.keys("ed25519")
    assert key.facts.public_key == KEYS[Curve.ED25519].public_key


async def test_a_result_that_names_a_field_twice_becomes_a_dead_letter(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    """The second value would be the right one."""
    async with Client.connect(settings(vhost)) as client:
        true = (await sign(client)).model_dump_json().encode()
        doubled = true.replace(b'"message":', b'"message":"11","message":')
        assert doubled != true
        await coordinator.publish_raw(doubled, "mpc.mpc_signing_result.svcA.complete")
        assert await coordinator.dead_letter() == doubled


async def test_what_is_no_result_at_all_becomes_a_dead_letter(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        await coordinator.publish_raw(b'{"result": "sign"', "mpc.mpc_signing_result.svcA.complete")
        assert await coordinator.dead_letter() == b'{"result": "sign"'
        await sign(client)


@pytest.mark.parametrize("headers", [{}, "stranger"])
async def test_what_the_coordinator_did_not_sign_changes_nothing_and_little_of_it_is_kept(
    vhost: str, coordinator: FakeCoordinator, headers: Any
) -> None:
    coordinator.answer = lambda _: []
    address = "mpc.mpc_signing_result.svcA.complete"
    async with Client.connect(settings(vhost)) as client:
        asking = asyncio.create_task(sign(client, request_id="mine"))
        await coordinator.heard.wait()
        request = ADAPTER.validate_json(coordinator.asked[0].body)
        assert isinstance(request, SignRequest)
        true = sign_result(request, KEYS[Curve.ED25519])
        body = true.model_dump_json().encode()
        forged = result_headers(body, STRANGER) if headers == "stranger" else headers
        for _ in range(20):
            await coordinator.publish_raw(body, address, forged)
        await until(lambda: sum(client.disbelieved.values()) == 20)
        assert not asking.done()
        assert await coordinator.dead_letter() == body
        assert await coordinator.waiting(addresses.DEAD_QUEUE) <= 2
        coordinator.answer = honest
        await coordinator.publish(true, address)
        assert await asking == true


async def test_an_answer_to_other_bytes_under_the_same_id_is_not_taken(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    def answer(request: Request) -> Iterable[Result]:
        for result in honest(request):
            yield result.model_copy(update={"request_digest": bytes(32)})

    coordinator.answer = answer
    async with Client.connect(settings(vhost, margin_s=0.1)) as client:
        with pytest.raises(ResultTimeoutError):
            await sign(client, timeout_s=0.5)
