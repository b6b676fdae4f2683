"""A session as its owner sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.results import SessionEvent, SessionView, Status
from tests.session.builders import LIFETIME_MS, NOW
from tests.session.conducts import keygen_conduct
from workers.session.coordinator.announcing import caller_token, session_token
from workers.session.coordinator.conduct import Conduct
from workers.session.coordinator.views import session_view, status_of
from workers.store.records import Outgoing, RequestRecord, Session, StoredEvent

NAMED = b"\x07" * 32
RECORD = RequestRecord(
    owner="svcA",
    request_id="request-1",
    operation="keygen",
    digest=b"",
    body=b"",
    signature=b"",
    session_id=NAMED,
)
RESULT = Outgoing(
    exchange="",
    routing_key="",
    kind="mpc_keygen_result",
    content_type="",
    message_id="request-1",
    body=b"",
)
TRIED_UNTIL = NOW + 5_000


def stored(status: Status = Status.IN_PROGRESS) -> Session:
    return Session(
        session_id=NAMED,
        version=1,
        protocol="keygen",
        key_session=None,
        status=status.value,
        deadline=TRIED_UNTIL,
        state=b"",
        received=(),
    )


def conduct_of(*, announce: bool, **changes: Any) -> Conduct:
    conduct = keygen_conduct(reference="order 7")
    request = conduct.request.model_copy(update={"announce": announce})
    return conduct.model_copy(update={"request": request, **changes})


def view(conduct: Conduct, *, with_tokens: bool = True) -> SessionView:
    event = StoredEvent(
        sequence=1, at=NOW, event="session_created", party_id="party-2", details='{"try": 1}'
    )
    return session_view(
        RECORD, stored(), conduct, [event], session_id=NAMED, with_tokens=with_tokens
    )


def test_a_session_is_seen_with_its_parties_and_history() -> None:
    seen = view(conduct_of(announce=False))
    assert seen.session_id == NAMED
    assert (seen.request_id, seen.operation, seen.key_id) == ("request-1", "keygen", "key-1")
    assert (seen.status, seen.deadline) == (Status.IN_PROGRESS, TRIED_UNTIL)
    assert seen.parties == ["party-1", "party-2", "party-3"]
    assert (seen.threshold, seen.party_count, seen.reference) == (2, 3, "order 7")
    assert seen.events == [
        SessionEvent(
            sequence=1,
            at=NOW,
            event="session_created",
            party_id="party-2",
            details={"try": 1},
        )
    ]
    assert (seen.join_tokens, seen.session_token) == ({}, None)


def test_what_was_announced_is_seen_with_the_whole_request_s_deadline_and_tokens() -> None:
    conduct = conduct_of(announce=True, joined=["party-3"])
    seen = view(conduct)
    assert (seen.deadline, seen.joined) == (NOW + LIFETIME_MS, ["party-3"])
    assert seen.session_token == session_token(conduct)
    assert seen.join_tokens == {each: caller_token(conduct, each) for each in seen.parties}


def test_whoever_may_not_see_tokens_sees_none() -> None:
    seen = view(conduct_of(announce=True), with_tokens=False)
    assert (seen.join_tokens, seen.session_token) == ({}, None)


@pytest.mark.parametrize("status", Status)
def test_a_session_is_over_when_its_request_is(status: Status) -> None:
    over = replace(RECORD, result=RESULT)
    assert status_of(over, stored(status)) is status
    going_on = Status.IN_PROGRESS if status.final else status
    assert status_of(RECORD, stored(status)) is going_on
