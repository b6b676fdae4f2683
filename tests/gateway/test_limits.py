"""What one caller may take from the others: rates, crowds, bodies."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message

from contracts.primitives import Scope
from gateway.entry.rates import FailedKeys
from tests.gateway.entrance import (
    OTHER_SECRET,
    SECRET,
    Coordinator,
    Entrance,
    api_key,
    opened,
    problem,
)
from tests.patience import until

BOTH = [api_key(), api_key("bank-1", secret=OTHER_SECRET, holder="bank")]


async def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_go_on() -> None:
    limits = {"requests": 3, "window_seconds": 60}
    async with (
        opened(limits, coordinator=Coordinator(BOTH)) as entrance,
        entrance.caller() as shop,
        entrance.caller(OTHER_SECRET) as bank,
    ):
        answers = [await shop.get("/who") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert (await bank.get("/who")).status_code == 200
    refused = answers[-1]
    assert problem(refused)["code"] == "rate_exceeded"
    assert refused.json()["retryable"]
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert refused.headers["ratelimit"].startswith('"key";r=0;t=')
    assert answers[0].headers["ratelimit"].startswith('"key";r=2;t=')


async def test_health_is_not_counted() -> None:
    async with (
        opened({"requests": 1, "window_seconds": 60}) as entrance,
        entrance.caller() as caller,
    ):
        for _ in range(5):
            assert (await caller.get("/health")).status_code == 200
        assert (await caller.get("/who")).status_code == 200


async def test_guessing_keys_ends_soon_and_does_not_shut_out_who_has_one() -> None:
    limits = {"failed_keys": 3, "failed_keys_window_seconds": 60}
    async with opened(limits) as entrance, entrance.caller("guess") as guesser:
        statuses = [(await guesser.get("/who")).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        asked = entrance.coordinator.asked
        refused = await guesser.get("/who", headers={"X-API-Key": "another guess"})
        assert problem(refused)["code"] == "rate_exceeded"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert entrance.coordinator.asked == asked
        async with entrance.caller() as neighbour:
            assert (await neighbour.get("/who")).status_code == 200


def test_guesses_from_one_ipv6_site_are_counted_together() -> None:
    failed = FailedKeys(1, 60)
    assert failed.count(ipaddress.ip_address("2001:db8::1"))
    assert not failed.count(ipaddress.ip_address("2001:db8::2"))
    assert failed.count(ipaddress.ip_address("2001:db8:0:1::1"))
    assert failed.count(ipaddress.ip_address("192.0.2.1"))
    assert failed.count(ipaddress.ip_address("192.0.2.2"))


async def in_hand(
    entrance: Entrance, caller: httpx.AsyncClient, count: int
) -> list[asyncio.Task[httpx.Response]]:
    tasks = [asyncio.create_task(caller.get("/slow")) for _ in range(count)]
    await until(lambda: entrance.waiting >= count)
    return tasks


async def test_a_keys_burst_waits_at_its_own_door() -> None:
    limits = {"in_flight_per_key": 2}
    async with (
        opened(limits, coordinator=Coordinator(BOTH)) as entrance,
        entrance.caller() as shop,
        entrance.caller(OTHER_SECRET) as bank,
    ):
        held = await in_hand(entrance, shop, 2)
        refused = await shop.get("/who")
        assert refused.status_code == 503
        assert problem(refused)["code"] == "too_many_in_flight"
        assert "retry-after" in refused.headers
        assert (await bank.get("/who")).status_code == 200
        entrance.going.set()
        assert {task.result().status_code for task in held if await task} == {200}
        assert (await shop.get("/who")).status_code == 200


async def test_there_is_a_bound_for_all_keys_together() -> None:
    async with (
        opened({"in_flight": 2}, coordinator=Coordinator(BOTH)) as entrance,
        entrance.caller() as shop,
        entrance.caller(OTHER_SECRET) as bank,
    ):
        held = await in_hand(entrance, shop, 2)
        assert (await bank.get("/who")).status_code == 503
        assert (await bank.get("/health")).status_code == 200
        entrance.going.set()
        await asyncio.gather(*held)
        assert (await bank.get("/who")).status_code == 200


async def test_a_request_whose_caller_hung_up_is_in_flight_no_more() -> None:
    async with opened({"in_flight_per_key": 1}) as entrance, entrance.caller() as caller:
        (held,) = await in_hand(entrance, caller, 1)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        assert (await caller.get("/who")).status_code == 200


async def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    async with opened({"body_bytes": 2000}) as entrance, entrance.caller() as caller:
        for size, status in ((2000, 200), (2001, 413)):
            body = json.dumps({"text": ""}).encode()
            body = body[:-2] + b"x" * (size - len(body)) + body[-2:]
            assert len(body) == size
            answer = await caller.post("/notes", content=body)
            assert answer.status_code == status
    assert problem(answer)["code"] == "body_too_large"
    assert "2000" in answer.json()["detail"]
    assert entrance.bodies == 1


async def test_a_body_without_a_length_is_read_no_further_than_the_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 1000
            yield b"x" * 1000

    async with opened({"body_bytes": 4000}) as entrance, entrance.caller() as caller:
        answer = await caller.post("/notes", content=endless())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert sent < 10_000_000
    assert entrance.bodies == 0


async def test_a_body_that_is_too_large_by_its_own_word_is_not_waited_for() -> None:
    begun = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await begun.wait()
        yield b"{}"

    limits = {"body_bytes": 4000, "body_seconds": 0.2}
    async with opened(limits) as entrance, entrance.caller() as caller:
        headers = {"Content-Length": "4001"}
        answer = await caller.post("/notes", content=late(), headers=headers)
        begun.set()
    assert answer.status_code == 413


async def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async with opened({"body_seconds": 0.05}) as entrance, entrance.caller() as caller:

        async def hesitant() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        answer = await caller.post("/notes", content=hesitant())
    assert answer.status_code == 408
    assert problem(answer)["code"] == "too_slow"
    assert answer.headers["connection"] == "close"
    assert entrance.bodies == 0


async def test_nothing_is_answered_to_who_hangs_up_in_the_middle_of_a_body() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    parts: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    async with opened() as entrance:
        headers = [(b"x-api-key", SECRET.encode()), (b"transfer-encoding", b"chunked")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/notes",
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "headers": headers,
        }
        await entrance.app(scope, receive, send)
    assert sent == []
    assert entrance.bodies == 0


async def test_no_body_is_read_of_a_caller_who_may_not_enter() -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    async with opened() as entrance, entrance.client() as stranger:
        assert (await stranger.post("/notes", content=body())).status_code == 401
        assert read == 0
    coordinator = Coordinator([api_key(scopes=[Scope.READ])])
    async with opened(coordinator=coordinator) as entrance, entrance.caller() as reader:
        assert (await reader.post("/notes", content=body())).status_code == 403


@pytest.mark.parametrize("headers", [{"Content-Length": "1x"}, {"Content-Length": ""}])
async def test_a_length_that_is_none_does_no_harm(headers: dict[str, str]) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.post("/notes", content=b'{"text": "x"}', headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", [None, "application/json", "application/x-www-form-urlencoded"])
async def test_a_body_is_json_whatever_a_tool_calls_it_unasked(kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.post("/notes", content=b'{"text": "x"}', headers=headers)
    assert answer.status_code == 200
