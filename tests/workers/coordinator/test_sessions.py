"""Which sessions a coordinator conducts; that all others are refused aloud; what comes to any."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts import sessions
from contracts.failures import Failure, FailureCode
from contracts.requests import KeygenRequest
from contracts.results import Status
from tests.workers.crew import coordinator
from tests.workers.ecdsa import ecdsa_request, forged, make_key, only_result, sender, sent
from tests.workers.simulate import World
from workers.coordinator.batches import Batches
from workers.coordinator.cancellations import Cancellations
from workers.coordinator.request_sessions import RequestSessions
from workers.coordinator.sessions import UnknownProtocolError
from workers.store.records import CoordinatorChange, Outcome, Session


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        ("keygen", RequestSessions),
        ("sign", RequestSessions),
        ("presign", Batches),
        ("cancel", Cancellations),
    ],
)
def test_each_protocol_has_its_kind(shire: World, protocol: str, kind: type) -> None:
    kinds: Any = coordinator(shire).reports._kinds
    assert isinstance(kinds.of(session(protocol)), kind)


async def test_a_protocol_of_another_version_is_named_and_left_alone(shire: World) -> None:
    change = CoordinatorChange(
        session_id=bytes(32),
        expected_version=0,
        protocol="dance",
        key_session=None,
        status=Status.IN_PROGRESS.value,
        deadline=0,
        state=b"steps",
        cause="request",
    )
    assert await shire.coordinator_store.commit(change) is Outcome.COMMITTED
    before = await shire.coordinator_store.session(bytes(32))
    for attempt in (shire.reports.expire, shire.reports.send_owed):
        with pytest.raises(
            UnknownProtocolError,
            match=r"'dance'; this coordinator conducts "
            "cancel, keygen, presign, rehearse, reshare, sign",
        ):
            await attempt(bytes(32))
    assert await shire.coordinator_store.session(bytes(32)) == before


###
### What comes to any
###


async def test_who_says_two_things_in_one_place_has_failed_the_session(shire: World) -> None:
    request, _ = await keygen_begun(shire)
    (said,) = [each for each in sent(shire, "party_joined") if sender(each) == "party-2"]
    for reason in ("waited", "waited for longer"):
        report = sessions.SessionFailed(failure=Failure.of(FailureCode.EXPIRED, reason))
        payload = report.model_dump_json().encode()
        assert not [each for each in shire.results() if each.request_id == request.request_id]
        await shire.deliver(forged(shire, said, kind="session_failed", payload=payload))
    failure = only_result(shire, request).failure
    assert failure is not None
    assert (failure.code, failure.culprits) == (FailureCode.PARTY_FAULT, ["party-2"])


@pytest.mark.parametrize("kind", ["request", "batch"])
async def test_of_two_processes_that_see_a_deadline_pass_one_ends_the_session(
    shire: World, kind: str
) -> None:
    if kind == "request":
        _, session_id = await keygen_begun(shire)
    else:
        await shire.ask(ecdsa_request(shire, await make_key(shire)))
        (*_, asked) = sent(shire, "presign_batch")
        session_id = bytes.fromhex(asked.headers["session_id"])
    await shire.outlive(session_id)
    store = Abreast(shire.coordinator_store, session_id)
    await asyncio.gather(
        *(coordinator(shire, store=store).reports.expire(session_id) for _ in range(2))
    )
    assert set(store.outcomes) == {Outcome.COMMITTED, Outcome.LOST_RACE}
    ended = await shire.coordinator_store.session(session_id)
    assert ended is not None
    assert Status(ended.status) is Status.EXPIRED
    assert session_id not in await shire.coordinator_store.owing(shire.clock() + 1, 10)
    events = await shire.coordinator_store.events(session_id)
    assert [each.event for each in events].count("expired") == 1


async def keygen_begun(shire: World) -> tuple[KeygenRequest, bytes]:
    """No party gets further than to join."""
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind.startswith("keygen/"))
    (session_id,) = {each.headers["session_id"] for each in sent(shire, "party_joined")}
    return request, bytes.fromhex(session_id)


class Abreast:
    """Holds the commits of one session until two are there."""

    def __init__(self, store: Any, session_id: bytes) -> None:
        self.outcomes: list[Outcome] = []
        self._store = store
        self._session_id = session_id
        self._barrier = asyncio.Barrier(2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        if change.session_id != self._session_id:
            passed: Outcome = await self._store.commit(change)
            return passed
        await self._barrier.wait()
        outcome: Outcome = await self._store.commit(change)
        self.outcomes.append(outcome)
        return outcome


def session(protocol: str) -> Session:
    return Session(
        session_id=bytes(32),
        version=1,
        protocol=protocol,
        key_session=None,
        status=Status.IN_PROGRESS.value,
        deadline=0,
        state=b"",
        received=(),
    )
