"""The client library against a real broker and a coordinator that answers by script."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses, results
from contracts.client import (
    BrokerUnavailableError,
    Client,
    ClientClosedError,
    ClientSettings,
    RequestFailedError,
    ResultTimeoutError,
    TopologyError,
)
from contracts.client.link import Link
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from contracts.requests import KeygenRequest, QueryKeysRequest, Request, SignRequest
from contracts.results import KeygenResult, Result, SignResult
from contracts.signing import SignedRequest, open_request, sign_request, signature_of
from ops.stack.services import Services

from . import samples
from .fakes import KEYS, FakeCoordinator, Network, honest
from .samples import CLIENT, PINNED, STRANGER, SingleKey, keygen_result, policies, sign_result

pytestmark = pytest.mark.system


def settings(url: str, client_id: str | None = "svcA", **changes: Any) -> ClientSettings:
    given = ClientSettings(amqp_url=url, client_id=client_id, identity=CLIENT, parties=PINNED)
    return dataclasses.replace(given, **changes)


@pytest.fixture
async def coordinator(vhost: str) -> AsyncIterator[FakeCoordinator]:
    async with FakeCoordinator.running(vhost, "svcA") as running:
        yield running


async def sign(client: Client, message: bytes = b"message", **more: Any) -> SignResult:
    return await client.sign("ed25519", message=message, scheme=Scheme.ED25519, **more)


async def eventually(happened: Callable[[], bool]) -> None:
    for _ in range(500):
        if happened():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen")


def signed_request(**changes: Any) -> SignedRequest:
    given = {"request_id": secrets.token_hex(8), "key_id": "ed25519", **changes}
    return sign_request(samples.sign_request(**given), CLIENT)


async def test_a_key_is_made_and_signs_in_every_scheme(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        for scheme in Scheme:
            key_id = f"{scheme.curve}-{scheme}"
            key = await client.create_key(key_id, curve=scheme.curve, threshold=2, party_count=3)
            assert key.facts == KEYS[scheme.curve].facts(key_id=key_id)
            message = bytes(32)
            done = await client.sign(key_id, message=message, scheme=scheme)
            assert (done.message, done.key_id) == (message, key_id)
        tweaked = await client.sign(
            "secp256k1-bip340", message=message, scheme=Scheme.BIP340, taproot_merkle_root=b""
        )
        assert tweaked.public_key != done.public_key


async def test_clients_and_a_legacy_producer_get_exactly_their_own(vhost: str) -> None:
    names: list[str | None] = ["svcA", "svc-a", None]

    async def use(client_id: str | None) -> set[tuple[str | None, bytes | None]]:
        async with Client.connect(settings(vhost, client_id)) as client:
            key = await client.create_key(
                "complete", curve=Curve.ED25519, threshold=2, party_count=3
            )
            assert key.facts.client_id == client_id
            done = await asyncio.gather(
                *(
                    client.sign("complete", message=bytes([at]), scheme=Scheme.ED25519)
                    for at in range(20)
                )
            )
            return {(result.client_id, result.message) for result in done}

    async with FakeCoordinator.running(vhost, *names) as coordinator:
        found = await asyncio.gather(*map(use, names))
        left = [await coordinator.waiting(addresses.results_queue(name)) for name in names]
        dead = await coordinator.waiting(addresses.DEAD_QUEUE)
    for client_id, own in zip(names, found, strict=True):
        assert own == {(client_id, bytes([at])) for at in range(20)}
    assert (left, dead) == ([0, 0, 0], 0)


async def test_two_legacy_producers_on_one_queue_both_get_theirs(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, None) as coordinator,
        Client.connect(settings(vhost, None)) as one,
        Client.connect(settings(vhost, None)) as other,
    ):
        calls = [sign(client, bytes([at])) for at in range(10) for client in (one, other)]
        done = await asyncio.gather(*calls)
        assert [result.message for result in done] == [
            bytes([at]) for at in range(10) for _ in range(2)
        ]
        assert await coordinator.waiting(addresses.DEAD_QUEUE) == 0


async def test_a_producer_that_reads_does_not_keep_others_from_theirs(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, None) as coordinator,
        Client.connect(settings(vhost, None)) as reader,
        Client.connect(settings(vhost, None, ask_again_s=0.5)) as waiter,
    ):
        forgotten = signed_request(client_id=None)
        read = set()

        async def read_until_it_is_found() -> None:
            async for result in reader.results():
                read.add(result.request_id)
                if result.request_id == forgotten.request.request_id:
                    return

        reading = asyncio.create_task(read_until_it_is_found())
        (result,) = honest(forgotten.request)
        await coordinator.publish(result, forgotten.request.reply_to)
        done = await asyncio.gather(*(sign(waiter, bytes([at])) for at in range(10)))
        assert [result.message for result in done] == [bytes([at]) for at in range(10)]
        await reading


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
    assert message.routing_key == "mpc.keygen_request"
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


@pytest.mark.parametrize("lost", ["there", "back"])
async def test_a_connection_lost_before_the_confirm_repeats_the_same_bytes(
    vhost: str, coordinator: FakeCoordinator, lost: str
) -> None:
    expected = 2 if lost == "back" else 1

    def answer_once_it_was_repeated(request: Request) -> Iterable[Result]:
        return honest(request) if len(coordinator.asked) >= expected else []

    coordinator.answer = answer_once_it_was_repeated
    async with Network.to(vhost) as network, Client.connect(settings(network.url)) as client:
        network.hold(lost)
        call = asyncio.create_task(sign(client))
        if lost == "back":
            await coordinator.heard.wait()
        else:
            await asyncio.sleep(0.2)  # the request is on its way, and will not arrive
        assert not call.done()
        network.cut()
        network.heal()
        done = await call
    asked = [message for message in coordinator.asked if message.type == "sign"]
    assert len(asked) == expected
    assert {message.message_id for message in asked} == {done.request_id}
    assert len({(message.body, message.headers["signature"]) for message in asked}) == 1


async def test_a_connection_lost_after_the_confirm_costs_nothing_but_time(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Network.to(vhost) as network, Client.connect(settings(network.url)) as client:
        await client.keys("ed25519")
        withheld: list[Request] = []

        def withhold(request: Request) -> list[Result]:
            withheld.append(request)
            return []

        coordinator.answer = withhold
        coordinator.heard.clear()
        call = asyncio.create_task(sign(client))
        await coordinator.heard.wait()
        await asyncio.sleep(0.2)  # for the confirm
        network.cut()
        (result,) = honest(withheld[0])
        await coordinator.publish(result, withheld[0].reply_to)
        assert (await call).message == b"message"
    assert len([message for message in coordinator.asked if message.type == "sign"]) == 1


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


async def test_a_result_that_comes_twice_is_handed_out_once(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: [*honest(request), *honest(request)]
    async with Client.connect(settings(vhost)) as client:
        done = await sign(client)
        later = signed_request()
        (result,) = honest(later.request)
        await coordinator.publish(result, later.request.reply_to)
        async for unclaimed in client.results():
            assert unclaimed.request_id == later.request.request_id != done.request_id
            break


@pytest.mark.parametrize("missing", ["exchange", "queue"])
async def test_what_is_missing_at_the_broker_is_named_with_the_remedy(
    vhost: str, missing: str
) -> None:
    expected = addresses.REQUESTS
    async with contextlib.AsyncExitStack() as stack:
        if missing == "queue":
            await stack.enter_async_context(FakeCoordinator.running(vhost))
            expected = "warren.results.svcA"
        with pytest.raises(TopologyError, match=f'{missing} "{expected}" is missing') as caught:
            async with Client.connect(settings(vhost)):
                pass
    assert "warren topology apply" in str(caught.value)


async def test_a_request_that_no_queue_takes_is_a_clear_error(vhost: str) -> None:
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(addresses.REQUESTS, "topic", durable=True)
        await channel.declare_queue(addresses.results_queue("svcA"), durable=True)
        async with Client.connect(settings(vhost)) as client:
            with pytest.raises(TopologyError, match="no queue did: has the topology been applied"):
                await sign(client)


async def test_an_exchange_that_vanishes_is_a_clear_error(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client, await aio_pika.connect(vhost) as admin:
        channel = await admin.channel()
        await channel.exchange_delete(addresses.REQUESTS)
        with pytest.raises(TopologyError, match=r'exchange "warren\.requests" is missing'):
            await sign(client)


@pytest.mark.parametrize(
    ("permission", "reason"),
    [
        ({"read": "^$", "write": ".*"}, 'may not read queue "warren.results.svcA"'),
        ({"read": ".*", "write": "^$"}, 'may not write to exchange "warren.requests"'),
    ],
)
async def test_a_missing_permission_is_named(
    vhost: str,
    services: Services,
    coordinator: FakeCoordinator,
    permission: dict[str, str],
    reason: str,
) -> None:
    user, password = f"user-{secrets.token_hex(4)}", secrets.token_hex(8)
    parts = urlsplit(vhost)
    with _management(services) as management:
        management.put(f"/api/users/{user}", json={"password": password, "tags": ""})
        management.put(
            f"/api/permissions/{quote(parts.path[1:], safe='')}/{user}",
            json={"configure": "^$", **permission},
        ).raise_for_status()
        url = parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()
        try:
            with pytest.raises(TopologyError, match=reason):
                async with Client.connect(settings(url)) as client:
                    await sign(client)
        finally:
            management.delete(f"/api/users/{user}")


def _management(services: Services) -> httpx.Client:
    parts = urlsplit(services.management_url)
    return httpx.Client(
        base_url=f"{parts.scheme}://{parts.hostname}:{parts.port}",
        auth=(parts.username or "", parts.password or ""),
    )


async def test_a_queue_that_was_deleted_and_made_again_is_consumed_again(
    vhost: str, coordinator: FakeCoordinator, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client.connect(settings(vhost, ask_again_s=0.5)) as client:
        await sign(client)
        await coordinator.delete_results_queue("svcA")
        await eventually(lambda: "connection to the broker lost" in caplog.text)
        await coordinator.declare_results_queue("svcA")
        await sign(client)


def _stranger_certified(request: Request) -> Result:
    assert isinstance(request, KeygenRequest)
    key = KEYS[request.curve].certified(client_id=request.client_id, key_id=request.key_id)
    forged = {**key.certificates, "p2": key.facts.certify(STRANGER)}
    return keygen_result(request, key.model_copy(update={"certificates": forged}))


def _another_threshold(request: Request) -> Result:
    assert isinstance(request, KeygenRequest)
    key = KEYS[request.curve].certified(
        client_id=request.client_id, key_id=request.key_id, threshold=3
    )
    return keygen_result(request, key)


def _another_key(request: Request) -> Result:
    assert isinstance(request, SignRequest)
    return sign_result(request, SingleKey(Curve.ED25519, secret=bytes([1]) * 32))


def _another_message(request: Request) -> Result:
    assert isinstance(request, SignRequest)
    other = request.model_copy(update={"message": b"pay the thief"})
    return sign_result(other, KEYS[Curve.ED25519])


def _another_operation(request: Request) -> Result:
    made = keygen_result(samples.keygen_request(), KEYS[Curve.ED25519].certified(key_id="treasury"))
    return made.model_copy(update={"request_id": request.request_id})


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
    "lie", [_another_key, _another_message, _another_operation, _another_client]
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
        _another_key(request) if isinstance(request, SignRequest) else honest(request)[0]
    ]
    async with Client.connect(settings(vhost, margin_s=0.2)) as client:
        await client.keys("ed25519")
        with pytest.raises(ResultTimeoutError, match="public_key is not what was asked") as caught:
            await sign(client, timeout_s=0.8)
    assert caught.value.rejected


async def test_what_is_no_result_at_all_becomes_a_dead_letter(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        await coordinator.publish_raw(b'{"result": "sign"', "mpc.mpc_signing_result.svcA.complete")
        assert await coordinator.dead_letter() == b'{"result": "sign"'
        await sign(client)


async def test_a_wait_ends_with_the_deadline_and_names_the_request(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda _: []
    async with Client.connect(settings(vhost, margin_s=0.1)) as client:
        with pytest.raises(ResultTimeoutError, match="request mine") as caught:
            await sign(client, timeout_s=0.2, request_id="mine")
    assert caught.value.request_id == "mine"


async def test_a_request_that_cannot_be_confirmed_ends_with_its_deadline(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with (
        Network.to(vhost) as network,
        Client.connect(settings(network.url, confirm_timeout_s=0.1)) as client,
    ):
        network.hold("there")
        with pytest.raises(BrokerUnavailableError, match="not confirmed before its deadline"):
            await sign(client, timeout_s=0.5)
        network.cut()
        network.heal()
    assert coordinator.asked == []


async def test_a_failure_is_raised_with_all_it_says(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        for call in (client.cancel("r0"), client.session(request_id="r0")):
            with pytest.raises(RequestFailedError, match="nothing of that id") as caught:
                await call
            assert caught.value.failure.code is FailureCode.UNKNOWN_REQUEST
            assert caught.value.result.failure == caught.value.failure


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


async def test_many_first_signatures_fetch_the_key_once(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        await asyncio.gather(*(sign(client, bytes([at])) for at in range(10)))
    kinds = [message.type for message in coordinator.asked]
    assert kinds.count("query_keys") == 1
    assert kinds.count("sign") == 10


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


async def test_results_of_a_process_that_died_are_read_by_the_next(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    lost = [signed_request(message=bytes([at]), request_id=f"lost{at}") for at in range(3)]
    tweaked = signed_request(
        request_id="tweaked",
        key_id="secp256k1",
        scheme=Scheme.BIP340,
        message=bytes(32),
        taproot_merkle_root=b"",
    )
    await coordinator.publish(_another_key(lost[0].request), lost[0].request.reply_to)
    for signed in (*lost, tweaked):
        (result,) = honest(signed.request)
        await coordinator.publish(result, signed.request.reply_to)
    async with Client.connect(settings(vhost)) as client:
        read = []
        async with contextlib.aclosing(client.results()) as found:
            async for result in found:
                read.append(result.request_id)
                if len(read) == 4:
                    break
        assert await coordinator.dead_letter()
    assert read == ["lost0", "lost1", "lost2", "tweaked"]
    # The last was not acked: its reader left the loop while it had it in hand.
    async with Client.connect(settings(vhost)) as client:
        async for result in client.results():
            assert result.request_id == "tweaked"
            break


@pytest.mark.usefixtures("coordinator")
async def test_who_stops_asking_about_the_queue_does_not_lose_the_connection(vhost: str) -> None:
    losses: list[None] = []

    async def ignore(_: AbstractIncomingMessage) -> None: ...

    link = Link(settings(vhost), deliver=ignore, lost=lambda: losses.append(None))
    await link.open()
    before = len(losses)
    for turns in range(6):
        asking = asyncio.create_task(link.consumer_count())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    assert await link.consumer_count() == 1
    await asyncio.sleep(0.2)  # for a channel that is closed to be noticed
    assert len(losses) == before
    await link.close()


async def test_results_that_nobody_reads_stay_in_the_queue(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    signed = signed_request()
    (result,) = honest(signed.request)
    await coordinator.publish(result, signed.request.reply_to)
    async with Client.connect(settings(vhost)) as client:
        await sign(client)
    async with Client.connect(settings(vhost)) as client:
        assert await anext(client.results()) == result


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


async def test_a_broker_that_is_away_is_a_clear_error_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = settings("amqp://svcA:hunter2@127.0.0.1:1/warren")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        BrokerUnavailableError, match=r"no connection to .* 127\.0\.0\.1:1"
    ) as caught:
        async with Client.connect(away):
            pass
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "hunter2" not in f"{cause} {cause!r}"
        cause = cause.__cause__ or cause.__context__
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(away)


async def test_a_wrong_password_is_a_clear_error(vhost: str) -> None:
    parts = urlsplit(vhost)
    url = parts._replace(netloc=f"{parts.username}:hunter2@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(BrokerUnavailableError, match="refuses user") as caught:
        async with Client.connect(settings(url)):
            pass
    assert "hunter2" not in str(caught.value)


async def test_an_expired_request_is_not_published(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    now = time.time_ns() // 1_000_000
    old = signed_request(issued_at=now - 60_000, expires_at=now - 30_000)
    async with Client.connect(settings(vhost)) as client:
        with pytest.raises(ResultTimeoutError):
            await client.submit(old)
    assert coordinator.asked == []
