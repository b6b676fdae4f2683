"""Which sessions a coordinator conducts, and that all others are refused aloud."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.results import Status
from tests.workers.crew import coordinator
from tests.workers.simulate import World
from workers.coordinator.batches import Batches
from workers.coordinator.request_sessions import RequestSessions
from workers.coordinator.sessions import UnknownProtocolError
from workers.store.records import CoordinatorChange, Outcome, Session


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [("keygen", RequestSessions), ("sign", RequestSessions), ("presign", Batches)],
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
            UnknownProtocolError, match=r"'dance'; this coordinator conducts keygen, presign, sign"
        ):
            await attempt(bytes(32))
    assert await shire.coordinator_store.session(bytes(32)) == before


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
