"""`wait` is a promise: it is kept while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse

from contracts.client import Client, ClientError, RequestFailedError, ResultTimeoutError
from contracts.failures import FailureCode
from contracts.primitives import Status
from contracts.results import QuerySessionResult
from gateway import promises, watching
from gateway.entry.waits import BEGINS
from gateway.promises import CAME, Promise, kept
from gateway.sessions import Desk, Opened

from ..patience import settle, until
from .coordinators import ClientDouble, Coordinator, refused
from .entrance import opened, problem
from .test_sessions import begin


def promise(seconds: float) -> Promise:
    return Promise(asyncio.get_running_loop().time(), seconds)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "LEAST_S", 0.2)
    monkeypatch.setattr(watching, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(watching, "LONGEST_PAUSE_S", 0.01)


def desk_of(coordinator: Coordinator) -> Desk:
    return Desk(cast("Client", ClientDouble(coordinator)), timeout_s=30)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("wait=10", 10),
        ("wait=0.5", promises.LEAST_S),
        ("wait=60", 60),
        ("", promises.ANSWER_S),
        ("wait=0", promises.ANSWER_S),
        ("wait=61", promises.ANSWER_S),  # which will be refused
        ("wait=-1", promises.ANSWER_S),
        ("wait=nan", promises.ANSWER_S),
        ("wait=soon", promises.ANSWER_S),
    ],
)
async def test_a_promise_counts_from_the_headers(query: str, seconds: float) -> None:
    made = Promise.of({CAME: 100.0, "query_string": query.encode()})
    assert made.answers_by == 100 + seconds
    assert made.last_word_by < made.answers_by


async def test_what_was_spent_before_is_not_waited_for_again() -> None:
    now = asyncio.get_running_loop().time()
    assert Promise(now - 9, 10).waits_until(10) < now + 1
    assert Promise(now, 10).waits_until(3) == pytest.approx(now + 3, abs=0.5)


async def test_who_would_wait_longer_than_was_promised_is_told_so(short: None) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.get("/slow", params={"wait": 0.1})
    assert answer.status_code == 504
    assert problem(answer)["code"] == "no_answer"
    assert "signature_may_exist" not in answer.json()


async def test_of_what_may_have_begun_something_may_come(short: None) -> None:
    async with opened() as entrance, entrance.caller() as caller:

        @entrance.app.post("/begin")
        async def begins(request: Request, wait: float = 0) -> None:
            request.scope[BEGINS] = True
            await asyncio.Event().wait()

        answer = await caller.post("/begin", params={"wait": 0.1})
    assert answer.status_code == 504
    assert answer.json()["signature_may_exist"] is True


async def test_what_finds_by_itself_that_nobody_answers_is_told_the_same() -> None:
    async with opened() as entrance, entrance.caller() as caller:

        @entrance.app.post("/begin")
        async def begins(request: Request) -> None:
            request.scope[BEGINS] = True
            raise TimeoutError

        answer = await caller.post("/begin")
    assert answer.status_code == 504
    assert problem(answer)["code"] == "no_answer"
    assert answer.json()["signature_may_exist"] is True


async def test_an_answer_that_has_begun_takes_as_long_as_it_takes(short: None) -> None:
    async with opened() as entrance, entrance.caller() as caller:

        @entrance.app.get("/stream")
        async def stream(wait: float = 0) -> StreamingResponse:
            async def parts() -> AsyncIterator[bytes]:
                yield b"first "
                await asyncio.sleep(0.5)
                yield b"last"

            return StreamingResponse(parts())

        answer = await caller.get("/stream", params={"wait": 0.1})
    assert answer.text == "first last"


async def test_a_session_that_was_begun_here_is_known_while_nobody_answers(short: None) -> None:
    coordinator = Coordinator()
    async with desk_of(coordinator) as desk:
        opened = await begin(desk)
        coordinator.gate.clear()
        with kept(promise(0.2)):
            found = await desk.wait("shop", opened.session_id, 60)
        assert found.session is not None
        assert (found.session.status, found.session.key_id) == (Status.WAITING, "treasury")
        assert found.session.session_id == opened.session_id
        assert found.session.operation == "sign"
        assert opened.announced is not None
        assert found.session.join_tokens == opened.announced.join_tokens


async def test_a_session_that_was_seen_here_is_told_as_it_was_seen(short: None) -> None:
    coordinator = Coordinator()
    async with desk_of(coordinator) as desk, desk_of(coordinator) as another:
        opened = await begin(desk)
        coordinator.move(opened.session_id, status=Status.IN_PROGRESS)
        await another.look("shop", opened.session_id)
        coordinator.gate.clear()
        for call in (another.wait("shop", opened.session_id, 60), another.latest(*name(opened))):
            with kept(promise(0.2)):
                found = await call
            assert found.session is not None
            assert found.session.status is Status.IN_PROGRESS


async def test_of_a_session_that_nobody_tells_of_nothing_is_made_up(short: None) -> None:
    coordinator = Coordinator()
    async with desk_of(coordinator) as desk, desk_of(coordinator) as another:
        opened = await begin(desk)
        coordinator.gate.clear()
        with kept(promise(0.2)), pytest.raises(TimeoutError):
            await another.wait("shop", opened.session_id, 60)
        coordinator.gate.set()
        with kept(promise(0.2)), pytest.raises(RequestFailedError, match="unknown_request"):
            await another.wait("bank", opened.session_id, 60)


async def test_the_end_is_told_that_came_while_the_last_word_was_asked_for(short: None) -> None:
    coordinator = Coordinator()
    async with desk_of(coordinator) as desk, desk_of(coordinator) as another:
        opened = await begin(desk)
        await another.look("shop", opened.session_id)
        coordinator.gate.clear()
        with kept(promise(5)):
            waiting = asyncio.create_task(another.wait("shop", opened.session_id, 0.01))
        await settle()
        outcome = coordinator.end(opened.session_id)
        coordinator.gate.set()
        assert (await waiting).outcome == outcome


class Failing(ClientDouble):
    """Whose looks fail after the first."""

    error: ClientError | None = None

    def acting_for(self, tenant: str) -> ClientDouble:
        acting = Failing(self.coordinator, tenant)
        acting.error = self.error
        return acting

    async def look(self, **named: Any) -> QuerySessionResult:
        found = await super().look(**named)
        if self.error is not None:
            raise self.error
        return found


async def test_who_follows_is_not_troubled_by_a_time_without_answers(short: None) -> None:
    coordinator = Coordinator()
    client = Failing(coordinator)
    async with Desk(cast("Client", client), timeout_s=30) as desk:
        opened = await begin(desk)
        following = desk.follow("shop", opened.session_id)
        await anext(following)
        client.error = ResultTimeoutError("r")
        looks = coordinator.looks
        changed = asyncio.ensure_future(anext(following))
        await until(lambda: coordinator.looks > looks + 2)
        assert not changed.done()
        client.error = None
        outcome = coordinator.end(opened.session_id)
        assert (await changed).outcome == outcome


async def test_who_follows_hears_what_is_wrong_with_the_session(short: None) -> None:
    coordinator = Coordinator()
    client = Failing(coordinator)
    async with Desk(cast("Client", client), timeout_s=30) as desk:
        opened = await begin(desk)
        following = desk.follow("shop", opened.session_id)
        await anext(following)
        client.error = refused(FailureCode.UNKNOWN_REQUEST)
        with pytest.raises(RequestFailedError, match="unknown_request"):
            await anext(following)


def name(opened: Opened) -> tuple[str, bytes]:
    return "shop", opened.session_id
