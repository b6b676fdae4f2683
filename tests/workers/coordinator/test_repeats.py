"""Reports of sessions that are over, come again and again: their result leaves once a second, and
what has not left yet leaves however often it takes."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import addresses
from contracts.results import CancelResult
from contracts.sessions import cancel_session_id
from tests.workers.callers import answered, wish
from tests.workers.crew import coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import make_key
from tests.workers.simulate import World
from workers.coordinator.repeats import PAUSE_MS, REMEMBERED, Repeats
from workers.delivery.publisher import PublishError
from workers.store.records import Outgoing

REPLAYS = 22


def reports(world: World, session_id: bytes | None = None) -> list[Outgoing]:
    """All that parties have said so far, of one session or of all."""
    return [
        message
        for message in world.network.sent
        if message.exchange == addresses.REPORTS
        and (session_id is None or message.headers["session_id"] == session_id.hex())
    ]


def results_of(world: World, request_id: str) -> int:
    return sum(
        message.exchange == addresses.RESULTS and message.message_id == request_id
        for message in world.network.sent
    )


async def replayed(world: World, said: list[Outgoing], times: int = REPLAYS) -> None:
    for _ in range(times):
        for message in said:
            await world.deliver(message)


async def check_once_a_second(world: World, request_id: str, said: list[Outgoing]) -> None:
    before = results_of(world, request_id)
    await replayed(world, said)
    assert results_of(world, request_id) == before  # it has left in this very moment
    for seconds in (1, 2):
        world.clock.offset_ms += PAUSE_MS
        await replayed(world, said)
        assert results_of(world, request_id) == before + seconds
    assert not world.dead


async def test_a_key_generations_result_leaves_once_a_second(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    assert results_of(shire, request.request_id) == 1
    await check_once_a_second(shire, request.request_id, reports(shire))


async def test_a_signatures_result_leaves_once_a_second(shire: World) -> None:
    key = await make_key(shire)
    before = len(reports(shire))
    request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
    await shire.ask(request)
    await shire.run()
    assert results_of(shire, request.request_id) == 1
    await check_once_a_second(shire, request.request_id, reports(shire)[before:])


async def test_a_failures_result_leaves_once_a_second(shire: World) -> None:
    request = shire.keygen_request(parties=["party-1", "party-2", "party-3"])
    await shire.ask(request)
    shire.clock.offset_ms += 10 * 60_000  # every party finds itself too late, and says so
    await shire.run()
    assert results_of(shire, request.request_id) == 1
    await check_once_a_second(shire, request.request_id, reports(shire))


async def test_a_cancels_answer_leaves_once_a_second(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Outgoing] = []
    deliver = shire.deliver

    async def noted(message: Outgoing) -> None:
        said.append(message)
        await deliver(message)

    monkeypatch.setattr(shire, "deliver", noted)
    cancel = wish(shire, "cancel", target="anything")
    await answered(shire, cancel, CancelResult)
    name = cancel_session_id(cancel.digest).hex()
    statements = [each for each in said if each.headers.get("session_id") == name]
    assert len(statements) == 3
    await check_once_a_second(shire, cancel.request.request_id, statements)


async def test_what_could_not_leave_leaves_in_the_same_second(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "key_certified")
    said = [each for each in reports(shire) if each.kind == "key_certified"]
    for message in said[:-1]:
        await shire.deliver(message)
    away: Any = FakePublisher(trouble=[PublishError("broker away")] * 3)
    _, shire.reports = coordinator_worker(shire, network=away)
    for _ in range(3):
        with pytest.raises(PublishError):
            await shire.deliver(said[-1])
    await replayed(shire, said)
    assert [each.message_id for each in away.sent if each.exchange == addresses.RESULTS] == [
        request.request_id
    ]


async def test_what_another_process_did_not_send_leaves_at_once(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    _, shire.reports = coordinator_worker(shire)  # it cannot know that the result has left
    before = results_of(shire, request.request_id)
    await replayed(shire, reports(shire))
    assert results_of(shire, request.request_id) == before + 1


async def test_a_client_that_asks_again_is_answered_each_time(shire: World) -> None:
    request = shire.keygen_request()
    signed = await shire.ask(request)
    await shire.run()
    for times in range(2, 6):
        await replayed(shire, reports(shire), times=2)
        await shire.submit(signed)
        assert results_of(shire, request.request_id) == times


async def test_a_report_that_comes_again_while_its_session_lives_sends_once_a_second(
    shire: World,
) -> None:
    key = await make_key(shire)
    before = len(shire.network.sent)
    request = shire.sign_request(key_id=key.facts.key_id, scheme="secp256k1")
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "share_signed")
    said = [each for each in shire.network.sent[before:] if each.kind == "nonces_made"]
    assert said
    begun = len(shire.network.sent)
    await replayed(shire, said)
    assert len(shire.network.sent) == begun
    shire.clock.offset_ms += PAUSE_MS
    await replayed(shire, said)
    again = shire.network.sent[begun:]
    assert len(again) == len({(each.routing_key, each.body) for each in again})


def test_a_clock_that_is_put_back_holds_nothing_up() -> None:
    now = [5_000]
    repeats = Repeats(clock=lambda: now[0])
    assert repeats.due(b"s", "cause")
    repeats.left(b"s", "cause")
    assert not repeats.due(b"s", "cause")
    assert repeats.due(b"s", "another")
    assert repeats.due(b"t", "cause")
    now[0] -= 1
    assert repeats.due(b"s", "cause")


def test_no_more_is_remembered_than_has_room() -> None:
    repeats = Repeats(clock=lambda: 0)
    for number in range(REMEMBERED + 1):
        repeats.left(number.to_bytes(4), "cause")
    assert repeats.due((0).to_bytes(4), "cause")
    assert not repeats.due((1).to_bytes(4), "cause")
    assert len(repeats._left) == REMEMBERED
