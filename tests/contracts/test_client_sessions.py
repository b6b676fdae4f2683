"""Sessions that a client begins, looks at and serves others with: a real broker, a coordinator that
answers by script."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import pytest

from contracts import addresses, results
from contracts.answers import failed_result
from contracts.api_keys import Action
from contracts.client import Begun, Client, ClientClosedError, RequestFailedError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme, Status
from contracts.requests import (
    ADAPTER,
    KeygenRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    Request,
    SignItem,
    SignRequest,
)
from contracts.results import Delivered, Result, SignResult
from contracts.signing import sign_request
from tests.patience import until

from . import samples
from .chains import AUTHORITY
from .fakes import KEYS, FakeCoordinator, honest
from .producers import settings
from .samples import CLIENT, SingleKey, announcement, sign_result
from .test_answers import ACCOUNT, ENTRY, FIRST, LOOKED, SEEN, VIEW, answer

pytestmark = pytest.mark.system

TENANTS = {
    name: SingleKey(Curve.ED25519, secret=bytes([at]) * 32)
    for at, name in enumerate(("shop", "bank"), start=1)
}
KEY = KEYS[Curve.ED25519].certified()
PROVEN = ACCOUNT.model_copy(
    update={
        "session_id": KEY.facts.session_id,
        "public_key": KEY.facts.public_key,
        "key": KEY,
    }
)


async def begin(client: Client, message: bytes = b"message", **more: Any) -> Begun:
    return await client.begin_signature("ed25519", message=message, scheme=Scheme.ED25519, **more)


async def emptied(coordinator: FakeCoordinator) -> bool:
    """Nothing is left in the queue, nor in anybody's hand: seen when all have disconnected."""
    left = [
        await coordinator.waiting(name)
        for name in (addresses.results_queue("svcA"), addresses.DEAD_QUEUE)
    ]
    return left == [0, 0]


def announcing(request: Request) -> Iterable[Delivered]:
    """As `honest`, and each session is announced; whose result is another matter."""
    if isinstance(request, KeygenRequest | SignRequest) and request.announce:
        yield announcement(request)
    else:
        yield from honest(request)


def answer_to(asked: Request, /, **more: Any) -> Result:
    given = {"request_id": asked.request_id, "request_digest": samples.digest_of(asked)}
    return answer(asked.operation, **given, **more)


def failing(
    request: Request, code: FailureCode, session_id: bytes | None, retry_after_ms: int | None = None
) -> Result:
    return failed_result(
        request.operation,
        Failure.of(code, "not today", retry_after_ms=retry_after_ms),
        request_id=request.request_id,
        client_id=request.client_id,
        request_digest=samples.digest_of(request),
        session_id=session_id,
        finished_at=request.issued_at,
    )


def asked(coordinator: FakeCoordinator, operation: str) -> list[Request]:
    requests = [ADAPTER.validate_json(message.body) for message in coordinator.asked]
    return [request for request in requests if request.operation == operation]


async def test_a_session_is_begun_as_soon_as_it_is_announced(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = announcing
    async with Client.connect(settings(vhost)) as client:
        made = await client.begin_key(
            "ed25519",
            curve=Curve.ED25519,
            threshold=2,
            party_count=3,
            user_id="Ada",
            reference="wish",
            join_window_ms=1000,
            request_id="mine",
        )
        signed = await begin(client)
        assert (made.request_id, made.done, signed.done) == ("mine", False, False)
        (keygen,) = asked(coordinator, "keygen")
        (sign,) = asked(coordinator, "sign")
        assert isinstance(keygen, KeygenRequest)
        assert isinstance(sign, SignRequest)
        assert (keygen.user_id, keygen.reference, keygen.join_window_ms) == ("Ada", "wish", 1000)
        assert made.announced == announcement(keygen)
        assert signed.announced == announcement(sign)
        first, second, third = (asyncio.create_task(signed.result()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        for request in (keygen, sign):
            (result,) = honest(request)
            await coordinator.publish(result, request.reply_to)
        assert await second == await third == sign_result(sign, KEYS[Curve.ED25519])
        assert (await made.result()).status is Status.COMPLETED
        assert made.done
    assert await emptied(coordinator)


async def test_a_list_is_begun_like_one_message(vhost: str, coordinator: FakeCoordinator) -> None:
    async with Client.connect(settings(vhost)) as client:
        items = [SignItem(message=bytes([at]) * 32) for at in range(3)]
        begun = await client.begin_signature("secp256k1", items=items, scheme=Scheme.ECDSA)
        result = await begun.result()
    assert isinstance(result, SignResult)
    assert [item.message for item in result.signed] == [item.message for item in items]


async def test_a_result_that_is_first_is_enough_and_the_announcement_vanishes(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: [*honest(request), *announcing(request)]
    async with Client.connect(settings(vhost)) as client:
        await client.keys("ed25519")
        begun = await begin(client)
        assert (begun.done, begun.announced) == (True, None)
        assert (await begun.result()).status is Status.COMPLETED
        coordinator.answer = honest
        await client.keys("ed25519")  # whose answer comes after the announcement
    assert await emptied(coordinator)


async def test_what_gets_no_session_is_an_error_and_what_fails_later_is_a_result(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    async with Client.connect(settings(vhost)) as client:
        coordinator.answer = lambda request: [failing(request, FailureCode.OVERLOADED, None)]
        with pytest.raises(RequestFailedError, match="not today") as caught:
            await begin(client, request_id="mine")
        assert caught.value.failure.code is FailureCode.OVERLOADED
        coordinator.answer = lambda request: [failing(request, FailureCode.SPOILT, bytes(32))]
        begun = await begin(client, request_id="mine")
        failure = (await begun.result()).failure
    assert failure is not None
    assert failure.code is FailureCode.SPOILT


def crowded(coordinator: FakeCoordinator, times: int, retry_after_ms: int | None) -> None:
    """Refuses so often, and then is honest."""

    def answer(request: Request) -> Iterable[Delivered]:
        if len(coordinator.asked) <= times:
            return [failing(request, FailureCode.OVERLOADED, None, retry_after_ms)]
        return honest(request)

    coordinator.answer = answer


async def test_who_is_told_when_to_ask_again_does_so_in_other_bytes_and_by_the_same_deadline(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    crowded(coordinator, 2, 10)
    async with Client.connect(settings(vhost)) as client:
        key = await client.create_key(
            "ed25519", curve=Curve.ED25519, threshold=2, party_count=3, request_id="mine"
        )
    assert key.facts.key_id == "ed25519"
    wishes = asked(coordinator, "keygen")
    assert [wish.request_id for wish in wishes] == ["mine"] * 3
    assert (
        len({wish.salt for wish in wishes}) == len({each.body for each in coordinator.asked}) == 3
    )
    assert len({wish.expires_at for wish in wishes}) == 1


@pytest.mark.parametrize("retry_after_ms", [None, 60_000])
async def test_who_has_no_time_to_ask_again_is_told_at_once(
    vhost: str, coordinator: FakeCoordinator, retry_after_ms: int | None
) -> None:
    crowded(coordinator, 1, retry_after_ms)
    async with Client.connect(settings(vhost)) as client:
        with pytest.raises(RequestFailedError) as caught:
            await client.create_key(
                "ed25519", curve=Curve.ED25519, threshold=2, party_count=3, timeout_s=30
            )
    assert caught.value.failure.retry_after_ms == retry_after_ms
    assert len(coordinator.asked) == 1


async def test_who_only_begins_is_told_at_once_whatever_time_there_is(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    crowded(coordinator, 1, 10)
    async with Client.connect(settings(vhost)) as client:
        with pytest.raises(RequestFailedError):
            await begin(client)
    assert len(coordinator.asked) == 1


async def test_who_gets_neither_announcement_nor_result_asks_again_with_the_same_bytes(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: announcing(request) if len(coordinator.asked) > 2 else []
    async with Client.connect(settings(vhost, ask_again_s=0.05)) as client:
        assert (await begin(client)).announced is not None
    assert len({message.body for message in coordinator.asked}) == 1


async def test_what_answers_another_request_of_the_same_id_is_left_to_others(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    """Two processes that share a queue may ask for different things under one id at once."""
    coordinator.answer = lambda request: []
    async with Client.connect(settings(vhost)) as client:
        beginning = asyncio.create_task(begin(client, request_id="mine"))
        await until(lambda: len(coordinator.asked) == 1)
        (delivery,) = coordinator.asked
        request = ADAPTER.validate_json(delivery.body)
        assert isinstance(request, SignRequest)
        own = {"request_digest": hashlib.sha256(delivery.body).digest()}
        another = {"request_digest": bytes(32)}
        told = announcement(request)
        refusal = failing(request, FailureCode.CONFLICT, None)
        for content in (told, refusal):
            await coordinator.publish(content.model_copy(update=another), request.reply_to)
        await coordinator.publish(told.model_copy(update=own), request.reply_to)
        begun = await beginning
        assert begun.announced == told.model_copy(update=own)
        assert await anext(client.results()) == refusal.model_copy(update=another)
        assert not begun.done
        coordinator.answer = honest
        result = sign_result(request, KEYS[Curve.ED25519]).model_copy(update=own)
        await coordinator.publish(result, request.reply_to)
        assert await begun.result() == result


async def test_who_stops_waiting_leaves_the_result_to_others(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = announcing
    async with Client.connect(settings(vhost)) as client:
        begun = await begin(client)
        waiting = asyncio.create_task(begun.result())
        await asyncio.sleep(0)
        begun.stop()
        with pytest.raises(ClientClosedError, match="waited for no more"):
            await waiting
        (request,) = asked(coordinator, "sign")
        (result,) = honest(request)
        await coordinator.publish(result, request.reply_to)
        assert await anext(client.results()) == result
        again = asyncio.create_task(begin(client, request_id=begun.request_id))
        assert (await again).announced is not None


async def test_closing_ends_what_was_begun(vhost: str, coordinator: FakeCoordinator) -> None:
    coordinator.answer = announcing
    async with Client.connect(settings(vhost)) as client:
        begun = await begin(client)
    with pytest.raises(ClientClosedError):
        await begun.result()


@pytest.mark.parametrize("change", [{"client_id": "svcB"}, {"session_id": bytes(32)}])
async def test_an_announcement_of_another_client_or_of_another_requests_session_is_refused(
    vhost: str, coordinator: FakeCoordinator, change: dict[str, Any]
) -> None:
    coordinator.answer = lambda _: []
    async with Client.connect(settings(vhost)) as client:
        beginning = asyncio.create_task(begin(client, request_id="mine"))
        await coordinator.heard.wait()
        (request,) = asked(coordinator, "sign")
        assert isinstance(request, SignRequest)
        body = announcement(request).model_copy(update=change).model_dump_json().encode()
        await coordinator.publish_raw(body, addresses.announcement_key("svcA", "mine"))
        assert await coordinator.dead_letter() == body
        assert not beginning.done()
        beginning.cancel()


def of_tenants(request: Request) -> Iterable[Delivered]:
    """Each tenant has a key "ed25519", and each another one."""
    key = TENANTS[request.tenant or ""]
    match request:
        case SignRequest():
            yield sign_result(request, key)
        case QueryKeysRequest():
            certified = key.certified(key_id=request.only, tenant=request.tenant)
            yield answer_to(request, keys=[certified])


async def test_a_client_acts_for_tenants_each_with_keys_of_its_own(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = of_tenants
    async with Client.connect(settings(vhost)) as client:
        acting = {name: client.acting_for(name) for name in TENANTS}
        done = await asyncio.gather(
            *(
                one.sign("ed25519", message=bytes([at]), scheme=Scheme.ED25519)
                for at in range(5)
                for one in acting.values()
            )
        )
        assert {result.public_key for result in done} == {
            key.public_key for key in TENANTS.values()
        }
        (key,) = await acting["bank"].keys("ed25519")
        assert key.facts.public_key == TENANTS["bank"].public_key
    assert len(asked(coordinator, "query_keys")) == 3
    assert {request.owner for request in asked(coordinator, "sign")} == {"svcA/shop", "svcA/bank"}


async def test_a_tenant_is_not_given_the_signature_of_anothers_key(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    def swapped(request: Request) -> Iterable[Delivered]:
        if isinstance(request, SignRequest):
            yield sign_result(request, TENANTS["bank"])
        yield from of_tenants(request)

    coordinator.answer = swapped
    async with Client.connect(settings(vhost)) as client:
        done = await client.acting_for("shop").sign(
            "ed25519", message=b"message", scheme=Scheme.ED25519
        )
    assert done.public_key == TENANTS["shop"].public_key
    assert await coordinator.dead_letter()


def test_a_tenant_without_a_possible_name_is_nobody() -> None:
    with pytest.raises(ValueError, match="tenant"):
        sign_request(samples.sign_request(tenant="a/b"), CLIENT)


async def test_a_look_at_a_session_has_its_verified_outcome(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    wish = samples.sign_request(request_id="r0", key_id="ed25519")
    true = sign_result(wish, KEYS[Curve.ED25519])
    forged = sign_result(wish, TENANTS["bank"])
    looked = samples.looked_at(wish)
    view = looked["session"]

    def answers(request: Request) -> Iterable[Delivered]:
        if not isinstance(request, QuerySessionRequest):
            return honest(request)
        return [
            answer_to(request, **looked, outcome=outcome.model_dump()) for outcome in (forged, true)
        ]

    coordinator.answer = answers
    async with Client.connect(settings(vhost)) as client:
        assert (await client.look(session_id=view.session_id)).outcome == true
        assert await client.session(request_id="r0") == view
    refused = results.ADAPTER.validate_json(await coordinator.dead_letter())
    assert isinstance(refused, results.QuerySessionResult)
    assert refused.outcome == forged


async def test_accounts_and_api_keys_are_told_as_the_coordinator_has_them(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    def answers(request: Request) -> Iterable[Delivered]:
        more: dict[str, Any] = {}
        match request:
            case QueryAccountsRequest(after=None, only=None):
                more = {"accounts": [PROVEN], "more": True}
            case QueryAccountsRequest(only="treasury"):
                more = {"accounts": [PROVEN]}
            case QueryApiKeysRequest(after=4):
                more = {"entries": [ENTRY], "after": 4, "highest": 5}
            case QuerySessionRequest():
                more = LOOKED
            case QueryKeysRequest():  # by a cancel, for the parties whose statements it counts
                yield failing(request, FailureCode.UNKNOWN_KEY, None)
                return
            case _:
                others: dict[str, dict[str, Any]] = {
                    "cancel": {"target_status": Status.CANCELLED, "target": SEEN.request_id},
                    "join_session": {"session": VIEW, "party_id": "p3"},
                    "configure_account": {"account": PROVEN},
                    "put_api_key": {"number": 1},
                    "revoke_api_key": {"number": 1},
                }
                more = others[request.operation]
        yield answer_to(request, **more)

    coordinator.answer = answers
    async with Client.connect(settings(vhost)) as client:
        page = await client.accounts()
        assert (page.accounts, page.more) == ([PROVEN], True)
        assert await client.account("treasury") == PROVEN
        assert await client.configure_account("treasury", ["p1", "p3"]) == PROVEN
        entries = await client.api_key_entries(AUTHORITY.public, after=4)
        assert (entries.entries, entries.highest) == ([ENTRY], 5)
        await client.put_api_key(FIRST)
        await client.revoke_api_key(samples.SCRIBE.signed(Action.REVOKE, api_key_id="shop-1"))
        assert (await client.join(VIEW.session_id, bytes(32))).party_id == "p3"
        ended = await client.cancel_session(SEEN.session_id)
        assert ended.target_status is Status.CANCELLED
    assert {message.routing_key for message in coordinator.asked} == {
        "mpc.query_request.svcA",
        "mpc.account_request.svcA",
        "mpc.api_key_request.svcA",
        "mpc.join_request.svcA",
        "mpc.cancel_request.svcA",
    }


async def test_two_that_share_a_queue_and_discard_what_is_left_both_get_theirs(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: [*announcing(request), *honest(request)]

    async def use(client: Client, message: bytes) -> bytes | None:
        result = await (await begin(client, message)).result()
        assert isinstance(result, SignResult)
        return result.message

    async with (
        Client.connect(settings(vhost, ask_again_s=1.0)) as one,
        Client.connect(settings(vhost, ask_again_s=1.0)) as other,
    ):
        discarding = [asyncio.create_task(each.discard_results()) for each in (one, other)]
        calls = [use(client, bytes([at])) for at in range(20) for client in (one, other)]
        expected = [bytes([at]) for at in range(20) for _ in range(2)]
        assert await asyncio.gather(*calls) == expected
    await asyncio.gather(*discarding)
    assert await coordinator.waiting(addresses.DEAD_QUEUE) == 0


async def test_what_was_for_a_process_that_died_is_discarded_and_no_dead_letter(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    lost = samples.sign_request(request_id="lost", key_id="ed25519", tenant="shop")
    (result,) = of_tenants(lost)  # which nobody can verify who does not know the tenant
    for content in (announcement(lost), result):
        await coordinator.publish(content, lost.reply_to)

    async def discarded() -> bool:
        async with Client.connect(settings(vhost)) as client:
            discarding = asyncio.create_task(client.discard_results())
            await client.keys("ed25519")
            await asyncio.sleep(0.1)
        await discarding
        return await emptied(coordinator)

    await until(discarded)
