"""The toolkit says what it means to say, signed or not: an attack must not fail of itself."""

from __future__ import annotations

import base64
import json

import pytest

from contracts.envelope import CONTENT_TYPE, COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.identity import Identity

from .forms import RESULT_TAG, Forms, envelope

SESSION = bytes(32)
SAID = {"instruction": "session_cancelled", "version": 1, "session_id": SESSION.hex()}


def reported(payload: dict[str, object]) -> Envelope:
    return Envelope(
        session_id=SESSION,
        epoch=0,
        kind="share_signed",
        round=0,
        sender="party-1",
        recipient=COORDINATOR,
        payload=json.dumps(payload).encode(),
    )


@pytest.mark.parametrize("payload", [{"signature_shares": ["00"]}, {"sealed": ""}])
def test_shares_are_read_by_whoever_holds_the_coordinators_key(payload: dict[str, object]) -> None:
    party, coordinator = Identity.generate(), Identity.generate()
    insider, stranger = Forms(coordinator, coordinator), Forms(Identity.generate(), None)
    report = insider.share_report(
        reported(payload), [b"one", b"another"], party, coordinator.public
    )
    assert insider.shares(report, party.public) == [b"one", b"another"]
    readable = "signature_shares" in payload
    assert (stranger.shares(report, party.public) is not None) == readable


def test_an_instruction_is_signed_where_somebody_signs_it() -> None:
    signer = Identity.generate()
    wire = Forms(signer, None).instruction(SAID, "party-1", about=SESSION, to="party-2")
    assert (wire.routing_key, wire.content_type) == ("party-2", CONTENT_TYPE)
    UnverifiedEnvelope.from_bytes(wire.body).verify(signer.public)
    assert envelope(wire).recipient == "party-1"
    plain = Forms(None, None).instruction(SAID, "party-1", about=SESSION)
    assert wire.json() == plain.json() == SAID


def test_a_result_is_signed_over_the_bytes_as_sent() -> None:
    signer = Identity.generate()
    content = {"result": "sign", "request_id": "r"}
    wire = Forms(signer, None).result(content, "mpc.result", request=b"{}")
    signature = base64.b64decode(wire.headers["signature"])
    signer.public.verify(RESULT_TAG, wire.body, signature)
    assert wire.json()["request_digest"] is not None
    assert "signature" not in Forms(None, None).result(content, "k", request=b"{}").headers
