"""The coordinator's handlers where reports and requests are not what they should be."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from contracts import addresses, envelope, results, sessions
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.primitives import Scheme
from contracts.results import Status
from contracts.signing import SignedRequest
from tests.workers.callers import state, wish
from tests.workers.crew import coordinator_worker
from tests.workers.doubles import FakePublisher
from tests.workers.simulate import CLIENT, LIMITS, World
from workers.coordinator import requests as requests_module
from workers.delivery.publisher import FullError, PublishError, UnroutableError
from workers.store.records import Outgoing


async def held_back(world: World, *kinds: str) -> list[Outgoing]:
    kept: list[Outgoing] = []

    def hold(message: Outgoing) -> bool:
        if message.kind in kinds:
            kept.append(message)
        return message.kind in kinds

    await world.run(dropped=hold)
    return kept


def report(world: World, message: Outgoing, **changes: Any) -> Outgoing:
    """The same report with other content, signed by whom it names."""
    claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
    fields = {name: getattr(claimed, name) for name in Envelope.__slots__} | changes
    altered = Envelope(**fields)
    return Outgoing(
        exchange=addresses.REPORTS,
        routing_key=addresses.report_key(altered.kind, altered.sender),
        kind=altered.kind,
        content_type=envelope.CONTENT_TYPE,
        message_id="forged",
        body=altered.seal(world.identities[altered.sender]),
    )


def payload(content: sessions.Report) -> bytes:
    return content.model_dump_json().encode()


def sent_results(world: World) -> list[Outgoing]:
    return [each for each in world.network.sent if each.exchange == addresses.RESULTS]


async def joined(world: World, **fields: Any) -> Outgoing:
    """The first `party_joined` of a key generation under way; none has come to the coordinator."""
    await world.ask(world.keygen_request(**fields))
    return (await held_back(world, "party_joined", "keygen/1"))[0]


###
### Reports
###


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_id": b"\x01" * 32}, "no such session"),
        ({"recipient": "party-2"}, "not a report to the coordinator"),
        ({"round": 1}, "not a report to the coordinator"),
        ({"kind": "key_certified"}, "party_joined in an envelope for key_certified"),
        ({"payload": b"{}"}, "not a report"),
        ({"payload": b"\xff"}, "not a report"),
        (
            {
                "payload": b'{"report":"party_alive","report":"party_joined"}',
            },
            "not a report: field 'report' stands twice",
        ),
        (
            {
                "kind": "nonces_made",
                "payload": payload(
                    sessions.NoncesMade(
                        key_session=bytes(32),
                        scheme=Scheme.ED25519,
                        fresh=[sessions.NonceCommitment(nonce_id=bytes(32), commitment=b"\1")],
                    )
                ),
            },
            "nonces_made in a session to keygen",
        ),
    ],
)
async def test_a_report_that_does_not_fit_is_a_dead_letter_and_changes_nothing(
    shire: World, changes: dict[str, Any], reason: str
) -> None:
    message = await joined(shire)
    session_id = UnverifiedEnvelope.from_bytes(message.body).claimed.session_id
    before = await shire.coordinator_store.session(session_id)
    sent = len(shire.network.sent)
    await shire.deliver(report(shire, message, **changes))
    ((_, told),) = shire.dead
    assert reason in told
    assert await shire.coordinator_store.session(session_id) == before
    assert shire.network.sent[sent:] == []


async def test_a_party_that_takes_no_part_is_not_heard(shire: World) -> None:
    message = await joined(shire, party_count=2, parties=["party-1", "party-2"])
    await shire.deliver(report(shire, message, sender="party-3"))
    ((_, told),) = shire.dead
    assert told == "party-3 takes no part in this session"


async def test_a_sign_of_life_needs_no_session(shire: World) -> None:
    message = await joined(shire)
    alive = payload(sessions.PartyAlive(at=1))
    await shire.deliver(
        report(
            shire,
            message,
            kind="party_alive",
            payload=alive,
            session_id=bytes(32),
            sender="party-3",
        )
    )
    assert not shire.dead
    seen = {each.party_id for each in await shire.coordinator_store.parties()}
    assert seen == {"party-3"}


@pytest.mark.parametrize("after_ms", [0, 600_000], ids=["in time", "after the deadline"])
async def test_a_result_that_was_committed_and_not_sent_is_sent_with_the_report_come_again(
    shire: World, after_ms: int
) -> None:
    """To a process that remembers the session under way, too: another one ended it."""
    key = shire.keygen_request()
    await shire.ask(key)
    *_, last = await held_back_last(shire, "key_certified")
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    healthy, (_, shire.reports) = shire.reports, coordinator_worker(shire, network=away)
    with pytest.raises(PublishError):
        await shire.deliver(last)
    known = await shire.coordinator_store.request(CLIENT, key.request_id)
    assert known is not None
    assert known.result is not None
    assert sent_results(shire) == []
    shire.reports = healthy
    shire.clock.offset_ms += after_ms
    await shire.deliver(last)
    assert sent_results(shire) == [known.result]


async def held_back_last(world: World, kind: str) -> list[Outgoing]:
    kept = await held_back(world, kind)
    for message in kept[:-1]:
        await world.deliver(message)
    return kept


async def test_reports_of_a_session_that_is_over_send_nothing_new(shire: World) -> None:
    key = shire.keygen_request()
    await shire.ask(key)
    kept = await held_back(shire, "party_joined")
    assert len(sent_results(shire)) == 1
    before = len(shire.network.sent)
    for message in kept:
        await shire.deliver(message)
    assert shire.network.sent[before:] == []
    assert not shire.dead


###
### Deadlines
###


async def overdue(world: World) -> tuple[str, bytes]:
    request = world.keygen_request()
    await world.ask(request)
    world.network.waiting.clear()
    (session_id,) = await world.coordinator_store.overdue(request.expires_at + 1, 10)
    await world.outlive(session_id)
    return request.request_id, session_id


async def test_a_deadlines_result_that_could_not_leave_is_sent_later_and_is_the_same(
    shire: World,
) -> None:
    request_id, session_id = await overdue(shire)
    away: Any = FakePublisher(trouble=[PublishError("broker away")] * 5)
    _, dying = coordinator_worker(shire, network=away)
    with pytest.raises(PublishError):
        await dying.expire(session_id)
    store = shire.coordinator_store
    known = await store.request(CLIENT, request_id)
    assert known is not None
    assert known.result is not None
    assert await store.overdue(shire.clock() + 10**9, 10) == []
    assert await store.owing(shire.clock() - 60_000, 10) == []
    assert await store.owing(shire.clock() + 1, 10) == [session_id]

    _, other = coordinator_worker(shire)
    await other.send_owed(session_id)
    assert sent_results(shire) == [known.result]
    assert await store.owing(shire.clock() + 1, 10) == []


class ConfirmsLost(FakePublisher):
    """The broker has each result, and what confirms so many of them does not come."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost

    async def publish(self, message: Outgoing) -> None:
        await super().publish(message)
        if message.exchange == addresses.RESULTS and self.lost:
            self.lost -= 1
            raise PublishError("broker away: TimeoutError")

    @property
    def results(self) -> list[Outgoing]:
        return [message for message in self.sent if message.exchange == addresses.RESULTS]


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_deadlines_result_comes_again_once_for_each_confirm_that_was_lost(
    shire: World, lost: int
) -> None:
    """The same bytes under the same id, which a client is told to expect; then never again."""
    request_id, session_id = await overdue(shire)
    network: Any = ConfirmsLost(lost)
    _, reports = coordinator_worker(shire, network=network)
    with pytest.raises(PublishError):
        await reports.expire(session_id)
    store = shire.coordinator_store
    for _ in range(lost + 3):
        for owed in await store.owing(shire.clock() + 1, 10):
            with contextlib.suppress(PublishError):
                await reports.send_owed(owed)
    known = await store.request(CLIENT, request_id)
    assert known is not None
    assert network.results == [known.result] * (lost + 1)


async def test_a_result_whose_confirm_was_lost_comes_again_with_its_report_and_no_more(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    *_, last = await held_back(shire, "key_certified")
    for message in [m for m in shire.network.sent if m.kind == "key_certified"]:
        if message is not last:
            await shire.deliver(message)
    network: Any = ConfirmsLost(1)
    _, shire.reports = coordinator_worker(shire, network=network)
    with pytest.raises(PublishError):
        await shire.deliver(last)
    await shire.deliver(last)
    known = await shire.coordinator_store.request(CLIENT, request.request_id)
    assert known is not None
    assert network.results == [known.result] * 2
    assert await shire.coordinator_store.owing(shire.clock() + 10**6, 10) == []


async def test_a_result_stays_owed_until_it_has_left(shire: World) -> None:
    _, session_id = await overdue(shire)
    away: Any = FakePublisher(trouble=[PublishError("broker away")] * 100)
    _, dying = coordinator_worker(shire, network=away)
    for attempt in (dying.expire, dying.send_owed, dying.send_owed):
        with pytest.raises(PublishError):
            await attempt(session_id)
        assert await shire.coordinator_store.owing(shire.clock() + 1, 10) == [session_id]


@pytest.mark.parametrize("error", [FullError("full"), UnroutableError("missing")])
async def test_an_inbox_that_takes_no_farewell_does_not_hold_up_a_result(
    shire: World, error: PublishError
) -> None:
    _, session_id = await overdue(shire)

    class Full(FakePublisher):
        async def publish(self, message: Outgoing) -> None:
            if message.exchange == addresses.SESSIONS:
                raise error
            await super().publish(message)

    network: Any = Full()
    _, reports = coordinator_worker(shire, network=network)
    await reports.expire(session_id)
    assert [each.exchange for each in network.sent] == [addresses.RESULTS, addresses.CANCEL]
    assert await shire.coordinator_store.owing(shire.clock() + 1, 10) == []


async def test_a_deadline_that_a_worker_died_before_is_met_by_the_next(shire: World) -> None:
    _, session_id = await overdue(shire)
    store = shire.coordinator_store
    await store.owe(session_id, shire.clock())  # and then nothing
    assert await store.owing(shire.clock() + 1, 10) == []
    await shire.reports.expire(session_id)
    await shire.reports.expire(session_id)
    (sent,) = sent_results(shire)
    assert results.ADAPTER.validate_json(sent.body).status is Status.EXPIRED
    assert await store.owing(shire.clock() + 1, 10) == []


async def test_what_is_owed_for_a_session_that_ended_well_after_all_is_nothing(
    shire: World,
) -> None:
    key = shire.keygen_request()
    await shire.ask(key)
    (session_id,) = await shire.coordinator_store.overdue(key.expires_at + 1, 10)
    await shire.coordinator_store.owe(session_id, shire.clock())
    await shire.run()
    (done,) = sent_results(shire)
    assert await shire.coordinator_store.owing(shire.clock() + 1, 10) == [session_id]
    await shire.reports.send_owed(session_id)
    assert sent_results(shire) == [done]
    assert await shire.coordinator_store.owing(shire.clock() + 1, 10) == []


###
### Requests
###


def cancel(world: World, target: str, name: str) -> SignedRequest:
    return wish(world, "cancel", request_id=name, target=target)


async def test_a_cancelled_sessions_result_that_could_not_leave_is_sent_with_the_request_again(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    wish = cancel(shire, request.request_id, "cancel-1")
    away: Any = FakePublisher(trouble=[PublishError("broker away")] * 5)
    healthy = shire.requests
    shire.requests, _ = coordinator_worker(shire, network=away)
    with pytest.raises(PublishError):
        await shire.submit(wish)
    shire.requests = healthy
    await shire.submit(wish)
    await state(shire, wish)
    sent = [results.ADAPTER.validate_json(each.body) for each in sent_results(shire)]
    assert [(each.request_id, each.status) for each in sent] == [
        (request.request_id, Status.CANCELLED),
        ("cancel-1", Status.COMPLETED),
    ]
    again = cancel(shire, request.request_id, "cancel-2")
    await shire.submit(again)
    await state(shire, again)
    assert [each.message_id for each in sent_results(shire)[2:]] == ["cancel-2"]


async def test_facts_of_keys_are_kept_for_some_keys_only(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "KEPT_FACTS", 2)
    keys = []
    for _ in range(3):
        request = shire.keygen_request()
        await shire.ask(request)
        await shire.run()
        keys.append(request.key_id)
    for key_id in [*keys, *keys]:
        await shire.ask(shire.sign_request(key_id=key_id))
        await shire.run()
        assert shire.results()[-1].status is Status.COMPLETED
        assert len(shire.requests._facts) <= 2


async def test_a_request_that_does_not_fit_is_answered_and_begins_nothing(shire: World) -> None:
    request = shire.keygen_request()
    body = json.loads(request.model_dump_json()) | {"threshold": 9}
    raw = json.dumps(body).encode()
    signature = shire.client.sign(b"warren/request/v1", raw)
    await shire.submit(SignedRequest(request=request, body=raw, signature=signature))
    (answer,) = shire.results()
    assert answer.failure is not None
    assert answer.failure.code is FailureCode.INVALID_REQUEST
    assert await shire.coordinator_store.overdue(shire.clock() + 10**9, 10) == []


@pytest.mark.parametrize("operation", ["keygen", "sign"])
async def test_what_comes_too_late_has_one_answer_however_often_it_comes(
    shire: World, operation: str
) -> None:
    now = shire.clock()
    # By less it may be a clock that is behind.
    expired_at = now - int(LIMITS.clock_tolerance_seconds * 1000)
    when = {"issued_at": expired_at - 60_000, "expires_at": expired_at}
    request = shire.keygen_request(**when) if operation == "keygen" else shire.sign_request(**when)
    signed = await shire.ask(request)
    shire.clock.offset_ms += 1_000
    await shire.submit(signed)
    first, second = shire.network.sent
    assert first.kind == operation
    assert first.body == second.body
    assert [result.status for result in shire.results()] == [Status.EXPIRED] * 2
