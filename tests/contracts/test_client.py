"""A client's calls, against a real broker and a coordinator that answers by script."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import aio_pika
import pytest

from contracts.admission import open_request
from contracts.client import Client, ClientClosedError, RequestFailedError, ResultTimeoutError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from contracts.requests import Request
from contracts.results import Result
from contracts.signing import signature_of

from .fakes import KEYS, FakeCoordinator, honest
from .producers import settings, sign, signed_request
from .samples import policies

pytestmark = pytest.mark.system


###
### Answers
###


async def test_a_key_is_made_and_signs_in_every_scheme(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        for scheme in Scheme:
            key_id = f"{scheme.curve}-{scheme}"
            key = await client.create_key(key_id, curve=scheme.curve, threshold=2, party_count=3)
            made_by = hashlib.sha256(coordinator.asked[-1].body).digest()
            expected = KEYS[scheme.curve].facts(key_id=key_id, request_digest=made_by)
            assert key.facts == expected
            message = bytes(32)
            done = await client.sign(key_id, message=message, scheme=scheme)
            assert (done.message, done.key_id) == (message, key_id)
        tweaked = await client.sign(
            "secp256k1-bip340", message=message, scheme=Scheme.BIP340, taproot_merkle_root=b""
        )
        assert tweaked.public_key != done.public_key


async def test_a_failure_is_raised_with_all_it_says(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        for call in (client.cancel("r0"), client.session(request_id="r0")):
            with pytest.raises(RequestFailedError, match="nothing of that id") as caught:
                await call
            assert caught.value.failure.code is FailureCode.UNKNOWN_REQUEST
            assert caught.value.result.failure == caught.value.failure


async def test_many_first_signatures_fetch_the_key_once(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        await asyncio.gather(*(sign(client, bytes([at])) for at in range(10)))
    kinds = [message.type for message in coordinator.asked]
    assert kinds.count("query_keys") == 1
    assert kinds.count("sign") == 10


###
### Requests
###


async def test_a_request_says_everything_the_contract_asks_for(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        await client.create_key("k", curve=Curve.ED25519, threshold=2, party_count=3)
    (message,) = coordinator.asked
    signed = open_request(message.body, signature_of(message.headers), policies())
    assert message.message_id == signed.request.request_id
    assert message.type == "keygen"
    assert message.content_type == "application/json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.user_id == urlsplit(vhost).username
    assert message.routing_key == "mpc.keygen_request.svcA"
    assert dict(message.headers) == signed.headers()
    assert message.expiration is not None


async def test_one_wish_of_two_processes_is_two_requests_even_in_the_same_millisecond(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    monkeypatch.setattr("contracts.client.caller.time.time_ns", lambda: now)
    for _ in range(2):
        async with Client.connect(settings(vhost)) as client:
            await client.create_key(
                "k", curve=Curve.ED25519, threshold=2, party_count=3, request_id="mine"
            )
    first, second = (json.loads(message.body) for message in coordinator.asked)
    assert first.pop("salt") != second.pop("salt")
    assert first == second


async def test_arguments_that_no_request_can_have_never_reach_the_broker(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        with pytest.raises(ValueError, match="key_id"):
            await client.create_key("a.b", curve=Curve.ED25519, threshold=2, party_count=3)
        with pytest.raises(ValueError, match="threshold 3 is more than party_count 2"):
            await client.create_key("k", curve=Curve.ED25519, threshold=3, party_count=2)
        with pytest.raises(ValueError, match="exactly 32 bytes"):
            await client.sign("k", message=b"short", scheme=Scheme.BIP340)
        with pytest.raises(ValueError, match="another client's"):
            await client.submit(signed_request(client_id="svcB"))
    assert coordinator.asked == []


async def test_an_expired_request_is_not_published(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    now = time.time_ns() // 1_000_000
    old = signed_request(issued_at=now - 60_000, expires_at=now - 30_000)
    async with Client.connect(settings(vhost)) as client:
        with pytest.raises(ResultTimeoutError):
            await client.submit(old)
    assert coordinator.asked == []


async def test_a_request_without_an_answer_is_asked_again_with_the_same_bytes(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    def deaf_at_first(request: Request) -> Iterable[Result]:
        return honest(request) if len(coordinator.asked) > 2 else []

    coordinator.answer = deaf_at_first
    async with Client.connect(settings(vhost, ask_again_s=0.05)) as client:
        await client.create_key("ed25519", curve=Curve.ED25519, threshold=2, party_count=3)
    assert len({message.body for message in coordinator.asked}) == 1
    assert len(coordinator.asked) > 2


async def test_submitting_the_same_request_again_gets_its_result_again(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    signed = signed_request()
    async with Client.connect(settings(vhost)) as client:
        first = await client.submit(signed)
        assert await client.submit(signed) == first
    bodies = {message.body for message in coordinator.asked if message.type == "sign"}
    assert bodies == {signed.body}


async def test_a_request_is_waited_for_once_at_a_time(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda _: []
    signed = signed_request()
    async with Client.connect(settings(vhost)) as client:
        first = asyncio.create_task(client.submit(signed))
        await coordinator.heard.wait()
        with pytest.raises(ValueError, match="waited for already"):
            await client.submit(signed)
        first.cancel()


###
### Ends
###


async def test_a_wait_ends_with_the_deadline_and_names_the_request(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda _: []
    async with Client.connect(settings(vhost, margin_s=0.1)) as client:
        with pytest.raises(ResultTimeoutError, match="request mine") as caught:
            await sign(client, timeout_s=0.2, request_id="mine")
    assert caught.value.request_id == "mine"


async def test_closing_ends_what_waits(vhost: str, coordinator: FakeCoordinator) -> None:
    coordinator.answer = lambda _: []
    async with Client.connect(settings(vhost)) as client:
        waiting = asyncio.create_task(sign(client))
        reading = asyncio.create_task(anext(client.results(), None))
        await coordinator.heard.wait()
    with pytest.raises(ClientClosedError):
        await waiting
    assert await reading is None
    with pytest.raises(ClientClosedError):
        await sign(client)
