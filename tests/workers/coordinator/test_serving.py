"""Those who wait are served: in their order, many at once, by whichever coordinator is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import SignRequest
from tests.workers.crew import coordinator
from tests.workers.ecdsa import (
    check_failure,
    check_nothing_is_left,
    check_success,
    ecdsa_request,
    limited,
    look,
    make_key,
    pools_of,
    sent,
)
from tests.workers.simulate import World, world
from tests.workers.tries import session_of
from workers.coordinator import waiting_line
from workers.coordinator.waiting_line import WaitingLine
from workers.delivery.publisher import PublishError
from workers.store.records import CoordinatorChange, Outcome, Outgoing, PoolName, PoolRecord

FIRST = ["party-1", "party-2"]


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
        assert made.dead == []


async def lined_up(
    shire: World, count: int, *, spare: int = 0, items: int = 1
) -> tuple[CertifiedKey, list[SignRequest], PoolName]:
    """Requests that wait, and what they wait for: whoever made it did not come to serve them."""
    key = await make_key(shire)
    limited(shire, batches=0)
    messages = [{"message": bytes([number]) * 32} for number in range(items)]
    requests = [ecdsa_request(shire, key, signers=FIRST, items=messages) for _ in range(count)]
    for request in requests:
        await shire.ask(request)
    (waiting,) = await pools_of(shire, key)
    made = count * items + spare
    limited(shire, batches=4, batches_per_pool=4, low=1 if spare else 0, high=spare)
    lazy = coordinator(shire)

    async def not_now(_: PoolName) -> None:
        return None

    line_of(lazy).serve = not_now  # type: ignore[method-assign,assignment]
    shire.reports = lazy.reports
    await lazy.pools.make(waiting.name)
    await shire.run()
    limited(shire, batches=0)
    (pool,) = await pools_of(shire, key)
    assert (pool.stock, pool.waiting, pool.leaving) == (made, count * items, 0)
    # Of the key's making.
    shire.network.sent = [each for each in shire.network.sent if each.kind != "session_created"]
    return key, requests, pool.name


def line_of(coordinator: Any) -> WaitingLine:
    line: WaitingLine = coordinator.pools._line
    return line


async def only_pool(shire: World, key: CertifiedKey) -> PoolRecord:
    (pool,) = await pools_of(shire, key)
    return pool


def invited(messages: Iterable[Outgoing]) -> list[bytes]:
    """Sessions, in the order in which the first of their invitations was sent."""
    found = [each for each in messages if each.kind == "session_created"]
    return list(dict.fromkeys(bytes.fromhex(each.headers["session_id"]) for each in found))


class Network:
    """A network that does not take invitations of some sessions, or of all."""

    def __init__(self, network: Any, error: BaseException, *refused: bytes) -> None:
        self._network = network
        self._error = error
        self._refused = {session_id.hex() for session_id in refused}
        self.at_once = 0
        self.most_at_once = 0

    async def publish(self, message: Outgoing) -> None:
        if not self._refused or message.headers["session_id"] in self._refused:
            raise self._error
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        await self._network.publish(message)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        await asyncio.gather(*map(self.publish, messages))


async def test_two_coordinators_serve_one_line_at_once(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_line, "SERVED_AT_ONCE", 2)
    key, requests, pool = await lined_up(shire, 8)
    crew = [coordinator(shire) for _ in range(2)]
    await asyncio.gather(*(line_of(each).serve(pool) for each in crew))
    # Perhaps told twice, but never with other presignatures: none was claimed in vain.
    told = {(each.routing_key, each.body): each for each in sent(shire, "session_created")}
    bodies = Counter(each.headers["session_id"] for each in told.values())
    sessions = [await session_of(shire, request) for request in requests]
    assert bodies == {session_id.hex(): len(FIRST) for session_id in sessions}
    await shire.run()
    for request in requests:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_the_first_who_came_are_served_if_there_is_not_enough_for_all(shire: World) -> None:
    key, early, pool = await lined_up(shire, 3, items=2)
    late = [ecdsa_request(shire, key, signers=FIRST) for _ in range(2)]
    await shire.coordinator_store.claim_presignatures(pool, 1)
    for request in late:
        await shire.ask(request)  # which has the line served
    # Of five that are left two lists get four. The last one would do for a single one of those
    # behind the third list, and stays.
    assert invited(shire.network.sent) == [await session_of(shire, each) for each in early[:2]]
    record = await only_pool(shire, key)
    assert (record.stock, record.waiting, record.leaving) == (1, 4, 0)


async def test_all_who_are_served_are_told_at_once(shire: World) -> None:
    _, requests, pool = await lined_up(shire, 5)
    network: Any = Network(shire.network, AssertionError(), b"nobody")
    await line_of(coordinator(shire, network=network)).serve(pool)
    assert network.most_at_once == len(requests) * len(FIRST)


async def test_many_who_serve_one_line_in_one_process_ask_the_store_twice(shire: World) -> None:
    _, requests, pool = await lined_up(shire, 3)
    store: Any = shire.coordinator_store
    asked = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def serve(self, *given: Any) -> Any:
            asked.append(given)
            return await store.serve(*given)

    line = line_of(coordinator(shire, store=Counting()))
    await asyncio.gather(*(line.serve(pool) for _ in range(10)))
    assert len(asked) == 2
    assert len(invited(shire.network.sent)) == len(requests)


async def test_whoever_is_killed_before_it_tells_those_it_served_is_replaced(shire: World) -> None:
    key, requests, pool = await lined_up(shire, 3)
    dying = coordinator(shire, network=Network(shire.network, asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await line_of(dying).serve(pool)
    record = await only_pool(shire, key)
    assert (record.stock, record.waiting, record.leaving) == (0, 0, 3)
    assert invited(shire.network.sent) == []
    await look(shire, alive=False)
    for request in requests:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_whoever_is_killed_while_it_claims_has_claimed_nothing(shire: World) -> None:
    key, requests, pool = await lined_up(shire, 3)
    line = line_of(coordinator(shire))

    def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    line._invited = dies  # type: ignore[assignment,method-assign]
    with pytest.raises(asyncio.CancelledError):
        await line.serve(pool)
    record = await only_pool(shire, key)
    assert (record.stock, record.waiting, record.leaving) == (3, 3, 0)
    await look(shire, alive=False)
    for request in requests:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_whoever_cannot_be_told_stays_in_the_line_and_the_others_leave_it(
    shire: World,
) -> None:
    key, requests, pool = await lined_up(shire, 3)
    sessions = [await session_of(shire, request) for request in requests]
    network = Network(shire.network, PublishError("away"), sessions[1])
    with pytest.raises(PublishError):
        await line_of(coordinator(shire, network=network)).serve(pool)
    assert await shire.coordinator_store.leaving(pool, 10) == [sessions[1]]
    assert invited(shire.network.sent) == [sessions[0], sessions[2]]
    await look(shire, alive=False)
    for request in requests:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_nobody_is_served_as_long_as_those_before_cannot_be_told(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_line, "SERVED_AT_ONCE", 2)
    key, _, pool = await lined_up(shire, 5)
    deaf = coordinator(shire, network=Network(shire.network, PublishError("away")))
    for _ in range(3):
        with pytest.raises(PublishError):
            await line_of(deaf).serve(pool)
        record = await only_pool(shire, key)
        assert (record.stock, record.waiting, record.leaving) == (3, 3, 2)


async def test_whoever_finds_more_than_the_line_needs_does_not_wait(shire: World) -> None:
    key, requests, _ = await lined_up(shire, 2, spare=1)
    fast, slow = [ecdsa_request(shire, key, signers=FIRST) for _ in range(2)]
    await shire.ask(fast)
    assert invited(shire.network.sent) == [await session_of(shire, fast)]
    record = await only_pool(shire, key)
    assert (record.stock, record.waiting) == (2, 2)

    limited(shire, batches=4)
    await shire.ask(slow)  # and has the line served, at whose end it is
    sessions = [await session_of(shire, request) for request in [fast, *requests]]
    assert invited(shire.network.sent) == sessions
    await shire.run()
    for request in [fast, *requests, slow]:
        check_success(shire, request, key)
    await check_nothing_is_left(shire)


async def test_whoever_was_served_is_not_given_up_with_those_who_wait(shire: World) -> None:
    key, (served,), pool = await lined_up(shire, 1)
    dying = coordinator(shire, network=Network(shire.network, asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await line_of(dying).serve(pool)
    waiting = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(waiting)
    failure = Failure.of(FailureCode.PARTY_FAULT, "no batch", culprits=["party-2"])
    line = line_of(coordinator(shire))
    await line.give_up(pool, failure, refusal=None, but_those_alone=False)
    assert check_failure(shire, waiting).code is FailureCode.PARTY_FAULT
    await look(shire, alive=False)
    check_success(shire, served, key)
    await check_nothing_is_left(shire)


async def test_whoever_served_a_request_knows_how_it_stands(shire: World) -> None:
    """Its reports find no older version of it, which would cost each of them a lost race."""
    outcomes = []
    store: Any = shire.coordinator_store

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def commit(self, change: CoordinatorChange) -> Outcome:
            outcome: Outcome = await store.commit(change)
            outcomes.append(outcome)
            return outcome

    key = await make_key(shire)
    made = coordinator(shire, store=Watched())
    shire.requests, shire.reports = made.requests, made.reports
    request = ecdsa_request(shire, key, signers=FIRST)
    await shire.ask(request)
    await shire.run()
    check_success(shire, request, key)
    assert set(outcomes) == {Outcome.COMMITTED}
