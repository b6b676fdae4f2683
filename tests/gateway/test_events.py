"""Server-sent events of a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from contracts.client import BrokerUnavailableError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Scope
from contracts.results import QuerySessionResult
from gateway.dialects import events
from gateway.entry.api_keys import Caller
from gateway.problems import Problem
from gateway.settings import Limits
from tests.patience import until

from .callers import ALICE, BOB, calls, gateway
from .desks import DeskDouble
from .test_generic import SESSIONS, created


def parsed(text: str) -> list[dict[str, str]]:
    """As an EventSource reads it, comments left out."""
    return [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.split("\r\n\r\n")
        if block
    ]


async def stream(http: httpx.AsyncClient, session_id: str, last: str | None = None) -> Any:
    headers = {} if last is None else {"Last-Event-ID": last}
    return await http.get(f"{SESSIONS}/{session_id}/events", headers=headers)


async def test_each_change_is_an_event_and_the_last_one_is_the_end() -> None:
    async with calls(gateway(DeskDouble())) as http:
        session_id = (await created(http))["session_id"]
        answer = await stream(http, session_id)
        final = (await http.get(f"{SESSIONS}/{session_id}")).json()
    told = parsed(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [each["event"] for each in told] == ["session"] * (len(told) - 1) + ["end"]
    assert [each["id"] for each in told] == [f"1.{n}" for n in range(1, len(told) + 1)]
    assert json.loads(told[0]["data"])["status"] == "waiting"
    assert json.loads(told[-1]["data"]) == final


async def test_who_comes_back_hears_only_what_is_newer() -> None:
    async with calls(gateway(DeskDouble())) as http:
        session_id = (await created(http))["session_id"]
        all_of_it = parsed((await stream(http, session_id)).text)
        rest = parsed((await stream(http, session_id, all_of_it[3]["id"])).text)
    assert rest == all_of_it[4:]


async def test_who_has_heard_the_end_is_told_not_to_come_back() -> None:
    async with calls(gateway(DeskDouble())) as http:
        session_id = (await created(http))["session_id"]
        last = parsed((await stream(http, session_id)).text)[-1]["id"]
        answer = await stream(http, session_id, last)
    assert answer.status_code == 204
    assert answer.content == b""


@pytest.mark.parametrize("last", ["x", "-1", "1", "1.", "1.2.3", "1." + "9" * 10])
async def test_an_event_id_that_is_none_is_refused(last: str) -> None:
    async with calls(gateway(DeskDouble())) as http:
        assert (await stream(http, (await created(http))["session_id"], last)).status_code == 422


async def test_a_failure_is_an_end_too() -> None:
    desk = DeskDouble()
    desk.failing = Failure.of(FailureCode.EXPIRED, "too late", silent=["party-3"])
    async with calls(gateway(desk)) as http:
        told = parsed((await stream(http, (await created(http))["session_id"])).text)
    assert told[-1]["event"] == "end"
    assert json.loads(told[-1]["data"])["failure"]["silent"] == ["server-party-3"]


class Succeeded(DeskDouble):
    """Other parties are tried when the first ones have said much, and say little."""

    async def look(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        looked = await super().look(tenant, session_id)
        assert looked.session is not None
        if not looked.session.status.final:
            return looked
        created, *_, last = looked.session.events
        events = [
            created.model_copy(update={"details": {"try": 2}}),
            last.model_copy(update={"sequence": 2}),
        ]
        view = looked.session.model_copy(update={"events": events})
        return looked.model_copy(update={"session": view})

    async def follow(
        self, tenant: str, session_id: bytes, looked: QuerySessionResult | None = None
    ) -> AsyncGenerator[QuerySessionResult, None]:
        async for change in super().follow(tenant, session_id):
            assert change.session is not None
            yield await self.look(tenant, session_id) if change.session.status.final else change


async def test_what_other_parties_do_later_is_newer_however_little_it_is() -> None:
    async with calls(gateway(Succeeded())) as http:
        session_id = (await created(http))["session_id"]
        told = parsed((await stream(http, session_id)).text)
        again = parsed((await stream(http, session_id, told[-2]["id"])).text)
        after = await stream(http, session_id, told[-1]["id"])
    assert (told[-2]["id"], told[-1]["id"]) == (f"1.{len(told) - 1}", "2.2")
    assert again == told[-1:]
    assert after.status_code == 204


class Breaking(DeskDouble):
    """Loses its queue in the middle of a stream."""

    async def follow(
        self, tenant: str, session_id: bytes, looked: QuerySessionResult | None = None
    ) -> AsyncGenerator[QuerySessionResult, None]:
        yield await self.look(tenant, session_id)
        raise BrokerUnavailableError("secret address")


async def test_a_stream_that_breaks_says_so_and_can_be_taken_up_again() -> None:
    async with calls(gateway(Breaking())) as http:
        told = parsed((await stream(http, (await created(http))["session_id"])).text)
    assert [each["event"] for each in told] == ["session", "problem"]
    assert json.loads(told[1]["data"])["code"] == "broker_unavailable"
    assert "id" not in told[1]  # so that nothing is skipped afterwards
    assert "secret" not in told[1]["data"]


class Endless(DeskDouble):
    """Whose sessions never change again."""

    def __init__(self) -> None:
        super().__init__()
        self.following = asyncio.Event()
        self.left = asyncio.Event()

    async def follow(
        self, tenant: str, session_id: bytes, looked: QuerySessionResult | None = None
    ) -> AsyncGenerator[QuerySessionResult, None]:
        yield await self.look(tenant, session_id)
        self.following.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()


async def test_each_key_may_follow_so_many_sessions_at_once() -> None:
    desk = Endless()
    app = gateway(desk, Limits(event_streams_per_key=1))
    async with calls(app) as http:
        session_id = (await created(http))["session_id"]
        first = asyncio.create_task(stream(http, session_id))
        await desk.following.wait()
        second = await stream(http, session_id)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await desk.left.wait()
    assert second.status_code == 429
    assert second.json()["code"] == "rate_exceeded"
    with (await events.streams()).one(ALICE, Limits(event_streams_per_key=1)):
        pass  # the place is free again


class Slow(DeskDouble):
    """Whose coordinator takes its time to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.answers = asyncio.Event()

    async def look(self, tenant: str, session_id: bytes) -> QuerySessionResult:
        self.looks += 1
        await self.answers.wait()
        return await super().look(tenant, session_id)


async def test_a_burst_of_streams_is_no_way_around_their_limit() -> None:
    desk = Slow()
    async with calls(gateway(desk, Limits(event_streams_per_key=2))) as http:
        session_id = (await created(http))["session_id"]
        burst = [asyncio.create_task(stream(http, session_id)) for _ in range(5)]
        await until(lambda: sum(each.done() for each in burst) == 3)
        assert desk.looks == 2
        desk.answers.set()
        answers = await asyncio.gather(*burst)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]


async def test_a_stream_that_is_refused_takes_no_place() -> None:
    async with calls(gateway(DeskDouble(), Limits(event_streams_per_key=1))) as http:
        for _ in range(2):
            assert (await stream(http, 64 * "0")).status_code == 404


def test_streams_are_counted_for_each_key_and_each_holder() -> None:
    streams = events.Streams()
    first, second = (Caller(f"a-{i}", "a", frozenset(Scope)) for i in (1, 2))
    bounds = Limits(event_streams_per_key=2, event_streams_per_holder=3)
    with streams.one(first, bounds), streams.one(first, bounds):
        with pytest.raises(Problem, match="API key a-1 has 2 streams"), streams.one(first, bounds):
            pass
        with streams.one(second, bounds), streams.one(BOB, bounds):
            with pytest.raises(Problem, match="keys of a have 3 together") as refused:
                streams.one(second, bounds).__enter__()
            assert dict(refused.value.raw_headers(0))[b"retry-after"] == b"1"
    for _ in range(2):
        with streams.one(first, bounds):
            pass


async def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    desk, sent = Endless(), asyncio.Queue[bytes]()
    app = gateway(desk)
    async with calls(app) as http:
        path = f"{SESSIONS}/{(await created(http))['session_id']}/events"

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.put_nowait(message.get("body", b""))

    connection = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "warren.caller": ALICE,
    }
    serving = asyncio.create_task(app(connection, receive, send))
    while await sent.get() != b": still here\r\n\r\n":
        pass
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert desk.left.is_set()
