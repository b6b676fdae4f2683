from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.answers import failed_result
from contracts.envelope import COORDINATOR, EVERYONE, Envelope, UnverifiedEnvelope
from contracts.failures import Failure, FailureCode
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES, NOW
from tests.session.presigners import presign_batch, world
from workers.session import sending

SESSION = coins("session")


def _envelope(recipient: str) -> Envelope:
    return Envelope(
        session_id=SESSION,
        epoch=0,
        kind="keygen",
        round=2,
        sender="party-1",
        recipient=recipient,
        payload=b"payload",
    )


def test_a_broadcast_is_signed_once_and_goes_to_each_recipient_as_the_same_bytes() -> None:
    sent = sending.round_message(_envelope(EVERYONE), IDENTITIES["party-1"], ["party-2", "party-3"])
    assert [each.routing_key for each in sent] == ["party-2", "party-3"]
    assert len({each.body for each in sent}) == len({each.message_id for each in sent}) == 1
    assert {(each.exchange, each.kind) for each in sent} == {(addresses.KEYGEN, "keygen/2")}
    UnverifiedEnvelope.from_bytes(sent[0].body).verify(IDENTITIES["party-1"].public)


def test_a_direct_message_goes_to_its_recipient_whoever_else_is_listed() -> None:
    sent = sending.round_message(_envelope("party-2"), IDENTITIES["party-1"], ["party-3"])
    assert [each.routing_key for each in sent] == ["party-2"]


def test_a_report_is_signed_for_the_coordinator_under_its_session_and_epoch() -> None:
    message = sending.report(
        sessions.PartyJoined(),
        identity=IDENTITIES["party-1"],
        party_id="party-1",
        session_id=SESSION,
        epoch=7,
    )
    told = UnverifiedEnvelope.from_bytes(message.body).verify(IDENTITIES["party-1"].public)
    assert (told.session_id, told.epoch, told.recipient) == (SESSION, 7, COORDINATOR)
    assert (told.sender, told.kind, told.round) == ("party-1", "party_joined", 0)
    assert message.exchange == addresses.REPORTS
    assert message.routing_key == addresses.report_key("party_joined", "party-1")


@pytest.mark.parametrize(
    ("client_id", "session_id", "headers"),
    [
        ("svcA", SESSION, {"client_id": "svcA", "session_id": SESSION.hex()}),
        (None, None, {}),
    ],
)
def test_a_results_headers_repeat_what_the_body_has(
    client_id: str | None, session_id: bytes | None, headers: dict[str, Any]
) -> None:
    content = failed_result(
        "sign",
        Failure.of(FailureCode.SPOILT, "why"),
        request_id="request-1",
        client_id=client_id,
        request_digest=bytes(32),
        session_id=session_id,
        finished_at=NOW,
    )
    message = sending.result(content, "mpc.somewhere")
    assert message.headers == {"request_id": "request-1", "status": "failed"} | headers
    assert (message.exchange, message.routing_key) == (addresses.RESULTS, "mpc.somewhere")
    assert message.message_id == "request-1"


###
### The presigning lane
###


def test_all_of_presigning_and_nothing_else_goes_by_its_own_lane() -> None:
    identity = IDENTITIES["party-1"]
    presign = replace(_envelope("party-2"), kind="presign")
    (message,) = sending.round_message(presign, identity, ())
    assert (message.exchange, message.kind) == (addresses.PRESIGNING, "presign/2")
    begun = sending.instruction(presign_batch(world()), "party-2", SESSION)
    assert (begun.exchange, begun.kind) == (addresses.PRESIGNING, "presign_batch")
    cancelled = sessions.SessionCancelled(session_id=SESSION, issued_at=NOW)
    over = sending.instruction(cancelled, "party-2", SESSION)
    assert (over.exchange, over.kind) == (addresses.SESSIONS, "session_cancelled")
    lanes = [addresses.SESSIONS, addresses.ROUNDS, addresses.KEYGEN, addresses.PRESIGNING]
    assert len({*lanes}) == 4
